"""The metrics a trial is judged by, computed from its kept predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ..errors import GenoslimError
from ..stats.clustered import Aurocs, macro_aurocs, pooled_aurocs
from ..stats.metrics import Metrics, compute_metrics, macro_auroc
from ..stats.thresholds import youden_threshold

MEASURES = ("accuracy", "auroc", "f1", "true_positive_rate")
"""The four metrics of the method, by their names in `Metrics`."""

TITLES = {
    "accuracy": "accuracy",
    "auroc": "AUROC",
    "f1": "F1",
    "true_positive_rate": "TP rate",
    "macro_auroc": "macro AUROC",
}
"""What tables and pages call the metrics."""

FEWEST_UNITS = 2
"""Units with rows of either class without which an AUROC over all rows has no interval."""

Unit = Literal["row", "variant", "group"]
Split = Literal["validation", "test"]
SPLITS: tuple[Split, Split] = ("validation", "test")


@dataclass(frozen=True, kw_only=True)
class Measuring:
    """The choices the method leaves open in its metrics; the defaults come first in the docs.

    `f1` is that of the positive class or the mean over both. `threshold` turns a probability
    into a call: 0.5, or the maximum of Youden's J on the trial's own validation predictions,
    which is then used on test as it is.
    """

    f1: Literal["binary", "macro"] = "binary"
    threshold: Literal["fixed", "youden"] = "fixed"


@dataclass(frozen=True)
class Rows:
    """What is known of a split's rows besides the predictions, in the order of the data.

    `labels` int8[n] in {0, 1}; `keys` the variant of each row, which may recur; `groups` the
    name of each row's group ('' if none), over which a macro mean of AUROC is taken. `subgroups`
    are ways to part the rows: by name, the subgroup of each row ('' if none).
    """

    labels: np.ndarray
    keys: np.ndarray
    groups: np.ndarray
    subgroups: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def grouped(self) -> bool:
        """Whether any row has a group."""
        return bool(np.any(self.groups != ""))

    @property
    def recurring(self) -> bool:
        """Whether a variant has several rows, which are then not independent."""
        return len(np.unique(self.keys)) < len(self.keys)


@dataclass(frozen=True)
class Sample:
    """A split as a sample: of rows, of variants that recur in several, or of groups (loci, genes).

    `names` (shape [n]) are those of each row's unit. Groups are the sample where validation and
    test have none in common: a held-out locus is one of many. Those that both have (tissues, kinds
    of motif) are categories, and then variants are the sample. Where groups are it, and two or more
    have both classes, the macro AUROC decides.
    """

    split: Split
    labels: np.ndarray
    names: np.ndarray
    unit: Unit
    macro: bool

    @classmethod
    def of(cls, rows: Mapping[Split, Rows], split: Split) -> Sample:
        """Tell what a split is a sample of."""
        here = rows[split]
        groups = [set(rows[name].groups.tolist()) for name in SPLITS]
        if here.grouped and not groups[0] & groups[1]:
            return cls(split, here.labels, here.groups, "group", _mixed_groups(here) > 1)
        unit: Unit = "variant" if here.recurring else "row"
        return cls(split, here.labels, here.keys, unit, macro=False)

    def units(self, label: int) -> int:
        """Return how many units have rows of a class."""
        return len(np.unique(self.names[self.labels == label]))

    @property
    def spreads(self) -> bool:
        """Whether either class is in units enough for a pooled AUROC to have an interval."""
        return min(self.units(label) for label in (0, 1)) >= FEWEST_UNITS

    @property
    def measure(self) -> str:
        """What decides."""
        return "macro AUROC" if self.macro else "AUROC"

    def aurocs(self, probabilities: np.ndarray) -> Aurocs:
        """Return the AUROCs that decide, with their covariance over the units.

        `probabilities` float[n, k] are those of k models.
        """
        estimate = macro_aurocs if self.macro else pooled_aurocs
        return estimate(self.labels, probabilities, self.names)


def _mixed_groups(rows: Rows) -> int:
    """Return how many groups have both classes."""
    with_both = (set(rows.groups[rows.labels == label].tolist()) for label in (0, 1))
    return len(set.intersection(*with_both))


@dataclass(frozen=True)
class Measured:
    """The metrics of one trial on both splits, with the macro AUROC over groups if there are."""

    validation: Metrics
    test: Metrics
    macro_auroc: dict[Split, float | None]

    def on(self, split: Split) -> Metrics:
        """Return the metrics of one split."""
        return self.validation if split == "validation" else self.test


def measure(
    rows: dict[Split, Rows], probabilities: dict[Split, np.ndarray], how: Measuring
) -> Measured:
    """Compute the metrics of both splits from probabilities float[n] of the positive class."""
    threshold = 0.5
    if how.threshold == "youden":
        threshold = youden_threshold(rows["validation"].labels, probabilities["validation"])
    found = {
        split: compute_metrics(
            rows[split].labels, probabilities[split], threshold=threshold, f1=how.f1
        )
        for split in SPLITS
    }
    macro = {split: _macro(rows[split], probabilities[split]) for split in SPLITS}
    return Measured(found["validation"], found["test"], macro)


def _macro(rows: Rows, probabilities: np.ndarray) -> float | None:
    if not rows.grouped:
        return None
    try:
        return macro_auroc(rows.labels, probabilities, rows.groups).macro_mean
    except GenoslimError:  # no group has both classes
        return None
