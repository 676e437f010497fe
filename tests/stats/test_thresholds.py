from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genoslim.errors import GenoslimError, UsageError
from genoslim.stats.thresholds import (
    sensitivity_at_specificity,
    youden_threshold,
)

ROWS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 8).map(lambda k: k / 8)), min_size=2, max_size=30
).filter(lambda rows: len({label for label, _ in rows}) == 2)


def rates(labels: np.ndarray, scores: np.ndarray, threshold: float) -> tuple[float, float]:
    called = scores >= threshold
    return float(called[labels == 1].mean()), float((~called)[labels == 0].mean())


@given(ROWS)
def test_youden_is_the_best_cut_between_two_scores(rows: list[tuple[int, float]]) -> None:
    labels, scores = np.array(rows).T
    found = youden_threshold(labels, scores)
    cuts = np.unique(scores)[1:]
    if cuts.size == 0:
        assert found == 0.5
        return
    assert sum(rates(labels, scores, found)) == pytest.approx(
        max(sum(rates(labels, scores, cut)) for cut in cuts)
    )
    assert found not in scores


def test_youden_separates_neighbouring_numbers() -> None:
    low = 0.3
    high = float(np.nextafter(low, 1))
    assert youden_threshold([0, 1], [low, high]) == high


def test_youden_prefers_the_middle_among_equals() -> None:
    assert youden_threshold([0, 1, 0, 1], [0.1, 0.2, 0.4, 0.8]) == pytest.approx(0.6)


@given(ROWS, st.sampled_from([0.05, 0.5, 0.9, 0.95]))
def test_sensitivity_is_the_best_at_that_specificity(rows: list, target: float) -> None:
    labels, scores = np.array(rows).T
    point = sensitivity_at_specificity(labels, scores, specificity=target)
    assert point.specificity >= target - 1e-12
    assert rates(labels, scores, point.threshold) == pytest.approx(
        (point.sensitivity, point.specificity)
    )
    allowed = [
        sensitivity
        for sensitivity, specificity in (rates(labels, scores, cut) for cut in np.unique(scores))
        if specificity >= target - 1e-12
    ]
    assert point.sensitivity == pytest.approx(max(allowed, default=0.0))


def test_bad_input() -> None:
    with pytest.raises(GenoslimError, match="at least 1 of each class"):
        youden_threshold([1, 1], [0.5, 0.6])
    with pytest.raises(UsageError, match="specificity must lie between 0 and 1, found 95"):
        sensitivity_at_specificity([0, 1], [0, 1], specificity=95)
