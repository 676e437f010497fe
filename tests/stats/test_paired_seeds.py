from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import f as fisher
from scipy.stats import t as student
from scipy.stats import ttest_rel

from genoslim.errors import GenoslimError
from genoslim.stats.paired_seeds import (
    Design,
    Differences,
    paired_differences,
    seed_spread,
    unpaired_differences,
)

MANY = 10**9
"""Units of a sample so large that its covariance is known."""


def _design(layers: int, seeds: int, baseline: int) -> Design:
    runs = [("baseline", seed) for seed in range(baseline)]
    runs += [(f"layer {layer}", seed) for layer in range(layers) for seed in range(seeds)]
    return Design(*zip(*runs, strict=True))


def test_one_group_is_the_paired_t_test() -> None:
    design = _design(1, 4, 4)
    first, second = np.random.default_rng(0).normal(size=(2, 4))
    found = paired_differences(
        design, np.concatenate([first, second]), np.zeros((8, 8)), units=MANY
    )
    expected = ttest_rel(second, first)
    assert found.values[0] == pytest.approx(np.mean(second - first))
    assert found.freedom[0] == pytest.approx(3)
    assert found.p_different()[0] == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval()
    assert found.half_width()[0] == pytest.approx((high - low) / 2)


def test_many_groups_are_the_analysis_of_variance_of_groups_by_seeds() -> None:
    """The residual of the complete table, by its textbook formula."""
    generator = np.random.default_rng(1)
    table = generator.normal(size=(13, 3)) + generator.normal(size=3)
    design = _design(12, 3, 3)
    left = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    square = (left**2).sum() / 24
    found = paired_differences(design, table.ravel(), np.zeros((39, 39)), units=MANY)
    np.testing.assert_allclose(found.values, table[1:].mean(1) - table[0].mean())
    own = (left[1:] ** 2).sum(1) * 13 / 12 / 2
    np.testing.assert_allclose(found.errors**2, (np.maximum(own, square) + square) / 3)
    np.testing.assert_allclose(found.freedom, 24)
    spread = seed_spread(design, table.ravel(), np.zeros((39, 39)))
    assert (spread.sd, spread.freedom) == (pytest.approx(np.sqrt(square)), 24)
    ratio = 13 * table.mean(0).var(ddof=1) / square
    shared = (ratio - 1) / 13
    assert spread.removed == pytest.approx(shared / (1 + shared))
    low = (ratio / fisher.ppf(0.975, 2, 24) - 1) / 13
    assert spread.removed_low == pytest.approx(max(low, 0) / (1 + max(low, 0)))


def test_what_seeds_share_falls_out() -> None:
    design = _design(5, 2, 3)
    generator = np.random.default_rng(2)
    values = generator.normal(size=13)
    luck = np.array([3.0, -7.0, 5.0])[np.array(design.seeds)]
    covariance = 0.1 * np.eye(13)
    before = paired_differences(design, values, covariance, units=MANY)
    after = paired_differences(design, values + luck, covariance, units=MANY)
    np.testing.assert_allclose(after.values, before.values)
    np.testing.assert_allclose(after.errors, before.errors)
    assert seed_spread(design, values + luck, covariance).removed > 0.9


def test_rows_count_once() -> None:
    """The rows' noise is in the residual too: with nothing else the variance is the rows' alone."""
    design = _design(8, 2, 2)
    generator = np.random.default_rng(3)
    group = np.array([design.groups.index(name) for name in design.groups])
    covariance = 0.5 + 0.2 * (group[:, None] == group) + 0.3 * np.eye(18)
    root = np.linalg.cholesky(covariance)
    found = [
        paired_differences(design, root @ generator.normal(size=18), covariance, units=MANY)
        for _ in range(500)
    ]
    said = np.mean([one.errors**2 for one in found])
    seen = np.var([one.values for one in found])
    assert seen == pytest.approx(2 * (0.2 + 0.3 / 2), rel=0.1)
    assert 1.0 < said / seen < 1.35  # never below the rows' part, and own spreads count


def test_few_units_have_few_degrees_of_freedom() -> None:
    design = _design(8, 2, 2)
    values = np.random.default_rng(4).normal(size=18) * 1e-6
    covariance = 0.5 + 0.5 * np.eye(18)
    covariance[0, :2] = covariance[:2, 0] = 0.9
    for units in (4, 400):
        found = paired_differences(design, values, covariance + np.eye(18), units=units)
        assert (found.freedom <= units + 30).all()
    by_group = 0.1 * np.eye(9).repeat(2, axis=0).repeat(2, axis=1)
    four = paired_differences(design, values, by_group, units=4)
    np.testing.assert_allclose(four.freedom, 3, atol=0.01)


def test_a_group_that_lacks_a_seed_is_joined_by_the_others() -> None:
    """Layer 1 has seeds 0 and 7, the baseline has not 7: layer 2 has both."""
    runs = [("b", 0), ("b", 1), ("1", 0), ("1", 7), ("2", 0), ("2", 1), ("2", 7), ("3", 9)]
    design = Design(*zip(*runs, strict=True))
    group = {"b": 0.0, "1": 2.0, "2": -1.0, "3": 5.0}
    seed = {0: 0.3, 1: -0.2, 7: 1.0, 9: 4.0}
    values = np.array([group[g] + seed[s] for g, s in runs])
    found = paired_differences(design, values, np.eye(8), units=MANY)
    np.testing.assert_allclose(found.values[:2], [2, -1], atol=1e-9)
    assert np.isnan([found.values[2], found.errors[2], found.freedom[2]]).all()
    assert np.isnan(found.p_different()[2])


def test_a_group_that_varies_far_more_is_judged_by_itself_and_spoils_no_other() -> None:
    design = _design(12, 2, 3)
    values = np.random.default_rng(5).normal(size=27)
    calm = paired_differences(design, values, np.eye(27) * 1e-3, units=MANY)
    wild = values.copy()
    wild[3:5] += [100, -100]
    found = paired_differences(design, wild, np.eye(27) * 1e-3, units=MANY)
    assert found.errors[0] > 50
    assert found.freedom[0] < 1.2
    assert found.errors[1:].mean() < 1.3 * calm.errors[1:].mean()
    assert seed_spread(design, wild, np.eye(27) * 1e-3).outliers == ("layer 0",)
    assert seed_spread(design, values, np.eye(27) * 1e-3).outliers == ()


def test_a_reference_that_varies_more_is_told() -> None:
    design = _design(12, 3, 3)
    values = np.random.default_rng(7).normal(size=39)
    assert seed_spread(design, values, np.zeros((39, 39))).reference_p > 0.05
    values[:3] = [-9, 0, 9]
    assert seed_spread(design, values, np.zeros((39, 39))).reference_p < 0.001


def test_single_runs_are_judged_by_the_references_spread_and_its_few_degrees() -> None:
    design = _design(2, 1, 3)
    values = np.array([0.1, 0.2, 0.6, 0.5, 0.9])
    covariance = 0.01 * np.eye(5)
    with pytest.raises(GenoslimError, match="no two groups have two seeds in common"):
        paired_differences(design, values, covariance, units=MANY)
    found = unpaired_differences(design, values, covariance, units=400)
    np.testing.assert_allclose(found.values, [0.2, 0.6])
    expected = np.sqrt((0.07 + 0.01) * (1 + 1 / 3))
    np.testing.assert_allclose(found.errors, expected)
    np.testing.assert_allclose(found.freedom, 2)
    with pytest.raises(GenoslimError, match="at least 2 runs of one group, found 1"):
        unpaired_differences(_design(2, 1, 1), values[:3], covariance[:3, :3], units=400)


def test_two_runs_of_one_seed_are_refused() -> None:
    with pytest.raises(GenoslimError, match="two runs of group a have the seed 1"):
        Design(("a", "a", "b"), (1, 1, 1))


def test_where_nothing_varies_the_sign_decides() -> None:
    certain = Differences(
        values=np.array([0.0, -0.1, 0.1]), errors=np.zeros(3), freedom=np.full(3, 10.0)
    )
    assert certain.p_different().tolist() == [1, 0, 0]
    assert certain.p_not_above(-0.05).tolist() == [0, 1, 0]


def test_p_values_are_those_of_students_t() -> None:
    found = Differences(values=np.array([-0.03]), errors=np.array([0.01]), freedom=np.array([4.0]))
    assert found.p_different()[0] == pytest.approx(2 * student.sf(3, 4))
    assert found.p_not_above(-0.01)[0] == pytest.approx(student.cdf(2, 4))
