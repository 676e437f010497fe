"""What the exported graph is worth: calibration on validation, metrics with intervals."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass

import numpy as np

from ..bundle.manifest import Interval, SplitMetrics
from ..bundle.runtime import to_probabilities
from ..data.dataset import LabelledData
from ..errors import GenoslimError
from ..stats.auroc import auroc_bounds, auroc_difference
from ..stats.calibration import (
    TEMPERATURE_RANGE,
    brier,
    expected_calibration_error,
    fit_temperature,
)
from ..stats.metrics import compute_metrics, macro_auroc
from ..stats.thresholds import youden_threshold

_LOG = logging.getLogger(__name__)

LEVEL = 0.95


@dataclass(frozen=True)
class Calibration:
    """The two numbers fitted on the validation split: see `calibrate`."""

    temperature: float
    threshold: float


def calibrate(logits: np.ndarray, labels: np.ndarray) -> Calibration:
    """Fit the temperature, then Youden's threshold at it, to validation logits [n, 2].

    Where the labels determine no temperature (logits that separate them perfectly, or say nothing
    about them) it stays 1, with a warning: an extreme one would only fake certainty or doubt.
    """
    temperature = fit_temperature(logits, labels)
    low, high = TEMPERATURE_RANGE
    if not low * 1.01 < temperature < high / 1.01:
        _LOG.warning(
            "temperature left at 1: the %d validation windows determine none"
            " (they are separated perfectly or not at all)",
            len(labels),
        )
        temperature = 1.0
    return Calibration(temperature, youden_threshold(labels, to_probabilities(logits, temperature)))


def split_metrics(data: LabelledData, logits: np.ndarray, fitted: Calibration) -> SplitMetrics:
    """Return the metrics of one split from its logits [n, 2], at `fitted`."""
    probabilities = to_probabilities(logits, fitted.temperature)
    found = compute_metrics(data.labels, probabilities, threshold=fitted.threshold)
    groups, skipped, macro = _by_group(data, probabilities)
    return SplitMetrics(
        **asdict(found),
        interval=_interval(data, probabilities),
        brier=brier(data.labels, probabilities),
        expected_calibration_error=expected_calibration_error(data.labels, probabilities),
        macro_auroc=macro,
        group_auroc=groups,
        skipped_groups=skipped,
    )


def _interval(data: LabelledData, probabilities: np.ndarray) -> Interval:
    """Return the AUROC's interval: DeLong's, or a bootstrap by variant where variants recur."""
    found = auroc_bounds(data.labels, probabilities, keys=data.keys, level=LEVEL)
    return Interval(low=found.low, high=found.high, level=LEVEL, method=found.method)


def auroc_change(
    labels: np.ndarray, first: np.ndarray, second: np.ndarray, *, keys: np.ndarray, level: float
) -> tuple[float, Interval]:
    """Return AUROC of `second` less that of `first`, probabilities [n] of the same rows.

    With its paired interval: DeLong's, or a bootstrap by variant where `keys` [n] recur.
    """
    found = auroc_difference(labels, first, second, keys=keys, level=level)
    low, high = found.interval.low, found.interval.high
    return found.difference, Interval(low=low, high=high, level=level, method=found.method)


def _by_group(
    data: LabelledData, probabilities: np.ndarray
) -> tuple[dict[str, float], tuple[str, ...], float | None]:
    """Return AUROC by group, the groups without one, and the macro mean; nothing without groups."""
    if not (data.groups != "").any():
        return {}, (), None
    try:
        found = macro_auroc(data.labels, probabilities, data.groups)
    except GenoslimError:  # no group has both classes
        return {}, tuple(np.unique(data.groups).tolist()), None
    return found.per_group, found.skipped, found.macro_mean
