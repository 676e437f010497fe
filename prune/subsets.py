"""Subsets of a stack of layers, and those that every search is held against.

A subset is the ascending tuple of the layers that are kept, counted in the full stack of `depth`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

import numpy as np

Subset = tuple[int, ...]


def complement(subset: Sequence[int], depth: int) -> Subset:
    """Return the layers of the full stack that are not in `subset`."""
    return tuple(sorted(set(range(depth)) - set(subset)))


def children(subset: Subset) -> list[Subset]:
    """Return the subsets that have one layer less, the first layer left out first."""
    return [subset[:place] + subset[place + 1 :] for place in range(len(subset))]


def first(depth: int, size: int) -> Subset:
    """Return the first layers: the last ones are dropped (arXiv 2004.03844, as the next two)."""
    return tuple(range(depth))[:size]


def last(depth: int, size: int) -> Subset:
    """Return the last layers."""
    return tuple(range(depth - size, depth))


def alternate(depth: int, size: int) -> Subset:
    """Return what is left when every other layer is dropped, late ones first, then the rest."""
    spared = [*range(0, depth, 2), *range(1, depth, 2)]
    return tuple(sorted(spared[:size]))


def draws(depth: int, size: int, count: int, seed: int) -> list[Subset]:
    """Return up to `count` different subsets drawn at random, the same for the same seed."""
    generator = np.random.default_rng([seed, depth, size])
    found: dict[Subset, None] = {}
    for _ in range(20 * count):  # of few subsets there may be no more than these
        drawn = generator.permutation(depth)[:size]
        found.setdefault(tuple(sorted(map(int, drawn))))
        if len(found) == count:
            break
    return list(found)


def without_runs(depth: int, size: int) -> Iterator[Subset]:
    """Yield the stack without each run of `depth - size` neighbouring layers."""
    gap = depth - size
    for start in range(depth - gap + 1):
        yield complement(range(start, start + gap), depth)


def by_turns(lists: Iterable[Sequence[Subset]]) -> list[Subset]:
    """Return the first of each list, then the second of each, as long as there are any."""
    turns = zip_longest(*lists)
    return [subset for turn in turns for subset in turn if subset is not None]
