"""Whether a model is the baseline in another form: its weights, and its scores on every row.

That a conversion changes nothing is a fact of arithmetic, seen on inputs, for which labels are
asked nothing. So there is no hypothesis to test, and no number of rows or groups too small for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..bundle.manifest import LossLimits
from ..export.evaluate import Calibration
from .quality import Scores, margins_of
from .subjects import Subject

TOLERANCE = LossLimits.batch_difference
"""How far a logit may be from the baseline's: as far as `export` lets one bundle's own be from
batch to batch, so that the two differ no more than either differs from itself."""


@dataclass(frozen=True, kw_only=True)
class Sameness:
    """A model of the baseline's own weights against it, on all validation and test rows.

    Calls are each model's own, at its temperature and threshold; `flipped_beyond` are those that
    flip where the baseline's score is farther from its threshold than both logits may move it.
    """

    rows: int
    max_logit_difference: float
    flipped: int
    flipped_beyond: int
    tolerance: float = TOLERANCE

    @property
    def same(self) -> bool:
        """Whether no logit differs by more than the tolerance, nor any call for another reason."""
        return self.flipped_beyond == 0 and self.max_logit_difference <= self.tolerance

    def __str__(self) -> str:
        return (
            f"the baseline's own weights and its scores: on {self.rows:,} validation and test rows"
            f" logits differ by {self.max_logit_difference:.2g} at most; calls that flip:"
            f" {self.flipped}, none beyond {2 * self.tolerance:g} of the threshold"
        )


def sameness(
    baseline: Subject, own: Subject, of_baseline: Scores, of_own: Scores
) -> Sameness | None:
    """Compare a model with the baseline; None unless both are known to be of the same weights."""
    if baseline.weights is None or own.weights != baseline.weights:
        return None
    first, second = (
        np.concatenate(list(scores.logits.values())) for scores in (of_baseline, of_own)
    )
    before, after = (
        np.concatenate([scores.validation_calls, scores.calls]) for scores in (of_baseline, of_own)
    )
    flipped = before != after
    beyond = np.abs(margins_of(first) - _cut(of_baseline.fitted)) > 2 * TOLERANCE
    return Sameness(
        rows=len(first),
        max_logit_difference=float(np.abs(second - first).max()),
        flipped=int(flipped.sum()),
        flipped_beyond=int((flipped & beyond).sum()),
    )


def _cut(fitted: Calibration) -> float:
    """Return the difference of the logits from which on a call is positive."""
    if not 0 < fitted.threshold < 1:
        return math.inf if fitted.threshold else -math.inf
    return fitted.temperature * math.log(fitted.threshold / (1 - fitted.threshold))
