"""The metrics a trial is judged by, computed from its kept predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ..errors import GenoslimError
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
