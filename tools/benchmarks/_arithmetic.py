"""How many operations our graph needs for a window, and how many the plain network.

Multiply-adds of matrix products in a window of T tokens; H width, I inner width of the MLP, h heads
(an operation is half a multiply-add). The MLP is gated: three products, 3HI a token.

Plain network, each of L layers: `T (4H^2 + 3HI) + 2 T^2 H`: query, key, value and output; scores
and mix. Head: `H^2 + H labels`.

Our graph, which gives the same logits:
- first layer `T (H^2 + 3HI) + 2 T^2 H`: query, key and value come from a table of tokens;
- layers 2 to L - 1 as in the plain network;
- last layer, for `<cls>` alone: `3H^2 + 3HI` for its query, value and output and its MLP; `h H T`
  to mix hidden states; scores from hidden states `H^2 + h H T` (DNABERT-2), or, where positions
  turn the keys, from keys `T (H^2 + H)` (NT v2);
- the head.

Element-wise work, look-ups and padding count as nothing: time spent on them is time lost.
"""

from __future__ import annotations

from collections.abc import Iterable

from genoslim.models.classifier import NativeConfig


def useful_operations(config: NativeConfig, lengths: Iterable[int]) -> int:
    """Return the operations that our graph needs for unpadded windows of these token counts."""
    return sum(2 * _ours(config, tokens) for tokens in lengths)


def plain_operations(config: NativeConfig, lengths: Iterable[int]) -> int:
    """Return the operations that the plain network needs for the same windows."""
    layers = config.num_hidden_layers
    return sum(2 * (layers * _layer(config, tokens) + _head(config)) for tokens in lengths)


def _ours(config: NativeConfig, tokens: int) -> int:
    width, layers = config.hidden_size, config.num_hidden_layers
    if layers < 2:
        raise ValueError(f"{layers} layer; the first and the last should be two")
    tabled = 3 * tokens * width**2
    return (layers - 1) * _layer(config, tokens) - tabled + _last(config, tokens) + _head(config)


def _layer(config: NativeConfig, tokens: int) -> int:
    width, inner = config.hidden_size, config.intermediate_size
    return tokens * (4 * width**2 + 3 * width * inner) + 2 * tokens**2 * width


def _last(config: NativeConfig, tokens: int) -> int:
    width, inner = config.hidden_size, config.intermediate_size
    mix = config.num_attention_heads * width * tokens
    rotary = config.family == "nt_v2"
    scores = tokens * (width**2 + width) if rotary else width**2 + mix
    return 3 * width**2 + 3 * width * inner + mix + scores


def _head(config: NativeConfig) -> int:
    return config.hidden_size**2 + config.hidden_size * config.num_labels
