"""Strategies on made-up score functions whose best subsets are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

import pytest

from genoslim.prune.strategies import (
    Greedy,
    Listed,
    Probe,
    Strategy,
    beam,
    best_runs,
    ladder,
)
from genoslim.prune.subsets import (
    Subset,
    alternate,
    by_turns,
    children,
    complement,
    draws,
    first,
    last,
    without_runs,
)

VALUE = (5.0, 1.0, 4.0, 0.5, 3.0, 2.0)
"""What each of six layers is worth where they add up."""


def _additive(subset: Subset) -> float:
    return sum(VALUE[layer] for layer in subset)


def _probe(score: Callable[[Subset], float]) -> Probe:
    return lambda subsets: [score(subset) for subset in subsets]


def _run(strategy: Strategy, score: Callable[[Subset], float], depth: int) -> list[Subset]:
    """Train what a strategy asks for, until it asks no more."""
    found = {tuple(range(depth)): score(tuple(range(depth)))}
    asked = []
    while (subset := strategy.propose(found)) is not None:
        assert subset not in found
        assert subset == tuple(sorted(set(subset)))
        found[subset] = score(subset)
        asked.append(subset)
    return asked


def _best(score: Callable[[Subset], float], depth: int, size: int) -> Subset:
    return max(combinations(range(depth), size), key=score)


@pytest.mark.parametrize("width", [1, 3])
def test_beam_finds_the_best_of_layers_that_add_up(width: int) -> None:
    path = beam(6, _probe(_additive), width=width)
    assert path == {size: _best(_additive, 6, size) for size in range(1, 6)}


def _redundant(subset: Subset) -> float:
    """Layers 0 and 1 do the same and either is worth 4; 2 and 3 are worth 5, but only together."""
    kept = set(subset)
    return 4.0 * bool(kept & {0, 1}) + 5.0 * (kept >= {2, 3}) + 0.5 * len(kept & {4, 5})


def test_a_wide_beam_sees_what_one_step_at_a_time_cannot() -> None:
    for size in range(2, 6):
        assert _redundant(beam(6, _probe(_redundant), width=4)[size]) == _redundant(
            _best(_redundant, 6, size)
        )


def test_a_wide_beam_comes_back_from_a_wrong_first_step() -> None:
    """Of three layers 0 is the first to go, and yet the best to keep alone."""
    worth = {(1, 2): 3.0, (0, 1): 2.5, (0, 2): 2.0, (0,): 5.0, (2,): 2.0, (1,): 1.0}
    assert beam(3, _probe(worth.__getitem__))[1] == (2,)
    assert beam(3, _probe(worth.__getitem__), width=2)[1] == (0,)


def test_best_runs_drop_the_run_that_is_worth_least() -> None:
    runs = best_runs(6, _probe(_additive))
    for size in range(1, 6):
        assert runs[size] == max(without_runs(6, size), key=_additive)
    assert runs[5] == (0, 1, 2, 4, 5)


def test_greedy_re_estimates_after_each_training() -> None:
    """A probe of the full model would drop 0 and 1 both; of the model without 0 it keeps 1."""

    def probe_of(trained: Subset) -> Probe:
        return _probe(_redundant)

    asked = _run(Greedy("greedy", 6, probe_of, width=1), _redundant, 6)
    assert [len(subset) for subset in asked] == [5, 4, 3, 2, 1]
    assert asked[0] == (1, 2, 3, 4, 5)
    assert all(1 in subset for subset in asked if len(subset) > 2)


def test_greedy_accepts_on_what_training_gave_and_not_on_the_probe() -> None:
    """The probe is upside down, so its first child loses; its second is accepted if better."""
    wrong = _probe(lambda subset: -_additive(subset))
    narrow = _run(Greedy("greedy", 6, lambda _: wrong, width=1, slack=0.1), _additive, 6)
    assert narrow == [tuple(x for x in range(6) if x in left) for left in (
        {1, 2, 3, 4, 5}, {1, 3, 4, 5}, {1, 3, 5}, {1, 3}, {3},
    )]  # fmt: skip
    wide = _run(Greedy("greedy", 6, lambda _: wrong, width=6, slack=0.1), _additive, 6)
    best = {size: max((s for s in wide if len(s) == size), key=_additive) for size in range(1, 6)}
    assert best == {size: _best(_additive, 6, size) for size in range(1, 6)}
    slack = _run(Greedy("greedy", 6, lambda _: wrong, width=6, slack=100), _additive, 6)
    assert slack == narrow


def test_listed_asks_in_order_and_never_for_what_is_known() -> None:
    listed = Listed("x", ((0,), (0, 1), (0,), (1, 2)))
    assert listed.propose({(0, 1): 0.5}) == (0,)
    assert _run(listed, _additive, 6) == [(0,), (0, 1), (1, 2)]


@pytest.mark.parametrize(
    ("depth", "sizes"),
    [(12, (4, 6, 3, 8, 1, 2, 5, 7, 9, 10, 11)), (3, (1, 2)), (2, (1,)), (1, ())],
)
def test_ladder_has_every_size_once(depth: int, sizes: Sequence[int]) -> None:
    assert ladder(depth) == sizes


def test_subsets() -> None:
    assert complement((0, 2), 4) == (1, 3)
    assert children((1, 3, 4)) == [(3, 4), (1, 4), (1, 3)]
    assert list(without_runs(4, 2)) == [(2, 3), (0, 3), (0, 1)]
    assert [rule(6, 4) for rule in (first, last, alternate)] == [
        (0, 1, 2, 3),
        (2, 3, 4, 5),
        (0, 1, 2, 4),
    ]
    assert alternate(5, 3) == (0, 2, 4)
    assert by_turns([[(0,), (1,)], [], [(0, 1)]]) == [(0,), (0, 1), (1,)]
    drawn = draws(12, 4, 5, seed=1)
    assert len(set(drawn)) == 5
    assert drawn == draws(12, 4, 5, seed=1) != draws(12, 4, 5, seed=2)
    assert sorted(draws(4, 3, 99, seed=0)) == sorted(combinations(range(4), 3))
