"""Is the sensitivity of a classifier at its threshold at least what was asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..errors import GenoslimError
from .checks import aligned, binary_labels, fraction
from .student import t_below, t_quantile


@dataclass(frozen=True, kw_only=True)
class SensitivityTest:
    """The test of H0 "the sensitivity is below `least`": one-sided bound at 1 - alpha, p-value."""

    least: float
    sensitivity: float
    lower_bound: float
    p_value: float


def sensitivity_test(
    labels: ArrayLike, called: ArrayLike, units: ArrayLike, *, least: float, alpha: float = 0.05
) -> SensitivityTest:
    """Test the share of positives that are called, from labels and calls (shape [n] each).

    `units` (shape [n]) names what was drawn independently. Where each has one positive, binomial
    and exact (Clopper and Pearson 1934, Biometrika 26:404); else Student's t over the shares within
    the units, or, where these do not vary, the binomial of as many units. Raises GenoslimError
    without a positive.
    """
    fraction("min-sensitivity", least)
    positive = binary_labels(labels)
    if not positive.any():
        raise GenoslimError(f"a sensitivity needs a positive, found none in {positive.size} rows")
    hits = binary_labels(called)[positive].astype(np.float64)
    names, index = np.unique(aligned("units", units, positive.size)[positive], return_inverse=True)
    shares = np.bincount(index, hits) / np.bincount(index)
    mean, error = float(shares.mean()), 0.0
    if len(names) > 1:
        error = float(shares.std(ddof=1)) / np.sqrt(len(names))
    if len(names) == len(hits) or error == 0:
        bound, p_value = _binomial(mean, len(names), least, alpha)
    else:
        freedom = len(names) - 1
        bound = mean - t_quantile(1 - alpha, freedom) * error
        p_value = t_below((least - mean) / error, freedom)
    return SensitivityTest(least=least, sensitivity=mean, lower_bound=bound, p_value=p_value)


def _binomial(share: float, trials: int, least: float, alpha: float) -> tuple[float, float]:
    """Return the exact lower bound and p-value of so many successes."""
    from scipy.special import bdtrc, betaincinv

    hits = int(np.floor(share * trials + 1e-9))
    if hits == 0:
        return 0.0, 1.0
    return float(betaincinv(hits, trials - hits + 1, alpha)), float(bdtrc(hits - 1, trials, least))
