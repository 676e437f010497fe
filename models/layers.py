"""Depth surgery: the blocks of a network, and their removal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from torch import nn

from ..errors import UsageError
from .classifier import Classifier


def layers(model: Classifier) -> nn.ModuleList:
    """Return the stack of blocks, first block first."""
    return model.blocks


def drop_layers(model: Classifier, dropped: Collection[int]) -> Classifier:
    """Delete blocks in place and return `model`; everything else stays as it is.

    `dropped` are positions in the present stack, from 0. `config.num_hidden_layers` and
    `config.kept_layers` follow. Raises UsageError for an unknown or repeated position, and if no
    block would be left.
    """
    depth = len(layers(model))
    repeated = sorted(position for position, times in Counter(dropped).items() if times > 1)
    unknown = sorted(set(dropped) - set(range(depth)))
    if repeated:
        raise UsageError(f"layers to drop: {repeated} named more than once")
    if unknown:
        raise UsageError(f"layers to drop: no layer {unknown}; the model has 0 to {depth - 1}")
    if len(dropped) == depth:
        raise UsageError(f"layers to drop: all {depth}; at least one must stay")
    model.remove_blocks(set(dropped))
    return model
