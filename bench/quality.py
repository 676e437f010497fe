"""What a model's logits are worth on the test split, and against the baseline's on the same rows.

Every figure is computed from the logits of the very code path that was timed. Temperature and all
thresholds come from the validation split: a bundle brings its own temperature and threshold, a
checkpoint's are fitted here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..bundle.runtime import to_probabilities
from ..data.dataset import LabelledData
from ..errors import GenoslimError
from ..export.evaluate import Calibration, calibrate
from ..prune.measure import Rows, Sample, Split, Unit
from ..stats.auroc import AurocBounds, auroc_bounds, auroc_difference
from ..stats.calibration import (
    ReliabilityBin,
    debiased_calibration_error,
    expected_calibration_error,
    reliability_curve,
)
from ..stats.delong import PairedAuroc
from ..stats.estimate import Estimate, Figures, Weights, bootstrap_estimates
from ..stats.metrics import GroupedAuroc, Metrics, compute_metrics, macro_auroc
from ..stats.ranks import auroc_of
from ..stats.thresholds import (
    OperatingPoint,
    sensitivity_at_specificity,
)
from ..stats.weighted import WeightedCounts, weighted_average_precision
from .decision import NonInferiority
from .subjects import Subject

LEVEL = 0.95
SPECIFICITIES = (0.9, 0.95)
_BRIER_BEFORE = "brier_uncalibrated"

Splits = Mapping[Split, LabelledData]
"""The validation and the test rows."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """One model's logits float32[n, 2] of both splits, and how they were calibrated."""

    logits: Mapping[Split, NDArray[np.float32]]
    fitted: Calibration
    fitted_by: str

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """The calibrated probability of each test row, float64[n]."""
        return to_probabilities(self.logits["test"], self.fitted.temperature)

    @cached_property
    def margins(self) -> NDArray[np.float64]:
        """How much more likely positive than not each test row is, as a logit, float64[n].

        What is about order alone is asked of these: probabilities near 1 round to it, and tie.
        """
        return margins_of(self.logits["test"])

    @property
    def uncalibrated(self) -> NDArray[np.float64]:
        """The same at a temperature of 1."""
        return to_probabilities(self.logits["test"], 1.0)

    @property
    def validation(self) -> NDArray[np.float64]:
        """The calibrated probability of each validation row, float64[n]."""
        return to_probabilities(self.logits["validation"], self.fitted.temperature)

    @property
    def validation_calls(self) -> NDArray[np.bool_]:
        """Which validation rows are called positive, bool[n]."""
        return self.validation >= self.fitted.threshold

    @property
    def calls(self) -> NDArray[np.bool_]:
        """Which test rows are called positive, bool[n]."""
        return self.probabilities >= self.fitted.threshold


@dataclass(frozen=True, kw_only=True)
class CalibrationErrors:
    """How far probabilities are from what is seen; see `stats.calibration`.

    `debiased` is the root mean square error without its bias.
    """

    brier: Estimate
    expected_calibration_error: float
    debiased: Estimate


@dataclass(frozen=True, kw_only=True)
class PredictiveValues:
    """The chance that a positive (`ppv`) or negative (`npv`) call is right at `prevalence`.

    None where no call of that kind is made.
    """

    prevalence: float
    ppv: float | None
    npv: float | None


@dataclass(frozen=True, kw_only=True)
class Quality:
    """How good one model is on the test split.

    `estimates` are figures with their 95 % intervals, by name: accuracy, F1, true-positive rate,
    specificity, MCC and, if a prevalence was stated, PPV and NPV at the model's threshold; average
    precision (AUPRC); Brier score; sensitivity and specificity at the thresholds that have 90 and
    95 % specificity on validation, which `operating_points` holds. A bootstrap draws `unit`s.
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
    unit: Unit
    estimates: dict[str, Estimate]
    uncalibrated: CalibrationErrors
    calibrated: CalibrationErrors


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


def margins_of(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return what sets the two labels of logits float32[n, 2] apart, float64[n]."""
    both = logits.astype(np.float64)
    margins: NDArray[np.float64] = both[:, 1] - both[:, 0]
    return margins


def require_sound(subject: Subject, split: Split, logits: NDArray[np.float32]) -> None:
    """Raise GenoslimError unless a model's logits of a split are finite, and of two labels."""
    if logits.ndim != 2 or logits.shape[1] != 2:
        raise GenoslimError(
            f"{subject.path}: logits of shape {list(logits.shape)}; expected two labels"
        )
    if not np.isfinite(logits).all():
        wrong = int((~np.isfinite(logits)).any(axis=1).sum())
        raise GenoslimError(
            f"{subject.path}: {wrong} of {len(logits)} {split} rows have logits that are not"
            " finite: the model is broken, or overflows at its precision"
        )


def calibrated(
    subject: Subject, validation: LabelledData, logits: Mapping[Split, NDArray[np.float32]]
) -> Scores:
    """Turn the logits (of `validation` and `test`, float32 [n, 2]) of one model into scores."""
    if subject.temperature is not None and subject.threshold is not None:
        fitted = Calibration(subject.temperature, subject.threshold)
        source = "stored in the bundle"
    else:
        fitted = calibrate(logits["validation"], validation.labels)
        source = "fitted on validation here"
    return Scores(logits=logits, fitted=fitted, fitted_by=source)


def assess(splits: Splits, scores: Scores, *, prevalence: float | None = None) -> Quality:
    """Return the figures of one model on the test split."""
    test = splits["test"]
    labels, values = test.labels, scores.probabilities
    interval = auroc_bounds(labels, scores.margins, keys=test.keys, level=LEVEL)
    metrics = replace(
        compute_metrics(labels, values, threshold=scores.fitted.threshold),
        auroc=auroc_of(labels == 1, scores.margins),
    )
    sample = sample_of(splits)
    cuts = _cuts(splits["validation"].labels, scores)
    estimates = bootstrap_estimates(
        _figures(labels == 1, scores, cuts, prevalence), sample.names, level=LEVEL
    )
    calibrated = _calibration(labels, values, sample, estimates["brier"])
    return Quality(
        metrics=metrics,
        interval=interval,
        temperature=scores.fitted.temperature,
        fitted_by=scores.fitted_by,
        brier=calibrated.brier.value,
        expected_calibration_error=calibrated.expected_calibration_error,
        reliability=tuple(reliability_curve(labels, values, bins=10)),
        operating_points={
            f"{asked:g}": OperatingPoint(
                threshold=cuts[asked],
                sensitivity=estimates[sensitivity_at(asked)].value,
                specificity=estimates[specificity_for(asked)].value,
            )
            for asked in SPECIFICITIES
        },
        predictive=None if prevalence is None else _predictive(estimates, prevalence),
        by_group=_by_group(test, scores.margins),
        unit=sample.unit,
        estimates={name: one for name, one in estimates.items() if name != _BRIER_BEFORE},
        uncalibrated=_calibration(labels, scores.uncalibrated, sample, estimates[_BRIER_BEFORE]),
        calibrated=calibrated,
    )


def rows_of(splits: Splits) -> dict[Split, Rows]:
    """Return what is known of the rows of each split."""
    return {split: Rows(rows.labels, rows.keys, rows.groups) for split, rows in splits.items()}


def sample_of(splits: Splits, split: Split = "test") -> Sample:
    """Return what a split is a sample of: groups, variants or rows.

    Where a class is in a single group it is a sample of variants.
    """
    rows = rows_of(splits)
    sample = Sample.of(rows, split)
    if sample.spreads:
        return sample
    return replace(sample, names=rows[split].keys, unit="variant", macro=False)


def sensitivity_at(specificity: float) -> str:
    """Return the name of the sensitivity at a specificity: `sensitivity_at_90_specificity`."""
    return f"sensitivity_at_{specificity * 100:.0f}_specificity"


def specificity_for(specificity: float) -> str:
    """Return the name of what a threshold for some specificity on validation has on test."""
    return f"specificity_for_{specificity * 100:.0f}"


def _cuts(validation: NDArray[np.int8], scores: Scores) -> dict[float, float]:
    """Return the thresholds that have some specificity on validation."""
    return {
        asked: sensitivity_at_specificity(
            validation, scores.validation, specificity=asked
        ).threshold
        for asked in SPECIFICITIES
    }


def _figures(
    positive: NDArray[np.bool_],
    scores: Scores,
    cuts: Mapping[float, float],
    prevalence: float | None,
) -> Callable[[Weights], Figures]:
    """Return what gives every figure of the test rows under weights."""
    values = scores.probabilities
    squares = np.stack([values - positive, scores.uncalibrated - positive], axis=1) ** 2

    def figures(weights: Weights) -> Figures:
        counts = WeightedCounts.of(positive, scores.calls, weights)
        brier, before = (weights @ squares / weights.sum(axis=1, keepdims=True)).T
        found = {
            "accuracy": counts.accuracy,
            "f1": counts.f1,
            "true_positive_rate": counts.sensitivity,
            "specificity": counts.specificity,
            "mcc": counts.mcc,
            "average_precision": weighted_average_precision(positive, scores.margins, weights),
            "brier": brier,
            _BRIER_BEFORE: before,
        }
        for asked, cut in cuts.items():
            at = WeightedCounts.of(positive, values >= cut, weights)
            found |= {sensitivity_at(asked): at.sensitivity, specificity_for(asked): at.specificity}
        if prevalence is not None:
            found |= zip(("ppv", "npv"), counts.predictive_values(prevalence), strict=True)
        return found

    return figures


def _predictive(estimates: Mapping[str, Estimate], prevalence: float) -> PredictiveValues:
    ppv, npv = (estimates[name].value if name in estimates else None for name in ("ppv", "npv"))
    return PredictiveValues(prevalence=prevalence, ppv=ppv, npv=npv)


def _calibration(
    labels: NDArray[np.int8], values: NDArray[np.float64], sample: Sample, brier: Estimate
) -> CalibrationErrors:
    return CalibrationErrors(
        brier=brier,
        expected_calibration_error=expected_calibration_error(labels, values),
        debiased=debiased_calibration_error(labels, values, clusters=sample.names, level=LEVEL),
    )


def compare(
    test: LabelledData, baseline: Scores, own: Scores, *, decisive: NonInferiority
) -> Comparison:
    """Compare one model with the baseline on the same rows; `decisive` is the decision's test."""
    first, second = baseline.margins, own.margins
    found = auroc_difference(test.labels, first, second, keys=test.keys, level=LEVEL)
    before, after = baseline.calls, own.calls
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
