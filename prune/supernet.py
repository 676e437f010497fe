"""One training whose weights serve every subset of layers, which then need forward passes only."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch import Tensor
from torch.nn import functional

from ..errors import UsageError
from ..models.classifier import Classifier
from ..models.layers import only_layers
from .finetune import Forward, Losses, Objective
from .healing import distilled
from .recipe import Supernet
from .subsets import Subset


def sandwich(model: Classifier, labels: Tensor, how: Supernet, *, seed: int) -> Objective:
    """Return the objective of a supernet for `model` and labels int64[n].

    The subsets of a step are drawn from a generator of their own: the same for the same seed.
    Raises UsageError if the model has no more than `how.smallest` layers.
    """
    depth = len(model.blocks)
    if how.smallest >= depth:
        raise UsageError(f"supernet: smallest is {how.smallest}, the model has {depth} layers")
    generator = np.random.default_rng(seed)

    def step() -> Losses:
        drawn = drawn_subsets(depth, how.smallest, generator)

        def losses(forward: Forward, rows: Tensor) -> Iterator[Tensor]:
            rows = rows.to(labels.device)
            full = forward(rows)
            yield functional.cross_entropy(full, labels[rows])
            for kept in drawn:
                with only_layers(model, kept):
                    part = forward(rows)
                yield distilled(part, full.detach(), labels[rows], how)

        return losses

    return step


def drawn_subsets(
    depth: int, smallest: int, generator: np.random.Generator
) -> tuple[Subset, Subset]:
    """Draw a step's subsets: of a random size between the smallest and the full, and smallest."""
    size = int(generator.integers(min(smallest + 1, depth - 1), depth))
    middle, small = (generator.permutation(depth)[:count] for count in (size, smallest))
    return tuple(sorted(middle.tolist())), tuple(sorted(small.tolist()))
