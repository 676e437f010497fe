"""What the exported graph is worth: calibration on validation, metrics with intervals."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass

import numpy as np

from ..bundle.manifest import Interval, SplitMetrics
from ..bundle.runtime import to_probabilities
from ..data.dataset import LabelledData
from ..errors import GenoslimError
from ..stats.calibration import (
    TEMPERATURE_RANGE,
    brier,
    expected_calibration_error,
    fit_temperature,
)
from ..stats.delong import auroc_interval, paired_auroc
from ..stats.metrics import compute_metrics, macro_auroc
from ..stats.ranks import auroc_of_ranks, dense_ranks
from ..stats.resampling import clustered_bootstrap
from ..stats.thresholds import youden_threshold

_LOG = logging.getLogger(__name__)

LEVEL = 0.95
_DELONG, _BOOTSTRAP = "DeLong", "bootstrap by variant"


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
    keys = data.keys
    if _distinct(keys):
        found = auroc_interval(data.labels, probabilities, level=LEVEL)
        return Interval(low=found.low, high=found.high, level=LEVEL, method=_DELONG)
    drawn = clustered_bootstrap(
        auroc_of_ranks, data.labels, dense_ranks(probabilities), clusters=keys, level=LEVEL
    )
    return Interval(low=drawn.low, high=drawn.high, level=LEVEL, method=_BOOTSTRAP)


def auroc_change(
    labels: np.ndarray, first: np.ndarray, second: np.ndarray, *, keys: np.ndarray, level: float
) -> tuple[float, Interval]:
    """Return AUROC of `second` less that of `first`, probabilities [n] of the same rows.

    With its paired interval: DeLong's, or a bootstrap by variant where `keys` [n] recur.
    """
    paired = paired_auroc(labels, first, second, level=level)
    if _distinct(keys):
        interval = Interval(low=paired.low, high=paired.high, level=level, method=_DELONG)
        return paired.difference, interval
    ranks = (dense_ranks(first), dense_ranks(second))
    drawn = clustered_bootstrap(_difference, labels, *ranks, clusters=keys, level=level)
    interval = Interval(low=drawn.low, high=drawn.high, level=level, method=_BOOTSTRAP)
    return paired.difference, interval


def _difference(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    return auroc_of_ranks(labels, second) - auroc_of_ranks(labels, first)


def _distinct(keys: np.ndarray) -> bool:
    return len(np.unique(keys)) == len(keys)


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
