"""What a model's logits are worth on the test split, and against the baseline's on the same rows.

Every figure is computed from the logits of the very code path that was timed. Temperature and
threshold come from the validation split: a bundle brings its own, a checkpoint's are fitted here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..bundle.runtime import to_probabilities
from ..data.dataset import LabelledData
from ..errors import GenoslimError
from ..export.evaluate import Calibration, calibrate
from ..prune.measure import Split
from ..stats.auroc import AurocBounds, auroc_bounds, auroc_difference
from ..stats.calibration import (
    ReliabilityBin,
    brier,
    expected_calibration_error,
    reliability_curve,
)
from ..stats.delong import PairedAuroc
from ..stats.metrics import GroupedAuroc, Metrics, compute_metrics, macro_auroc
from ..stats.thresholds import (
    OperatingPoint,
    PredictiveValues,
    predictive_values,
    sensitivity_at_specificity,
)
from .decision import NonInferiority
from .subjects import Subject

LEVEL = 0.95
SPECIFICITIES = (0.9, 0.95)


@dataclass(frozen=True, kw_only=True)
class Scores:
    """One model's calibrated probabilities on test, and how they were calibrated."""

    probabilities: NDArray[np.float64]
    fitted: Calibration
    fitted_by: str


@dataclass(frozen=True, kw_only=True)
class Quality:
    """How good one model is on the test split.

    `predictive` is None unless a prevalence was stated, `by_group` unless the data has groups of
    which one at least has both classes.
    """

    metrics: Metrics
    interval: AurocBounds
    temperature: float
    fitted_by: str
    brier: float
    expected_calibration_error: float
    reliability: tuple[ReliabilityBin, ...]
    operating_points: dict[str, OperatingPoint]
    predictive: PredictiveValues | None
    by_group: GroupedAuroc | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A model against the baseline on the same test rows; differences are model - baseline.

    `low`, `high` and `p_value` are of the AUROC over all rows by `method`: DeLong, or a bootstrap
    that draws variants where variants recur (DeLong's figures, which then are too sure, stay
    beside). `noninferiority` is the test that decides; `macro_difference` is that of the mean AUROC
    over groups.
    """

    difference: float
    low: float
    high: float
    level: float
    p_value: float
    method: str
    delong: PairedAuroc
    noninferiority: NonInferiority
    flipped: int
    flipped_to_positive: int
    macro_difference: float | None


def calibrated(
    subject: Subject, validation: LabelledData, logits: Mapping[Split, NDArray[np.float32]]
) -> Scores:
    """Turn the logits (of `validation` and `test`, float32 [n, 2]) of one model into scores."""
    for split, values in logits.items():
        if values.ndim != 2 or values.shape[1] != 2:
            raise GenoslimError(
                f"{subject.path}: logits of shape {list(values.shape)}; expected two labels"
            )
        if not np.isfinite(values).all():
            wrong = int((~np.isfinite(values)).any(axis=1).sum())
            raise GenoslimError(
                f"{subject.path}: {wrong} of {len(values)} {split} rows have logits that are not"
                " finite: the model is broken, or overflows at its precision"
            )
    if subject.temperature is not None and subject.threshold is not None:
        fitted = Calibration(subject.temperature, subject.threshold)
        source = "stored in the bundle"
    else:
        fitted = calibrate(logits["validation"], validation.labels)
        source = "fitted on validation here"
    return Scores(
        probabilities=to_probabilities(logits["test"], fitted.temperature),
        fitted=fitted,
        fitted_by=source,
    )


def assess(test: LabelledData, scores: Scores, *, prevalence: float | None = None) -> Quality:
    """Return the figures of one model on the test split."""
    labels, values = test.labels, scores.probabilities
    metrics = compute_metrics(labels, values, threshold=scores.fitted.threshold)
    return Quality(
        metrics=metrics,
        interval=auroc_bounds(labels, values, keys=test.keys, level=LEVEL),
        temperature=scores.fitted.temperature,
        fitted_by=scores.fitted_by,
        brier=brier(labels, values),
        expected_calibration_error=expected_calibration_error(labels, values),
        reliability=tuple(reliability_curve(labels, values, bins=10)),
        operating_points={
            f"{specificity:g}": sensitivity_at_specificity(labels, values, specificity=specificity)
            for specificity in SPECIFICITIES
        },
        predictive=None
        if prevalence is None
        else predictive_values(metrics.true_positive_rate, metrics.specificity, prevalence),
        by_group=_by_group(test, values),
    )


def compare(
    test: LabelledData, baseline: Scores, own: Scores, *, decisive: NonInferiority
) -> Comparison:
    """Compare one model with the baseline on the same rows; `decisive` is the decision's test."""
    first, second = baseline.probabilities, own.probabilities
    found = auroc_difference(test.labels, first, second, keys=test.keys, level=LEVEL)
    before, after = (s.probabilities >= s.fitted.threshold for s in (baseline, own))
    return Comparison(
        difference=found.difference,
        low=found.interval.low,
        high=found.interval.high,
        level=LEVEL,
        p_value=found.p_value,
        method=found.method,
        delong=found.delong,
        noninferiority=decisive,
        flipped=int((before != after).sum()),
        flipped_to_positive=int((~before & after).sum()),
        macro_difference=_macro_difference(test, first, second),
    )


def _by_group(test: LabelledData, values: NDArray[np.float64]) -> GroupedAuroc | None:
    if not (test.groups != "").any():
        return None
    try:
        return macro_auroc(test.labels, values, test.groups)
    except GenoslimError:  # no group has both classes
        return None


def _macro_difference(
    test: LabelledData, first: NDArray[np.float64], second: NDArray[np.float64]
) -> float | None:
    before, after = _by_group(test, first), _by_group(test, second)
    return None if before is None or after is None else after.macro_mean - before.macro_mean
