"""Which interval an AUROC gets: DeLong's, or a bootstrap where variants recur."""

from __future__ import annotations

import numpy as np
import pytest

from genoslim.errors import GenoslimError
from genoslim.stats.auroc import auroc_bounds, auroc_difference, recurring
from genoslim.stats.delong import auroc_interval, paired_auroc

GENERATOR = np.random.default_rng(3)
LABELS = np.arange(60) % 2
FIRST, SECOND = (GENERATOR.normal(size=60) + shift * LABELS for shift in (0.5, 1.0))
KEYS = np.array([f"v{row}" for row in range(60)])


def test_recurring_is_a_key_with_two_rows() -> None:
    assert not recurring(KEYS)
    assert recurring([*KEYS[:-1], KEYS[0]])


def test_rows_of_their_own_are_delongs() -> None:
    bounds, expected = auroc_bounds(LABELS, FIRST, keys=KEYS), auroc_interval(LABELS, FIRST)
    assert (bounds.low, bounds.high, bounds.method) == (expected.low, expected.high, "DeLong")
    found = auroc_difference(LABELS, FIRST, SECOND, keys=KEYS, level=0.9)
    assert found.interval is found.delong
    assert found.delong == paired_auroc(LABELS, FIRST, SECOND, level=0.9)
    assert (found.p_value, found.method) == (found.delong.p_value, "DeLong")


def test_each_row_twice_is_no_more_known_than_once() -> None:
    twice = [np.repeat(column, 2) for column in (LABELS, FIRST, SECOND, KEYS)]
    labels, first, second, keys = twice
    once = auroc_bounds(LABELS, FIRST, keys=KEYS)
    bounds = auroc_bounds(labels, first, keys=keys)
    assert bounds.method == "bootstrap by variant"
    assert bounds.high - bounds.low == pytest.approx(once.high - once.low, rel=0.1)
    alone = auroc_difference(LABELS, FIRST, SECOND, keys=KEYS)
    found = auroc_difference(labels, first, second, keys=keys)
    assert found.method == "bootstrap by variant"
    assert found.difference == pytest.approx(alone.difference)
    width = alone.interval.high - alone.interval.low
    assert found.interval.high - found.interval.low == pytest.approx(width, rel=0.1)
    assert found.delong.high - found.delong.low == pytest.approx(width / np.sqrt(2), rel=0.05)
    assert found.p_value == pytest.approx(alone.p_value, abs=0.05)


def test_one_class_is_refused() -> None:
    with pytest.raises(GenoslimError, match="at least 2 of each class"):
        auroc_bounds(np.ones(60), FIRST, keys=KEYS)
