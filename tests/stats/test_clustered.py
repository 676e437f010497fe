from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genoslim.errors import GenoslimError
from genoslim.stats.clustered import macro_aurocs, pooled_aurocs
from genoslim.stats.delong import auroc_interval, paired_auroc
from genoslim.stats.ranks import auroc

ROWS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(-4, 4), st.integers(-4, 4)), min_size=4, max_size=30
).filter(lambda rows: 2 <= sum(row[0] for row in rows) <= len(rows) - 2)


@given(ROWS)
def test_is_delong_where_rows_are_independent(rows: list[tuple[int, int, int]]) -> None:
    labels, first, second = np.array(rows).T
    found = pooled_aurocs(labels, np.stack([first, second], axis=1))
    paired = paired_auroc(labels, first, second)
    assert found.values == pytest.approx([paired.first, paired.second], abs=1e-12)
    for index, scores in enumerate((first, second)):
        error = auroc_interval(labels, scores).standard_error
        assert found.covariance[index, index] == pytest.approx(error**2, abs=1e-12)
    contrast = np.array([-1, 1])
    variance = contrast @ found.covariance @ contrast
    assert variance == pytest.approx(paired.standard_error**2, abs=1e-12)
    assert found.freedom == min(labels.sum(), len(rows) - labels.sum()) - 1


@given(ROWS, st.integers(2, 4))
def test_rows_that_recur_add_nothing_but_the_size_of_the_sample(
    rows: list[tuple[int, int, int]], times: int
) -> None:
    """Copies in one cluster leave the covariance of the rows themselves, not a `times` smaller."""
    labels, first, second = np.array(rows).T
    scores = np.stack([first, second], axis=1)
    once = pooled_aurocs(labels, scores)
    copied = pooled_aurocs(
        np.repeat(labels, times),
        np.repeat(scores, times, axis=0),
        np.repeat(np.arange(len(rows)), times),
    )
    np.testing.assert_allclose(copied.values, once.values, atol=1e-12)
    np.testing.assert_allclose(copied.covariance, once.covariance, atol=1e-12)


def _clustered(generator: np.random.Generator, units: int) -> tuple[np.ndarray, ...]:
    """Clusters of four rows, mostly of one label; two models that share the clusters' luck."""
    index = np.repeat(np.arange(units), 4)
    mostly = generator.integers(0, 2, units)[index]
    labels = np.where(generator.random(len(index)) < 0.8, mostly, 1 - mostly)
    luck = generator.normal(size=(units, 2)) @ np.array([[1.0, 0.6], [0.0, 0.8]])
    scores = labels[:, None] + luck[index] + generator.normal(size=(len(index), 2))
    return labels, scores, index


def test_the_covariance_is_that_over_new_samples_of_clusters() -> None:
    """The mean estimate over 600 samples of 60 clusters is that of the spread seen in them."""
    generator = np.random.default_rng(1)
    found = [pooled_aurocs(*_clustered(generator, 60)) for _ in range(3000)]
    seen = np.cov(np.array([one.values for one in found]), rowvar=False)
    said = np.mean([one.covariance for one in found], axis=0)
    np.testing.assert_allclose(said, seen, rtol=0.1)
    labels, scores, _ = _clustered(generator, 60)
    assert pooled_aurocs(labels, scores).covariance[0, 0] < 0.6 * said[0, 0]  # rows are not enough


def test_macro_rests_on_the_groups_alone() -> None:
    labels = np.array([0, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 1, 0, 0])
    groups = np.array(list("aaaabbbbccccdd"))
    scores = np.random.default_rng(0).normal(size=(14, 3))
    found = macro_aurocs(labels, scores, groups)
    each = np.array([[auroc(labels[groups == g], s[groups == g]) for s in scores.T] for g in "abc"])
    np.testing.assert_allclose(found.values, each.mean(axis=0))
    np.testing.assert_allclose(found.covariance, np.cov(each, rowvar=False) / 3)
    assert (found.units, found.freedom) == (3, 2)  # group d has one class


def test_four_groups_are_four_however_many_rows_they_have() -> None:
    generator = np.random.default_rng(2)
    labels, groups = np.tile([0, 1], 2000), np.repeat(np.arange(4), 1000)
    scores = 0.2 * labels * (1 + groups) + generator.normal(size=4000)
    low, high = macro_aurocs(labels, scores[:, None], groups).mean_interval()
    by_rows = pooled_aurocs(labels, scores[:, None]).mean_interval()
    assert high - low > 4 * (by_rows[1] - by_rows[0])


def test_mean_interval_is_that_of_students_t() -> None:
    labels = np.tile([0, 1], 20)
    scores = np.random.default_rng(3).normal(size=(40, 1)) + labels[:, None]
    low, high = pooled_aurocs(labels, scores).mean_interval()
    normal = auroc_interval(labels, scores[:, 0])
    assert (low + high) / 2 == pytest.approx(normal.auroc)
    assert (high - low) / (normal.high - normal.low) == pytest.approx(
        2.0930 / 1.95996, abs=1e-4
    )  # of 19


@pytest.mark.parametrize(
    ("labels", "clusters", "word"),
    [
        ([0, 1, 1, 1], [0, 1, 2, 3], "at least 2 of each class"),
        ([0, 0, 1, 1], [0, 0, 0, 0], "at least 2 clusters"),
        ([0, 0, 1, 1], [0, 1, 2, 2], "at least 2 clusters with positives"),
        ([0, 0, 1, 1], [0, 0, 1, 2], "at least 2 clusters with negatives"),
    ],
)
def test_too_few_of_anything(labels: list[int], clusters: list[int], word: str) -> None:
    with pytest.raises(GenoslimError, match=word):
        pooled_aurocs(labels, np.arange(4.0)[:, None], clusters)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(GenoslimError, match=r"shape \[n, k\], found \[4\]"):
        pooled_aurocs([0, 1, 0, 1], np.arange(4.0))
    with pytest.raises(GenoslimError, match="at least 2 groups with both classes, found 1"):
        macro_aurocs([0, 1, 0, 0], np.arange(4.0)[:, None], ["a", "a", "b", "b"])


def test_many_clusters_of_one_class_make_the_other_no_better_known() -> None:
    """Five clusters of positives, which share an effect, and sixty of negatives."""
    generator = np.random.default_rng(5)
    clusters = np.concatenate([np.repeat(np.arange(5), 20), 5 + np.repeat(np.arange(60), 5)])
    labels = (clusters < 5).astype(np.int8)
    wrong, repeats = 0, 400
    for _ in range(repeats):
        scores = labels + 0.5 * generator.normal(size=65)[clusters] + generator.normal(size=400)
        found = pooled_aurocs(labels, scores[:, None], clusters)
        assert found.freedom == 4
        low, high = found.mean_interval(level=0.9)
        wrong += not low <= TRUTH <= high
    assert wrong / repeats < 0.1 + 3 * (0.1 * 0.9 / repeats) ** 0.5


TRUTH = 0.7365
"""Of one normal less another that lies 1 lower, each of variance 1.25: Phi(1 / sqrt(2.5))."""
