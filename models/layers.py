"""Depth surgery: the blocks of a network, and their removal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from torch import nn

from ..errors import UsageError
from .classifier import Classifier


def layers(model: Classifier) -> nn.ModuleList:
    """Return the stack of blocks, first block first."""
    return model.blocks


def remove_layers(model: Classifier, dropped: Collection[int]) -> Classifier:
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


@contextmanager
def only_layers(model: Classifier, kept: Sequence[int]) -> Iterator[None]:
    """Have `model` run the blocks `kept` alone for the time of the context.

    `kept` are ascending positions in the present stack, from 0. The model computes what it would
    after `remove_layers` of the others; its config is left as it is. Raises UsageError for none or
    for positions that are unknown or out of order.
    """
    stack = layers(model)
    blocks = list(stack)
    if not kept or list(kept) != sorted(set(kept)) or kept[0] < 0 or kept[-1] >= len(blocks):
        raise UsageError(
            f"layers to keep: {list(kept)}; give ascending positions of 0 to {len(blocks) - 1}"
        )
    _refill(stack, [blocks[position] for position in kept])
    try:
        yield
    finally:
        _refill(stack, blocks)


def _refill(stack: nn.ModuleList, blocks: Sequence[nn.Module]) -> None:
    del stack[:]
    stack.extend(blocks)
