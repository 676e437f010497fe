from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genoslim.errors import GenoslimError, UsageError
from genoslim.stats.delong import PairedAuroc, paired_auroc
from genoslim.stats.noninferiority import noninferiority
from genoslim.stats.resampling import clustered_bootstrap


def pair(difference: float, error: float) -> PairedAuroc:
    return PairedAuroc(
        first=0.75,
        second=0.75 + difference,
        difference=difference,
        standard_error=error,
        low=difference - 2 * error,
        high=difference + 2 * error,
        level=0.95,
        p_value=0.5,
        correlation=0.9,
    )


def test_bound_is_one_sided() -> None:
    found = noninferiority(pair(-0.002, 0.0023), margin=0.01)
    assert found.lower_bound == pytest.approx(-0.002 - 1.6448536269514722 * 0.0023)
    assert found.passed
    assert not noninferiority(pair(-0.008, 0.0023), margin=0.01).passed


@given(st.floats(-0.05, 0.05), st.floats(0, 0.02), st.floats(0.001, 0.05))
def test_passing_is_the_one_sided_test(difference: float, error: float, margin: float) -> None:
    """Non-inferior exactly when the one-sided p-value of H0 is under 5 %."""
    found = noninferiority(pair(difference, error), margin=margin)
    assert found.passed == (difference + margin > 1.6448536269514722 * error)


def test_a_model_is_non_inferior_to_itself_at_any_margin() -> None:
    labels = np.arange(10) % 2
    scores = np.random.default_rng(0).normal(size=10)
    assert noninferiority(paired_auroc(labels, scores, scores), margin=1e-9).passed


def test_a_bootstrap_of_the_difference_is_judged_by_its_quantile() -> None:
    drawn = clustered_bootstrap(
        lambda values: float(values.mean()),
        np.random.default_rng(1).normal(scale=0.05, size=100),
        clusters=np.arange(100),
        repeats=400,
    )
    found = noninferiority(drawn, margin=0.03)
    assert found.lower_bound == pytest.approx(drawn.quantile(0.05))
    assert found.passed == (drawn.quantile(0.05) > -0.03)


@pytest.mark.parametrize("margin", [0.0, -0.01, 1.0, float("nan")])
def test_a_margin_must_be_a_small_positive_number(margin: float) -> None:
    with pytest.raises(UsageError, match="margin must lie between 0 and 1"):
        noninferiority(pair(0.0, 0.01), margin=margin)


def test_too_few_rows_to_compare() -> None:
    with pytest.raises(GenoslimError, match="at least 2 of each class"):
        paired_auroc([0, 1], [0, 1], [0, 1])
