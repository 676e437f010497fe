from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from genoslim.errors import GenoslimError
from genoslim.stats.multiplicity import fixed_sequence, holm, holm_exclusive

P_VALUES = st.lists(st.floats(0, 1), max_size=12)


def step_down(p_values: list[float], level: float) -> list[bool]:
    """Holm as a procedure: reject from the smallest on until one is too large."""
    rejected = [False] * len(p_values)
    for step, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[index] * (len(p_values) - step) > level:
            break
        rejected[index] = True
    return rejected


def test_worked_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(P_VALUES, st.floats(0, 0.9))
def test_agrees_with_the_procedure(p_values: list[float], level: float) -> None:
    assert (holm(p_values) <= level).tolist() == step_down(p_values, level)


@settings(max_examples=20)  # its function takes 0.1 s
@given(P_VALUES.filter(len))
def test_agrees_with_statsmodels(p_values: list[float]) -> None:
    """The same numbers; its import takes seconds and 140 MB, so it is no part of the package."""
    _, expected, _, _ = multipletests(p_values, method="holm")
    np.testing.assert_allclose(holm(p_values), expected, atol=1e-15)


@given(P_VALUES)
def test_adjusting_never_lowers_and_keeps_the_order(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert (adjusted >= np.array(p_values)).all()
    assert (adjusted <= 1).all()
    assert (np.diff(adjusted[np.argsort(p_values, kind="stable")]) >= 0).all()


@pytest.mark.parametrize("bad", [[0.1, float("nan")], [-0.1], [1.1]])
def test_what_is_no_p_value_is_refused(bad: list[float]) -> None:
    with pytest.raises(GenoslimError, match=r"p-values must lie in \[0, 1\]"):
        holm(bad)


def test_a_table_is_refused() -> None:
    with pytest.raises(GenoslimError, match="one-dimensional"):
        holm([[0.1]])


def test_pairs_that_exclude_each_other_count_as_one_until_both_are_rejected() -> None:
    """By hand: multipliers 3, 3 (pair 0 still has one), 2 (pair 0 is done), 2, 2, 1."""
    first, second = holm_exclusive([0.001, 0.02, 0.9], [0.004, 0.03, 0.5])
    assert first == pytest.approx([0.003, 0.04, 0.9])
    assert second == pytest.approx([0.012, 0.06, 0.5])


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=8))
def test_one_family_lies_between_two_families_and_holm_over_all(
    pairs: list[tuple[float, float]],
) -> None:
    first, second = np.array(pairs).reshape(-1, 2).T
    found = np.concatenate(holm_exclusive(first, second))
    assert (found <= holm(np.concatenate([first, second])) + 1e-12).all()
    assert (found + 1e-12 >= np.concatenate([holm(first), holm(second)])).all()


def test_family_wise_error_of_pairs() -> None:
    """The worst case: of each pair one hypothesis is true, the other is rejected outright."""
    generator = np.random.default_rng(0)
    errors = 0
    for _ in range(4000):
        true = generator.random(6)
        first, _ = holm_exclusive(true, np.zeros(6))
        errors += bool((first <= 0.05).any())
    assert errors / 4000 == pytest.approx(0.05, abs=0.01)


@given(P_VALUES)
def test_a_sequence_stops_at_the_first_that_is_not_rejected(values: list[float]) -> None:
    adjusted = fixed_sequence(values)
    stopped = False
    for value, found in zip(values, adjusted, strict=True):
        stopped = stopped or value > 0.05
        assert (found > 0.05) == stopped
