"""What the test rows say of each model against the baseline, before anything is decided.

The unit is the data set's group where validation and test have none in common, and then the macro
AUROC decides; else the variant, where it recurs over rows, or the row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..prune.measure import Sample, Unit
from ..stats.checks import Floats
from ..stats.clustered import Aurocs
from ..stats.estimate import Estimate, by
from ..stats.noninferiority import (
    LEAST_GROUPS,
    LEAST_OF_A_CLASS,
    differences,
    lower_bounds,
    p_inferior,
    rows_needed,
    units_needed,
)
from ..stats.paired_seeds import Design
from ..stats.sensitivity import SensitivityTest, sensitivity_test
from ..stats.student import t_quantile
from .rule import Rule

LEVEL = 0.95
POWER = 0.8


@dataclass(frozen=True, kw_only=True)
class Basis:
    """What a decision rests on: how many independent units of which kind.

    `positives` and `negatives` are rows, or variants where these recur. Of groups only those count
    that have both classes where the macro AUROC decides.
    """

    measure: str
    unit: Unit
    units: int
    positives: int
    negatives: int

    @classmethod
    def of(cls, sample: Sample) -> Basis:
        """Count the units of a sample."""
        names = [sample.names[sample.labels == label] for label in (0, 1)]
        each = [np.unique(part) for part in names]
        counted = [len(part) for part in (names if sample.unit == "group" else each)]
        if sample.unit == "group":
            both = np.intersect1d(each[0], each[1]).size
            units = both if sample.macro else min(map(len, each))
        else:
            units = len(np.unique(sample.names))
        return cls(
            measure=sample.measure,
            unit=sample.unit,
            units=units,
            positives=counted[1],
            negatives=counted[0],
        )

    @property
    def rarer(self) -> int:
        """The rows of the rarer class."""
        return min(self.positives, self.negatives)

    @property
    def independent(self) -> int:
        """What counts as independent of the rarer class where nothing varies: groups, else rows."""
        return max(self.units if self.unit == "group" else self.rarer, 1)

    @property
    def least(self) -> int:
        """The units from which on a decision is made."""
        if self.unit == "group":
            return LEAST_GROUPS
        return math.ceil(self.units * LEAST_OF_A_CLASS / max(self.rarer, 1))

    @property
    def _counted(self) -> str:
        return f"with {'both classes' if self.measure.startswith('macro') else 'the rarer class'}"

    @property
    def refusal(self) -> str:
        """Why nothing can be decided from so little; empty where it can."""
        if self.unit == "group" and self.units < LEAST_GROUPS:
            return (
                f"the test split has {self.units} group{'s' * (self.units != 1)} {self._counted},"
                f" and groups are the unit: a decision needs {LEAST_GROUPS} at least"
            )
        if self.rarer < LEAST_OF_A_CLASS:
            what = "variants" if self.unit == "variant" else "rows"
            return (
                f"the test split has {self.positives} positive and {self.negatives} negative"
                f" {what}: a decision needs {LEAST_OF_A_CLASS} of each at least"
            )
        return ""


@dataclass(frozen=True, kw_only=True)
class Loss:
    """The difference of a model to the baseline (negative is worse), and its test by itself.

    `low` and `high` are the two-sided 95 % interval, `lower_bound` is one-sided at 1 - alpha, and
    `p_value` is of "worse by the margin or more". `needed` is of how many units (groups, or rows of
    the rarer class, where nothing varies) a model that loses nothing would be shown so with a power
    of 0.8.
    """

    difference: float
    low: float
    high: float
    lower_bound: float
    p_value: float
    needed: int

    @property
    def estimate(self) -> Estimate:
        """The difference with its interval."""
        return Estimate(value=self.difference, low=self.low, high=self.high)

    def verdict(self, noninferior: bool) -> str:
        """Say in words what is shown: "worse, by 0.081 (0.049 to 0.112)".

        `noninferior` is the outcome of the test within its family.
        """
        if self.low > 0:
            return f"better, {by(self.estimate)}"
        if self.high < 0:
            return f"{'non-inferior, but ' if noninferior else ''}worse, {by(self.estimate)}"
        return "non-inferior" if noninferior else "not shown to be non-inferior"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the test rows say of one model.

    `auroc` is what decides (the macro AUROC where groups are the unit, the mean over seeds where
    there are several), `low` the lower end of its 95 % interval; `loss` is None for the baseline,
    `sensitivity` unless the rule asks for one. `seeds` is how many there are.
    """

    auroc: float
    low: float
    loss: Loss | None
    sensitivity: SensitivityTest | None = None
    seeds: int = 1

    @property
    def p_value(self) -> float:
        """Of "inferior, or not sensitive enough": each alone must be refuted."""
        found = self.sensitivity.p_value if self.sensitivity else 0.0
        return max(found, self.loss.p_value) if self.loss else found


def weigh(
    sample: Sample,
    scores: Floats,
    *,
    rule: Rule,
    calls: NDArray[np.bool_] | None = None,
    design: Design | None = None,
) -> list[Evidence]:
    """Return what the rows say of each of k models, the first of which is the baseline.

    `scores` (shape [n, k]) are the probabilities, `calls` (shape [n, k]) what they are called. With
    a `design` the columns of `scores` are runs, and its groups are the models.
    """
    basis = Basis.of(sample)
    found = _by_row(sample) if basis.units < 2 else sample
    aurocs = found.aurocs(scores)
    means, errors = _means(aurocs, design)
    reach = t_quantile((1 + LEVEL) / 2, aurocs.freedom) * errors
    losses = [None, *_losses(aurocs, design, basis, rule)]
    return [
        Evidence(
            auroc=float(means[place]),
            low=max(0.0, float(means[place] - reach[place])),
            loss=losses[place],
            sensitivity=_sensitivity(found, calls, place, rule),
            seeds=1 if design is None else int(design.members(design.groups[place]).sum()),
        )
        for place in range(len(means))
    ]


def _by_row(sample: Sample) -> Sample:
    """Return a sample of a single group as one of rows: for figures that decide nothing."""
    rows = np.arange(len(sample.labels)).astype(np.str_)
    return replace(sample, names=rows, unit="row", macro=False)


def _means(aurocs: Aurocs, design: Design | None) -> tuple[Floats, Floats]:
    """Return each model's AUROC and its standard error over the units."""
    columns = range(len(aurocs.values))
    names: Sequence[object] = columns if design is None else design.groups
    members = [[n for n in columns if names[n] == name] for name in dict.fromkeys(names)]
    errors = [np.sqrt(max(aurocs.covariance[np.ix_(m, m)].mean(), 0.0)) for m in members]
    return np.array([aurocs.values[m].mean() for m in members]), np.array(errors)


def _losses(aurocs: Aurocs, design: Design | None, basis: Basis, rule: Rule) -> list[Loss]:
    found = differences(aurocs, design)
    reach = found.half_width(level=LEVEL)
    rows = basis.independent
    bounds = lower_bounds(found, alpha=rule.alpha, rows=rows)
    p_values = p_inferior(found, margin=rule.margin, rows=rows)
    return [
        Loss(
            difference=float(value),
            low=float(value - reach[place]),
            high=float(value + reach[place]),
            lower_bound=float(bounds[place]),
            p_value=float(p_values[place]),
            needed=_needed(float(found.errors[place]), aurocs.units, basis, rule),
        )
        for place, value in enumerate(found.values)
    ]


def _needed(error: float, units: int, basis: Basis, rule: Rule) -> int:
    if error == 0:
        return max(LEAST_OF_A_CLASS, rows_needed(margin=rule.margin, alpha=rule.alpha))
    needed = units_needed(error, units, margin=rule.margin, alpha=rule.alpha, power=POWER)
    return max(basis.least, needed)


def _sensitivity(
    sample: Sample, calls: NDArray[np.bool_] | None, place: int, rule: Rule
) -> SensitivityTest | None:
    if rule.min_sensitivity is None or calls is None:
        return None
    return sensitivity_test(
        sample.labels,
        calls[:, place],
        sample.names,
        least=rule.min_sensitivity,
        alpha=rule.alpha,
    )
