from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from genoslim.errors import GenoslimError, UsageError
from genoslim.stats.sensitivity import sensitivity_test


@pytest.mark.parametrize(("hits", "trials"), [(0, 10), (7, 10), (10, 10), (180, 200)])
def test_independent_positives_are_tested_exactly(hits: int, trials: int) -> None:
    called = np.concatenate([np.arange(trials) < hits, [True]])
    labels = np.append(np.ones(trials), 0)
    found = sensitivity_test(labels, called, np.arange(trials + 1), least=0.8)
    exact = binomtest(hits, trials, 0.8, alternative="greater")
    assert found.sensitivity == hits / trials
    assert found.p_value == pytest.approx(exact.pvalue)
    assert found.lower_bound == pytest.approx(exact.proportion_ci(0.95).low)
    assert (found.lower_bound > 0.8) == (found.p_value < 0.05)


def test_rows_of_one_unit_count_as_one() -> None:
    rng = np.random.default_rng(0)
    calls = rng.random(300) < 0.7
    labels = np.ones(300)
    once = sensitivity_test(labels, calls, np.arange(300), least=0.6)
    repeated = sensitivity_test(
        np.repeat(labels, 5), np.repeat(calls, 5), np.repeat(np.arange(300), 5), least=0.6
    )
    assert repeated.sensitivity == pytest.approx(once.sensitivity)
    assert repeated.lower_bound == pytest.approx(once.lower_bound, abs=0.02)


def test_units_that_do_not_vary_are_not_certain() -> None:
    found = sensitivity_test(np.ones(20), np.ones(20), np.repeat(np.arange(4), 5), least=0.8)
    assert found.p_value == pytest.approx(0.8**4)
    assert found.lower_bound == pytest.approx(0.05 ** (1 / 4))


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(GenoslimError, match="needs a positive, found none in 2 rows"):
        sensitivity_test([0, 0], [0, 1], [0, 1], least=0.8)
    with pytest.raises(UsageError, match="min-sensitivity must lie between 0 and 1"):
        sensitivity_test([0, 1], [0, 1], [0, 1], least=1.0)
