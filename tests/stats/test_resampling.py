from __future__ import annotations

import numpy as np
import pytest

from genoslim.errors import GenoslimError, UsageError
from genoslim.stats.ranks import auroc
from genoslim.stats.resampling import clustered_bootstrap


def mean(values: np.ndarray) -> float:
    return float(values.mean())


def test_clusters_of_copies_widen_the_interval_as_they_should() -> None:
    values = np.random.default_rng(1).normal(size=200)
    once = clustered_bootstrap(mean, values, clusters=np.arange(200), repeats=800)
    copied = clustered_bootstrap(
        mean, np.repeat(values, 4), clusters=np.repeat(np.arange(200), 4), repeats=800
    )
    naive = clustered_bootstrap(mean, np.repeat(values, 4), clusters=np.arange(800), repeats=800)
    assert copied.samples == pytest.approx(once.samples)
    assert naive.standard_error == pytest.approx(once.standard_error / 2, rel=0.2)
    assert once.standard_error == pytest.approx(values.std(ddof=1) / 200**0.5, rel=0.15)


def test_whole_clusters_are_drawn_together() -> None:
    clusters = np.array(["x", "y", "x", "z", "y", "x"])

    def check(drawn: np.ndarray) -> float:
        counts = {name: int((drawn == name).sum()) for name in "xyz"}
        assert counts["x"] % 3 == 0
        assert counts["y"] % 2 == 0
        assert counts["x"] // 3 + counts["y"] // 2 + counts["z"] == 3
        return 0.0

    clustered_bootstrap(check, clusters, clusters=clusters, repeats=50)


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(2).normal(size=30)
    first, again, other = (
        clustered_bootstrap(mean, values, clusters=np.arange(30), repeats=50, seed=seed)
        for seed in (3, 3, 4)
    )
    assert first == again
    assert (first.low, first.high) != (other.low, other.high)


def test_a_model_against_itself_has_p_one() -> None:
    labels = np.arange(20) % 2
    scores = np.random.default_rng(5).normal(size=20)

    def difference(y: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
        return auroc(y, b) - auroc(y, a)

    found = clustered_bootstrap(
        difference, labels, scores, scores, clusters=np.arange(20), repeats=100
    )
    assert (found.estimate, found.low, found.high, found.p_value()) == (0.0, 0.0, 0.0, 1.0)


def test_p_value_is_small_for_a_clear_shift_and_never_zero() -> None:
    values = np.random.default_rng(6).normal(loc=3, size=50)
    found = clustered_bootstrap(mean, values, clusters=np.arange(50), repeats=199)
    assert found.p_value() == pytest.approx(2 / 200)
    assert found.p_value(null=float(values.mean())) > 0.5


def test_draws_without_a_statistic_are_counted_and_too_many_are_an_error() -> None:
    labels, scores = np.array([0, 0, 1]), np.array([0.1, 0.2, 0.3])
    found = clustered_bootstrap(auroc, labels, scores, clusters=np.arange(3), repeats=200)
    assert found.failed + found.samples.size == 200
    assert 0 < found.failed < 100
    with pytest.raises(GenoslimError, match=r"\d+ of 20 bootstrap draws failed"):
        clustered_bootstrap(auroc, labels, scores, clusters=np.array([0, 0, 1]), repeats=20, seed=8)


def test_bad_input() -> None:
    values = np.arange(3.0)
    with pytest.raises(GenoslimError, match="one length, found"):
        clustered_bootstrap(mean, values, values[:2], clusters=[0, 1, 2])
    with pytest.raises(GenoslimError, match="at least two clusters, found 1"):
        clustered_bootstrap(mean, values, clusters=[0, 0, 0])
    with pytest.raises(GenoslimError, match="as many clusters as"):
        clustered_bootstrap(mean, values, clusters=[0, 1])
    with pytest.raises(UsageError, match="repeats must be at least 2, found 1"):
        clustered_bootstrap(mean, values, clusters=[0, 1, 2], repeats=1)
