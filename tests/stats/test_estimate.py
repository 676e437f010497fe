from __future__ import annotations

import math

import numpy as np
import pytest

from genoslim.errors import GenoslimError
from genoslim.stats.estimate import Estimate, bootstrap_estimates, by, decimals, expanded_tails
from genoslim.stats.resampling import clustered_bootstrap


@pytest.mark.parametrize(
    ("width", "digits"), [(0.4, 2), (0.06, 3), (0.0198, 4), (0.00001, 4), (0.0, 3), (math.nan, 3)]
)
def test_digits_are_those_that_the_interval_allows(width: float, digits: int) -> None:
    assert decimals(width) == digits


def test_an_estimate_as_text() -> None:
    assert str(Estimate(value=0.87249, low=0.8412, high=0.9014)) == "0.872 (0.841 to 0.901)"
    assert str(Estimate(value=0.5, low=0.31, high=0.72)) == "0.50 (0.31 to 0.72)"


def test_the_size_of_a_difference_has_no_sign() -> None:
    worse = Estimate(value=-0.081, low=-0.112, high=-0.049)
    assert by(worse) == "by 0.081 (0.049 to 0.112)"
    assert by(Estimate(value=0.081, low=0.049, high=0.112)) == by(worse)
    assert by(Estimate(value=-0.01, low=None, high=None)) == "by -0.010 (no interval)"


def test_figures_are_drawn_as_the_bootstrap_of_rows_draws() -> None:
    values = np.random.default_rng(1).normal(size=60)
    clusters = np.arange(60) // 3

    def mean(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {"mean": weights @ values / weights.sum(axis=1)}

    found = bootstrap_estimates(mean, clusters)["mean"]
    low, high = expanded_tails(0.95, 20)
    expected = clustered_bootstrap(
        lambda v: float(v.mean()), values, clusters=clusters, repeats=1000, level=high - low
    )
    assert (found.value, found.low, found.high) == pytest.approx(
        (expected.estimate, expected.low, expected.high)
    )


def test_few_clusters_widen_the_interval_to_what_it_covers() -> None:
    assert expanded_tails(0.95, 10**6)[0] == pytest.approx(0.025, abs=1e-5)
    assert expanded_tails(0.95, 6)[0] < 0.01
    generator = np.random.default_rng(2)
    covered = 0
    for _ in range(300):
        means = np.repeat(generator.normal(size=6), 4)

        def mean(weights: np.ndarray, values: np.ndarray = means) -> dict[str, np.ndarray]:
            return {"mean": weights @ values / weights.sum(axis=1)}

        found = bootstrap_estimates(mean, np.repeat(np.arange(6), 4), repeats=400)["mean"]
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0 <= found.high
    assert covered / 300 >= 0.92  # without the expansion: 0.87


def test_a_figure_that_most_draws_lack_has_no_interval() -> None:
    def rare(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {"rare": np.where(weights[:, 0] == 1, 1.0, np.nan)}

    found = bootstrap_estimates(rare, np.arange(4))["rare"]
    assert found == Estimate(value=1.0, low=None, high=None)
    assert str(found) == "1.000 (no interval)"


def test_a_figure_that_the_rows_have_not_is_left_out() -> None:
    assert bootstrap_estimates(lambda w: {"none": np.full(len(w), np.nan)}, np.arange(4)) == {}


def test_one_cluster_tells_nothing() -> None:
    with pytest.raises(GenoslimError, match="at least two clusters, found 1"):
        bootstrap_estimates(lambda w: {"n": w.sum(axis=1)}, ["a", "a"])
