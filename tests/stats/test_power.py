from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from genoslim.stats.clustered import pooled_aurocs
from genoslim.stats.paired_seeds import Design, paired_differences
from genoslim.stats.power import Comparisons, auroc_variance

PLAN = Comparisons(
    groups=12, seeds=2, reference_seeds=3, rows_variance=0.012**2, units=1000, seed_sd=0.01
)


def test_hanley_and_mcneil() -> None:
    """Their own example (table II): 0.893 with 51 of 109 abnormal has a standard error of 0.032."""
    assert auroc_variance(0.893, 51, 58) ** 0.5 == pytest.approx(0.032, abs=0.001)
    generator = np.random.default_rng(0)
    labels = np.arange(400) % 2
    scores = -np.log(generator.random((400, 1))) * np.where(labels, 4.0, 1.0)[:, None]
    found = pooled_aurocs(labels, scores)  # of exponential scores, which the formula is for
    assert found.covariance[0, 0] == pytest.approx(
        auroc_variance(float(found.values[0]), 200, 200), rel=0.15
    )


def test_effects_and_probabilities_are_each_others_inverse() -> None:
    assert PLAN.finds(PLAN.loss_found(0.8)) == pytest.approx(0.8, abs=1e-6)
    assert PLAN.shows_equivalence(PLAN.margin_shown(0.8)) == pytest.approx(0.8, abs=1e-6)
    assert PLAN.margin_shown(0.8) < PLAN.loss_found(0.8)


def test_more_seeds_and_rows_find_more() -> None:
    for better in (replace(PLAN, seeds=3), replace(PLAN, rows_variance=0.006**2)):
        assert better.finds(0.05) > PLAN.finds(0.05)
    alone = replace(PLAN, seeds=1)
    assert alone.freedom == 2
    assert alone.finds(0.05) < 0.1 < PLAN.finds(0.05)


def test_where_nothing_varies_everything_is_found() -> None:
    certain = replace(PLAN, rows_variance=0.0, seed_sd=0.0)
    assert (certain.finds(0.001), certain.loss_found(0.8)) == (1.0, 0.0)


def test_the_planned_power_is_that_of_the_test() -> None:
    """Over draws of runs whose rows' errors are known; guards for groups that vary cost some."""
    generator = np.random.default_rng(1)
    runs = [(-1, s) for s in range(2)] + [(layer, s) for layer in range(12) for s in range(2)]
    design = Design(*zip(*runs, strict=True))
    group = np.array([layer for layer, _ in runs])
    covariance = 0.012**2 / 2 * (group[:, None] == group)
    root = np.sqrt(0.012**2 / 2)
    hits = []
    for _ in range(600):
        values = root * generator.normal(size=13)[group + 1] + 0.01 * generator.normal(size=26)
        values[2:4] -= 0.05
        found = paired_differences(design, values, covariance, units=1000)
        hits.append(found.p_different()[0] <= 0.05 / 12 and found.values[0] < 0)
    assert np.mean(hits) == pytest.approx(PLAN.finds(0.05), abs=0.08)
