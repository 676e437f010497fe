"""The test of a slim model over its seeds against one full model."""

from __future__ import annotations

import math

import numpy as np
import pytest

from genoslim.prune.measure import Rows, Sample
from genoslim.prune.smallest import difference_from_full
from genoslim.stats.delong import paired_auroc
from genoslim.stats.ranks import auroc


def _sample(labels: np.ndarray, keys: np.ndarray, groups: np.ndarray | None = None) -> Sample:
    """Return rows as a sample: of groups, of which the test split has others, if there are any."""
    names = np.full(len(labels), "") if groups is None else groups
    there = names if groups is None else np.char.add(groups, " of test")
    rows = {"validation": Rows(labels, keys, names), "test": Rows(labels, keys, there)}
    return Sample.of(rows, "validation")


def _rows(count: int) -> Sample:
    return _sample(np.tile([0, 1], count // 2), np.arange(count).astype(str))


def _scores(labels: np.ndarray, seed: int, strength: float = 1.0) -> np.ndarray:
    shared = np.random.default_rng(0).normal(size=len(labels))
    own = np.random.default_rng(seed).normal(size=len(labels))
    found: np.ndarray = 1 / (1 + np.exp(-(strength * labels + shared + 0.4 * own)))
    return found


def test_a_single_seed_is_delongs_paired_test() -> None:
    rows = _rows(200)
    full, slim = _scores(rows.labels, 1), _scores(rows.labels, 2, 0.8)
    found = difference_from_full(rows, full, [slim])
    expected = paired_auroc(rows.labels, full, slim)
    assert found.value == pytest.approx(expected.difference)
    assert found.error == pytest.approx(expected.standard_error, rel=0.01)
    assert found.freedom == pytest.approx(99)


def test_seeds_add_their_own_variance_and_lose_degrees_of_freedom() -> None:
    rows = _rows(400)
    full = _scores(rows.labels, 1)
    slim = [
        _scores(rows.labels, seed, strength) for seed, strength in ((2, 0.5), (3, 1.0), (4, 1.5))
    ]
    found = difference_from_full(rows, full, slim)
    areas = [auroc(rows.labels, one) for one in slim]
    assert found.value == pytest.approx(np.mean(areas) - auroc(rows.labels, full))
    assert found.error > math.sqrt(np.var(areas, ddof=1) / 3)
    assert 2 < found.freedom < 20
    alike = difference_from_full(rows, full, [slim[1]] * 3)
    assert alike.error == pytest.approx(difference_from_full(rows, full, [slim[1]]).error)


def test_rows_of_one_variant_count_once() -> None:
    labels = np.repeat(np.tile([0, 1], 100), 2)
    keys = np.repeat(np.arange(200).astype(str), 2)
    full, slim = (np.repeat(_scores(labels[::2], seed), 2) for seed in (1, 2))
    twice = difference_from_full(_sample(labels, keys), full, [slim])
    once = difference_from_full(_rows(200), full[::2], [slim[::2]])
    assert twice.error == pytest.approx(once.error, rel=0.01)
    assert twice.freedom == once.freedom


def test_groups_held_out_of_validation_are_the_units() -> None:
    """Each of 40 groups comes five times: 200 rows tell no more than the 40."""
    labels = np.repeat(np.tile([0, 1], 20), 5)
    groups = np.char.add("locus", np.repeat(np.arange(40), 5).astype(str))
    full, slim = (np.repeat(_scores(labels[::5], seed), 5) for seed in (1, 2))
    grouped = difference_from_full(
        _sample(labels, np.arange(200).astype(str), groups), full, [slim]
    )
    once = difference_from_full(_rows(40), full[::5], [slim[::5]])
    assert grouped.error == pytest.approx(once.error)
    assert grouped.freedom == once.freedom == 19


def test_a_model_is_not_inferior_to_itself() -> None:
    rows = _rows(100)
    full = _scores(rows.labels, 1)
    found = difference_from_full(rows, full, [full, full])
    assert (found.value, found.error) == (0.0, 0.0)
    assert found.p_not_above(-0.01) == 0.0
    assert found.p_not_above(0.0) == 1.0


def test_error_rate_at_the_margin_is_the_nominal_one() -> None:
    """Of slim models that lose just the margin, 5 % pass; seeds vary as much as the sample."""
    generator = np.random.default_rng(7)
    size, seeds, margin, passed, repeats = 400, 3, 0.05, 0, 300
    labels = np.tile([0, 1], size // 2)
    rows = _rows(size)
    full_strength, slim_strength = 1.6, 1.3002
    for _ in range(repeats):
        shared = generator.normal(size=size)
        full = labels * full_strength + shared + 0.3 * generator.normal(size=size)
        slim = [
            labels * (slim_strength + 0.1 * generator.normal())
            + shared
            + 0.3 * generator.normal(size=size)
            for _ in range(seeds)
        ]
        found = difference_from_full(rows, full, slim)
        passed += found.p_not_above(-margin) <= 0.05
    assert 0.01 <= passed / repeats <= 0.08
