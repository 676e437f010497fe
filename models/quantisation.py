"""How int8 stands for the matrix products of a network: what export and fine-tuning share.

Weights have one scale an output, and 7 bits, -64 to 64, because x86 processors without VNNI add
pairs of products in 16 bits that saturate: 2 x 255 x 64 still fits, 2 x 255 x 127 does not.
Activations have one scale a *row*, that is a token of a window, found when the network runs.
Rounding is to the nearest, ties to even.
"""

from __future__ import annotations

LEAST_SIDE = 64
"""Matrices with a side below this stay float32: nothing to win, and heads are sensitive."""
WEIGHT_STEPS = 64
"""Of a weight from 0 to the largest of its output."""
ROW_STEPS = 127
"""Of an activation from 0 to the largest of its row."""
LEAST_ROW = 1e-30
"""The least that the largest of a row is taken for."""
