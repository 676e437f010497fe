from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genoslim.errors import UsageError
from genoslim.stats.clustered import pooled_aurocs
from genoslim.stats.noninferiority import (
    differences,
    lower_bounds,
    p_inferior,
    rows_needed,
    units_needed,
)
from genoslim.stats.paired_seeds import Design, Differences
from genoslim.stats.power import Comparisons


def one(difference: float, error: float, freedom: float = np.inf) -> Differences:
    return Differences(
        values=np.array([difference]), errors=np.array([error]), freedom=np.array([freedom])
    )


@given(st.floats(-0.05, 0.05), st.floats(1e-6, 0.02), st.floats(0.001, 0.05))
def test_passing_is_the_one_sided_test(difference: float, error: float, margin: float) -> None:
    found = one(difference, error)
    (p_value,), (bound,) = (
        p_inferior(found, margin=margin, rows=100),
        lower_bounds(found, alpha=0.05, rows=100),
    )
    assert bound == pytest.approx(difference - 1.6448536269514722 * error)
    if abs(bound + margin) > 1e-9:
        assert (p_value <= 0.05) == (bound > -margin)


@given(st.floats(-0.2, 0.2), st.integers(2, 1000), st.floats(0.001, 0.2), st.floats(0.01, 0.2))
def test_without_any_variance_p_value_and_bound_agree(
    difference: float, rows: int, margin: float, alpha: float
) -> None:
    found = one(difference, 0.0)
    p_value = p_inferior(found, margin=margin, rows=rows)[0]
    bound = lower_bounds(found, alpha=alpha, rows=rows)[0]
    if abs(bound + margin) > 1e-9:
        assert (p_value <= alpha) == (bound > -margin)
    assert bound < difference


def test_a_model_against_itself_has_no_error_but_is_not_certain() -> None:
    labels = np.arange(10) % 2
    scores = np.random.default_rng(0).normal(size=10)
    found = differences(pooled_aurocs(labels, np.stack([scores, scores], axis=1)))
    assert (found.values[0], found.errors[0]) == (0.0, 0.0)
    assert p_inferior(found, margin=0.01, rows=5)[0] == pytest.approx(0.99**5)


def test_runs_of_several_seeds_are_compared_by_their_means() -> None:
    rng = np.random.default_rng(1)
    labels = np.arange(200) % 2
    scores = labels[:, None] + rng.normal(size=(200, 6))
    aurocs = pooled_aurocs(labels, scores)
    found = differences(aurocs, Design(("a", "a", "a", "b", "b", "b"), (0, 1, 2) * 2))
    means = aurocs.values.reshape(2, 3).mean(axis=1)
    assert found.values[0] == pytest.approx(means[1] - means[0])


def test_the_needed_units_give_the_power() -> None:
    needed = units_needed(0.02, 40, margin=0.01, alpha=0.05)
    for units, enough in ((needed, True), (int(0.9 * needed), False)):
        shown = Comparisons(
            groups=1,
            seeds=2,
            reference_seeds=2,
            rows_variance=0.02**2 * 40 / units,
            units=units,
            seed_sd=0.0,
        ).shows_equivalence(0.01)
        assert (shown > 0.79) == enough
    assert [rows_needed(margin=m, alpha=0.05) for m in (0.01, 0.05)] == [299, 59]


@pytest.mark.parametrize("margin", [0.0, -0.01, 1.0, float("nan")])
def test_a_margin_must_be_a_small_positive_number(margin: float) -> None:
    with pytest.raises(UsageError, match="margin must lie between 0 and 1"):
        p_inferior(one(0.0, 0.01), margin=margin, rows=10)
