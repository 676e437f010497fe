"""Search strategies: each says which subset of layers to train next, from what was found so far.

A strategy is a pure function of the trained subsets' scores, so a search that is begun again asks
the same questions and finds the answers on disk. A *probe* scores subsets by forward passes of one
trained model that is given some of its layers alone; scores are higher for better.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from .subsets import Subset, children, without_runs

Probe = Callable[[Sequence[Subset]], Sequence[float]]
Found = Mapping[Subset, float]
"""The score of every subset that was trained, the full stack's included."""


class Strategy(Protocol):
    """Proposes subsets one by one."""

    @property
    def name(self) -> str:
        """What it is called in records and tables."""

    def propose(self, found: Found) -> Subset | None:
        """Return the next subset to train, none of `found`; None when there is no more to ask."""


@dataclass(frozen=True)
class Listed:
    """Subsets that are known beforehand, in the order in which they are to be trained."""

    name: str
    subsets: tuple[Subset, ...]

    def propose(self, found: Found) -> Subset | None:
        """See `Strategy.propose`."""
        return next((subset for subset in self.subsets if subset not in found), None)


@dataclass(frozen=True)
class Greedy:
    """Removes one layer after the other, and asks anew what is left which is the next.

    `probe_of` gives the probe on the model that was trained with a subset. The `width` children
    that the probe likes best are trained in turn until one scores at most `slack` below the
    subset it comes from; where none does, the best of them is accepted.
    """

    name: str
    depth: int
    probe_of: Callable[[Subset], Probe]
    width: int = 2
    slack: float = 0.005

    def propose(self, found: Found) -> Subset | None:
        """See `Strategy.propose`."""
        here = tuple(range(self.depth))
        while len(here) > 1:
            tried = _best(children(here), self.probe_of(here), self.width)
            accepted = None
            for child in tried:
                if child not in found:
                    return child
                if found[child] >= found[here] - self.slack:
                    accepted = child
                    break
            here = accepted or max(tried, key=lambda child: found[child])
        return None


def beam(depth: int, probe: Probe, *, width: int = 1) -> dict[int, Subset]:
    """Return the best subset of each size that a beam search by a probe finds.

    It goes from the full stack downwards, one layer at a time, and keeps the `width` best subsets
    of each size. A width of 1 on a fine-tuned model is SLEB (Song et al. 2024, arXiv 2402.09025),
    with the probe's score in place of the loss.
    """
    kept = [tuple(range(depth))]
    path: dict[int, Subset] = {}
    while len(kept[0]) > 1:
        offered = dict.fromkeys(child for subset in kept for child in children(subset))
        kept = _best(list(offered), probe, width)
        path[len(kept[0])] = kept[0]
    return path


def best_runs(depth: int, probe: Probe) -> dict[int, Subset]:
    """Return, for each size, the stack without the one contiguous run a probe misses least."""
    return {size: _best(list(without_runs(depth, size)), probe, 1)[0] for size in range(1, depth)}


def ladder(depth: int) -> tuple[int, ...]:
    """Return the sizes below `depth` in the order in which a search looks at them.

    A third of the layers comes first, then a half, a quarter, two thirds; then whatever is left
    from few layers to many. A search that ends early has then seen sizes of every kind.
    """
    shares = (depth // 3, depth // 2, depth // 4, 2 * depth // 3)
    order = dict.fromkeys([*shares, *range(1, depth)])
    return tuple(size for size in order if 0 < size < depth)


def _best(subsets: Sequence[Subset], probe: Probe, count: int) -> list[Subset]:
    """Return the subsets a probe scores highest; of equals those that come first."""
    scores = probe(subsets)
    order = sorted(range(len(subsets)), key=lambda place: -scores[place])
    return [subsets[place] for place in order[:count]]
