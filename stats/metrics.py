"""Accuracy, AUROC, F1 and true-positive rate of a binary classifier, and AUROC over groups."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ..errors import GenoslimError, UsageError
from .checks import Bools, aligned, binary_labels, finite_scores, probabilities_of
from .ranks import auroc_of

F1Mean = Literal["binary", "macro"]


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """What one model scored on one split; calls are `probability >= threshold`."""

    accuracy: float
    auroc: float
    f1: float
    true_positive_rate: float
    tp: int
    fp: int
    tn: int
    fn: int
    n: int
    threshold: float

    def __post_init__(self) -> None:
        counts = (self.tp, self.fp, self.tn, self.fn)
        if min(counts) < 0 or sum(counts) != self.n:
            raise GenoslimError(f"tp, fp, tn, fn {counts} do not add up to n = {self.n}")
        for name in ("accuracy", "auroc", "f1", "true_positive_rate"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise GenoslimError(f"{name} must lie in [0, 1], found {value}")

    @property
    def specificity(self) -> float:
        """The share of negatives that are called negative."""
        return self.tn / (self.tn + self.fp)


@dataclass(frozen=True, kw_only=True)
class Counts:
    """True and false positive and negative calls, and what follows from these four alone."""

    tp: int
    fp: int
    tn: int
    fn: int

    @classmethod
    def of(cls, positive: Bools, called: Bools) -> Counts:
        """Count calls (shape [n]) against labels (shape [n]) that are checked already."""
        tp, calls = int((called & positive).sum()), int(called.sum())
        fn = int(positive.sum()) - tp
        return cls(tp=tp, fp=calls - tp, tn=positive.size - calls - fn, fn=fn)

    @property
    def accuracy(self) -> float:
        """The share of right calls."""
        return (self.tp + self.tn) / (self.tp + self.fp + self.tn + self.fn)

    @property
    def true_positive_rate(self) -> float:
        """The share of positives that are called positive; there must be one."""
        return self.tp / (self.tp + self.fn)

    def f1(self, mean: F1Mean) -> float:
        """Return F1 of the positive class, or the mean over both classes."""
        of_positives = _f1(self.tp, self.fp, self.fn)
        return (
            of_positives
            if mean == "binary"
            else (of_positives + _f1(self.tn, self.fn, self.fp)) / 2
        )


@dataclass(frozen=True, kw_only=True)
class GroupedAuroc:
    """The AUROC within each group, and its unweighted mean; `skipped` groups had a single class."""

    macro_mean: float
    per_group: dict[str, float]
    skipped: tuple[str, ...]


def compute_metrics(
    labels: ArrayLike,
    probabilities: ArrayLike,
    *,
    threshold: float = 0.5,
    f1: F1Mean = "binary",
) -> Metrics:
    """Score `probabilities` (shape [n], of class 1) against `labels` (shape [n], 0 or 1).

    `f1` is that of the positive class, or with "macro" the mean of both classes'; a class neither
    present in the calls nor hit counts 0, as in scikit-learn. Raises GenoslimError when only one
    class is there, lengths differ, or a probability is not a finite number in [0, 1].
    """
    if f1 not in ("binary", "macro"):
        raise UsageError(f"f1 must be binary or macro, found {f1}")
    if not np.isfinite(threshold):
        raise UsageError(f"threshold must be finite, found {threshold}")
    positive = binary_labels(labels, each_class=1)
    scores = probabilities_of(probabilities, positive.size)
    counts = Counts.of(positive, scores >= threshold)
    return Metrics(
        accuracy=counts.accuracy,
        auroc=auroc_of(positive, scores),
        f1=counts.f1(f1),
        true_positive_rate=counts.true_positive_rate,
        **asdict(counts),
        n=positive.size,
        threshold=float(threshold),
    )


def macro_auroc(labels: ArrayLike, scores: ArrayLike, groups: ArrayLike) -> GroupedAuroc:
    """Return the AUROC of each group in `groups` (shape [n]) and the unweighted mean over them.

    A pooled AUROC rewards knowing which group a row is from; this one does not. Groups with a
    single class have no AUROC and are listed as skipped; if none has one, raises GenoslimError.
    """
    positive = binary_labels(labels)
    values = finite_scores(scores, positive.size)
    names = aligned("groups", groups, positive.size)
    per_group: dict[str, float] = {}
    skipped: list[str] = []
    for name in np.unique(names):
        rows = names == name
        if positive[rows].all() or not positive[rows].any():
            skipped.append(str(name))
        else:
            per_group[str(name)] = auroc_of(positive[rows], values[rows])
    if not per_group:
        raise GenoslimError(f"no group has both classes: {', '.join(skipped[:5])}")
    mean = sum(per_group.values()) / len(per_group)
    return GroupedAuroc(macro_mean=mean, per_group=per_group, skipped=tuple(skipped))


def _f1(hits: int, false: int, missed: int) -> float:
    total = 2 * hits + false + missed
    return 2 * hits / total if total else 0.0
