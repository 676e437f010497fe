"""Where to cut a probability into calls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .checks import Bools, Floats, binary_labels, finite_scores, fraction, probabilities_of
from .ranks import tie_blocks


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """Calls `score >= threshold`, and the two rates they reach."""

    threshold: float
    sensitivity: float
    specificity: float


def youden_threshold(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Return the threshold with the largest sensitivity + specificity - 1 (Youden 1950).

    It lies midway between two neighbouring probabilities, so rounding moves no call; of equally
    good ones the nearest to 0.5 is taken. If all probabilities are equal, 0.5. Choose it on
    validation, never on test.
    """
    positive = binary_labels(labels, each_class=1)
    scores = probabilities_of(probabilities, positive.size)
    tpr, fpr, cuts = _rates(positive, scores)
    if cuts.size == 1:
        return 0.5
    upper, lower = cuts[:-1], cuts[1:]
    middle = (upper + lower) / 2
    between = np.where(middle > lower, middle, upper)
    gain = (tpr - fpr)[:-1]
    best = between[np.isclose(gain, gain.max(), rtol=0, atol=1e-12)]
    return float(best[np.argmin(np.abs(best - 0.5))])


def sensitivity_at_specificity(
    labels: ArrayLike, scores: ArrayLike, *, specificity: float = 0.9
) -> OperatingPoint:
    """Return the point of highest sensitivity whose specificity is at least `specificity`.

    No interpolation: the rates are those of a real threshold. If even the highest score is too
    unspecific, the threshold is the next number above it and nothing is called positive.
    """
    fraction("specificity", specificity)
    positive = binary_labels(labels, each_class=1)
    values = finite_scores(scores, positive.size)
    tpr, fpr, cuts = _rates(positive, values)
    allowed = np.flatnonzero(1 - fpr >= specificity - 1e-12)
    if allowed.size == 0:
        above = float(np.nextafter(cuts[0], np.inf))
        return OperatingPoint(threshold=above, sensitivity=0.0, specificity=1.0)
    best = allowed[-1]
    return OperatingPoint(
        threshold=float(cuts[best]),
        sensitivity=float(tpr[best]),
        specificity=float(1 - fpr[best]),
    )


def _rates(positive: Bools, scores: Floats) -> tuple[Floats, Floats, Floats]:
    """Return true- and false-positive rates at each distinct score, highest score first."""
    order, ends = tie_blocks(scores)
    hits = np.cumsum(positive[order].astype(np.int64))[ends]
    called = ends + 1
    positives = int(positive.sum())
    return hits / positives, (called - hits) / (positive.size - positives), scores[order][ends]
