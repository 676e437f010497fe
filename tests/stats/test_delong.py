from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from genoslim.errors import GenoslimError, UsageError
from genoslim.stats.delong import auroc_interval, paired_auroc, two_sided_quantile

PROC = json.loads((Path(__file__).parents[1] / "fixtures" / "stats" / "proc.json").read_text())
ROWS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(-4, 4), st.integers(-4, 4)), min_size=4, max_size=30
).filter(lambda rows: 2 <= sum(row[0] for row in rows) <= len(rows) - 2)


def placements(labels: np.ndarray, scores: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """The definition: psi over every pair of a positive and a negative, in O(mn)."""
    pairs = np.array(
        [
            [float(x > y) + 0.5 * float(x == y) for y in scores[labels == 0]]
            for x in scores[labels == 1]
        ]
    )
    return pairs.mean(), pairs.mean(axis=1), pairs.mean(axis=0)


def covariance(first: tuple, second: tuple) -> float:
    return sum(
        np.cov(a, b, ddof=1)[0, 1] / len(a) for a, b in zip(first[1:], second[1:], strict=True)
    )


@given(ROWS)
def test_agrees_with_the_definition(rows: list[tuple[int, int, int]]) -> None:
    labels, first, second = np.array(rows).T
    a, b = placements(labels, first), placements(labels, second)
    interval = auroc_interval(labels, first)
    assert interval.auroc == pytest.approx(a[0], abs=1e-12)
    assert interval.standard_error**2 == pytest.approx(covariance(a, a), abs=1e-12)
    paired = paired_auroc(labels, first, second)
    expected = covariance(a, a) + covariance(b, b) - 2 * covariance(a, b)
    assert paired.difference == pytest.approx(b[0] - a[0], abs=1e-12)
    assert paired.standard_error**2 == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_interval_agrees_with_proc(name: str) -> None:
    found = auroc_interval(PROC["columns"]["label"], PROC["columns"][name])
    assert [found.auroc, found.standard_error, found.low, found.high] == pytest.approx(
        PROC["auroc_error_low_high"][name], abs=1e-9
    )


@pytest.mark.parametrize("pair", ["a-b", "b-c", "a-c"])
def test_paired_test_agrees_with_proc(pair: str) -> None:
    first, second = (PROC["columns"][name] for name in pair.split("-"))
    found = paired_auroc(PROC["columns"]["label"], first, second)
    assert [found.p_value, found.standard_error, found.correlation] == pytest.approx(
        PROC["p_error_correlation"][pair], abs=1e-9
    )


@given(ROWS)
def test_a_model_against_itself_differs_by_exactly_nothing(rows: list) -> None:
    labels, scores, _ = np.array(rows).T
    paired = paired_auroc(labels, scores, scores)
    assert (paired.difference, paired.standard_error, paired.p_value) == (0.0, 0.0, 1.0)
    assert (paired.low, paired.high) == (0.0, 0.0)
    assert paired.correlation in (None, pytest.approx(1.0))


@given(ROWS)
def test_only_ranks_matter(rows: list) -> None:
    labels, scores, other = np.array(rows).T
    assert paired_auroc(labels, scores, other) == paired_auroc(labels, np.exp(scores), other * 3)


@given(ROWS, st.randoms(use_true_random=False))
def test_order_of_rows_does_not_matter(rows: list, random: object) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    there, back = (paired_auroc(*np.array(r).T) for r in (rows, shuffled))
    assert there.difference == pytest.approx(back.difference, abs=1e-12)
    assert there.standard_error == pytest.approx(back.standard_error, abs=1e-12)


@given(ROWS)
def test_swapping_the_models_mirrors_the_difference(rows: list) -> None:
    labels, first, second = np.array(rows).T
    there, back = paired_auroc(labels, first, second), paired_auroc(labels, second, first)
    assert there.difference == -back.difference
    assert there.low == pytest.approx(-back.high)
    assert there.p_value == pytest.approx(back.p_value)


def test_perfect_separation_has_no_width() -> None:
    interval = auroc_interval([0, 0, 1, 1], [0, 1, 2, 3])
    assert (interval.auroc, interval.low, interval.high) == (1.0, 1.0, 1.0)
    paired = paired_auroc([0, 0, 1, 1], [0, 1, 2, 3], [3, 2, 1, 0])
    assert (paired.difference, paired.p_value, paired.correlation) == (-1.0, 0.0, None)


def test_small_p_values_do_not_vanish() -> None:
    labels = np.arange(4000) % 2
    first, second = np.random.default_rng(0).normal(size=(2, 4000))
    found = paired_auroc(labels, first, second + 0.8 * labels)
    z = found.difference / found.standard_error
    assert found.p_value == pytest.approx(2 * norm.sf(z), rel=1e-6)
    assert 0 < found.p_value < 1e-20


def test_intervals_stay_within_bounds_and_narrow_with_the_level() -> None:
    labels, scores = [0, 1, 0, 1, 1], [0.1, 0.3, 0.2, 0.9, 0.15]
    wide, narrow = (auroc_interval(labels, scores, level=level) for level in (0.99, 0.5))
    assert 0 <= wide.low < narrow.low < narrow.auroc < narrow.high < wide.high <= 1
    assert two_sided_quantile(0.95) == pytest.approx(1.959963984540054)


@given(st.integers(0, 2**32 - 1))
def test_coverage_is_about_right(seed: int) -> None:
    """A weak check that the error has the right size: 4 standard errors hold the truth."""
    generator = np.random.default_rng(seed)
    labels = np.arange(400) % 2
    scores = generator.normal(size=400) + labels
    found = auroc_interval(labels, scores)
    assert abs(found.auroc - 0.7602) < 6 * found.standard_error


def test_too_few_rows_and_bad_levels() -> None:
    with pytest.raises(GenoslimError, match="at least 2 of each class, found 1 positive"):
        auroc_interval([1, 0, 0], [1, 2, 3])
    with pytest.raises(GenoslimError, match="at least 2 of each class, found 2 positive"):
        paired_auroc([1, 1], [1, 2], [2, 1])
    with pytest.raises(UsageError, match="level must lie between 0 and 1, found 95"):
        auroc_interval([0, 0, 1, 1], [1, 2, 3, 4], level=95)
    with pytest.raises(GenoslimError, match="3 against 4"):
        paired_auroc([0, 0, 1, 1], [1, 2, 3, 4], [1, 2, 3])
