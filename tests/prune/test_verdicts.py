from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from genoslim.errors import GenoslimError, UsageError
from genoslim.prune.comparison import BaselineComparison
from genoslim.prune.verdicts import (
    Rules,
    Spread,
    by_paper,
    by_test,
)

ALL = ("accuracy", "auroc", "f1", "true_positive_rate")
NONE: tuple[str, ...] = ()


@pytest.mark.parametrize(
    ("worse", "held", "role"),
    [
        (ALL, NONE, "cornerstone"),
        (ALL[:3], NONE, "neutral"),
        (NONE, ALL, "unfavourable"),
        (NONE, ALL[:3], "unfavourable"),
        (NONE, ALL[:2], "neutral"),
        (ALL[3:], ALL[:3], "unfavourable"),
        (ALL, ALL[:3], "undecided"),
        (ALL, ALL[:2], "undecided"),
        (ALL[:2], ALL, "undecided"),  # two of the four that held count for nothing
        (ALL[:1], ALL, "unfavourable"),  # the other three hold and are not worse
        (ALL[:1], ALL[:1], "neutral"),
    ],
)
def test_paper_rule(worse: Sequence[str], held: Sequence[str], role: str) -> None:
    assert by_paper(worse, held)[0] == role


@pytest.mark.parametrize(
    ("mean", "relative", "value", "worse"),
    [
        (0.80, True, 0.76, True),  # exactly 5 % of 0.80
        (0.80, True, 0.7601, False),
        (0.80, False, 0.75, True),  # exactly 5 points
        (0.80, False, 0.76, False),
        (0.40, True, 0.38, True),
        (0.40, False, 0.38, False),
        (1.00, True, 0.95, True),
        (1.00, False, 0.95, True),
    ],
)
def test_five_per_cent_relative_and_absolute(
    mean: float, relative: bool, value: float, worse: bool
) -> None:
    fallen = Rules(relative=relative).fallen(np.array([value, 1.0]), np.array([mean, 1.0]))
    assert fallen.tolist() == [worse, False]


def test_standard_deviation_of_three_seeds() -> None:
    values = (0.70, 0.72, 0.74)
    assert Spread.of(values).sd == pytest.approx(0.02)
    assert Spread.of(values, sample=False).sd == pytest.approx(0.02 * (2 / 3) ** 0.5)
    assert Spread.of((0.7,)).sd is None
    with pytest.raises(GenoslimError, match="at least one value"):
        Spread.of(())


def _comparison(difference: float, different: float, inferior: float) -> BaselineComparison:
    return BaselineComparison(
        difference=difference,
        standard_error=0.01,
        degrees_of_freedom=1e6,
        low=difference - 0.02,
        high=difference + 0.02,
        p_different=different,
        p_inferior=inferior,
        method="paired by seed",
    )


@pytest.mark.parametrize(
    ("difference", "different", "inferior", "role", "finding"),
    [
        (+0.03, 0.01, 0.001, "unfavourable", "better"),
        (+0.001, 0.9, 0.01, "unfavourable", "equivalent"),
        (-0.002, 0.04, 0.01, "unfavourable", "equivalent"),  # a loss, but within the margin
        (-0.10, 0.001, 1.0, "cornerstone", "worse"),
        (-0.02, 0.01, 0.9, "neutral", "worse"),
        (-0.02, 0.3, 0.6, "undecided", "unclear"),
        (+0.02, 0.2, 0.2, "undecided", "unclear"),
    ],
)
def test_tested_rule(
    difference: float, different: float, inferior: float, role: str, finding: str
) -> None:
    found = by_test(_comparison(difference, different, inferior), -0.04, Rules(rule="tested"))
    assert found[:2] == (role, finding)


@pytest.mark.parametrize("values", [{"drop": 0}, {"margin": 1.0}, {"alpha": -0.1}])
def test_rules_refuse_what_makes_no_sense(values: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=f"{next(iter(values))} is"):
        Rules(**values)
