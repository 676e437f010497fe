from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, matthews_corrcoef

from genoslim.errors import GenoslimError
from genoslim.stats.metrics import F1Mean, compute_metrics
from genoslim.stats.resampling import draw_counts
from genoslim.stats.weighted import (
    WeightedCounts,
    weighted_average_precision,
    weighted_metrics,
)

MEASURES = ("accuracy", "auroc", "f1", "true_positive_rate")
ROWS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 5), st.integers(0, 5), st.integers(0, 3)),
    min_size=2,
    max_size=30,
)


@given(ROWS, st.sampled_from(["binary", "macro"]))
def test_weights_are_copies_of_rows(rows: list[tuple[int, int, int, int]], f1: F1Mean) -> None:
    labels, first, second, times = np.array(rows).T
    probabilities = np.stack([first, second], axis=1) / 5
    found = weighted_metrics(labels, probabilities, [0.5, 0.4], times[None], f1=f1)
    drawn = np.repeat(np.arange(len(rows)), times)
    for model, threshold in enumerate((0.5, 0.4)):
        values = [getattr(found, name)[0, model] for name in MEASURES]
        if len(set(labels[drawn])) < 2:
            assert np.isnan(values).all()
            continue
        expected = compute_metrics(
            labels[drawn], probabilities[drawn, model], threshold=threshold, f1=f1
        )
        assert values == pytest.approx([getattr(expected, name) for name in MEASURES], abs=1e-12)


def test_each_set_of_weights_stands_for_itself() -> None:
    generator = np.random.default_rng(0)
    labels, probabilities = generator.integers(0, 2, 50), generator.random((50, 3))
    counts, index = draw_counts(np.arange(50) // 5, repeats=150)
    all_at_once = weighted_metrics(labels, probabilities, np.full(3, 0.5), counts[:, index])
    for number in (0, 63, 64, 149):
        alone = weighted_metrics(
            labels, probabilities, np.full(3, 0.5), counts[number : number + 1, index]
        )
        np.testing.assert_allclose(all_at_once.auroc[number], alone.auroc[0])
    assert np.unique(all_at_once.auroc[:, 0]).size > 100


def test_counts_are_draws_of_whole_clusters() -> None:
    counts, index = draw_counts(["b", "a", "b", "c"], repeats=400, seed=3)
    assert index.tolist() == [1, 0, 1, 2]
    assert counts.shape == (400, 3)
    assert (counts.sum(axis=1) == 3).all()
    assert counts.mean() == pytest.approx(1)
    assert (draw_counts(["b", "a", "b", "c"], repeats=400, seed=3)[0] == counts).all()
    assert (draw_counts(["b", "a", "b", "c"], repeats=400, seed=4)[0] != counts).any()


def test_shapes_must_fit() -> None:
    with pytest.raises(GenoslimError, match=r"4 labels, shapes \[3, 1\] and \[2, 4\]"):
        weighted_metrics([0, 1, 0, 1], np.zeros((3, 1)), [0.5], np.ones((2, 4)))


@given(ROWS)
def test_counts_and_precision_are_scikit_learns_on_copies_of_rows(
    rows: list[tuple[int, int, int, int]],
) -> None:
    labels, scores, _, times = np.array(rows).T
    called = scores >= 3
    counts = WeightedCounts.of(labels == 1, called, times[None])
    average = weighted_average_precision(labels, scores, times[None])[0]
    drawn = np.repeat(np.arange(len(rows)), times)
    truth, calls = labels[drawn], called[drawn].astype(int)
    if not truth.any():
        assert np.isnan(average)
        return
    assert average == pytest.approx(average_precision_score(truth, scores[drawn]))
    assert counts.f1[0] == pytest.approx(f1_score(truth, calls, zero_division=0))
    assert counts.accuracy[0] == pytest.approx(np.mean(truth == calls))
    if truth.all():
        assert np.isnan(counts.specificity[0])
        return
    assert counts.mcc[0] == pytest.approx(matthews_corrcoef(truth, calls))
    ppv, npv = counts.predictive_values(0.02)
    hit, false = counts.sensitivity[0] * 0.02, (1 - counts.specificity[0]) * 0.98
    right, missed = counts.specificity[0] * 0.98, (1 - counts.sensitivity[0]) * 0.02
    for found, good, bad in ((ppv[0], hit, false), (npv[0], right, missed)):
        never = good + bad == 0
        assert np.isnan(found) if never else found == pytest.approx(good / (good + bad))
