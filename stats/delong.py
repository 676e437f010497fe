"""The interval of an AUROC, and of the difference of two AUROCs on the same rows, after DeLong.

DeLong, DeLong and Clarke-Pearson 1988 (Biometrics 44:837) in the fast form of Sun and Xu 2014
(IEEE Signal Processing Letters 21:1389): with mid-ranks of all rows (Z), of the m positives among
themselves (X) and of the n negatives among themselves (Y), the placements are
V10 = (Z - X) / n of each positive and V01 = 1 - (Z - Y) / m of each negative, and
var(AUROC) = var(V10) / m + var(V01) / n with sample variances.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from .checks import Bools, Floats, binary_labels, finite_scores, fraction
from .ranks import auroc_of, midranks


@dataclass(frozen=True, kw_only=True)
class AurocInterval:
    """An AUROC with its two-sided normal interval at `level`, cut at 0 and 1.

    Perfectly separated rows have no estimated variance and so an interval of no width: read it
    as "too few errors to tell", not as certainty.
    """

    auroc: float
    standard_error: float
    low: float
    high: float
    level: float


@dataclass(frozen=True, kw_only=True)
class PairedAuroc:
    """Two models on the same rows: `difference` is second minus first, its interval at `level`.

    `correlation` is that of the two AUROC estimates, None where one of them has no variance.
    """

    first: float
    second: float
    difference: float
    standard_error: float
    low: float
    high: float
    level: float
    p_value: float
    correlation: float | None


def auroc_interval(labels: ArrayLike, scores: ArrayLike, *, level: float = 0.95) -> AurocInterval:
    """Return the AUROC of `scores` (shape [n]) with its DeLong interval at `level`.

    Raises GenoslimError with fewer than two rows of either class.
    """
    fraction("level", level)
    positive = binary_labels(labels, each_class=2)
    values = finite_scores(scores, positive.size)
    area = auroc_of(positive, values)
    v10, v01 = placements(positive, values)
    error = float(np.sqrt(_mean_variance(v10) + _mean_variance(v01)))
    reach = two_sided_quantile(level) * error
    return AurocInterval(
        auroc=area,
        standard_error=error,
        low=max(0.0, area - reach),
        high=min(1.0, area + reach),
        level=level,
    )


def paired_auroc(
    labels: ArrayLike, first: ArrayLike, second: ArrayLike, *, level: float = 0.95
) -> PairedAuroc:
    """Compare two models' scores (shape [n] each) on the same rows; two-sided p-value of no change.

    The variance of the difference is taken from the differences of placements, so it is exactly 0
    for two scores that rank the rows alike. Rows must be independent: where variants recur, use
    `resampling.clustered_bootstrap`. Raises GenoslimError with fewer than two rows of either class.
    """
    fraction("level", level)
    positive = binary_labels(labels, each_class=2)
    scores = [finite_scores(values, positive.size) for values in (first, second)]
    areas = [auroc_of(positive, values) for values in scores]
    (a10, a01), (b10, b01) = (placements(positive, values) for values in scores)
    difference = areas[1] - areas[0]
    variance = _mean_variance(b10 - a10) + _mean_variance(b01 - a01)
    error = float(np.sqrt(variance))
    reach = two_sided_quantile(level) * error
    return PairedAuroc(
        first=areas[0],
        second=areas[1],
        difference=difference,
        standard_error=error,
        low=max(-1.0, difference - reach),
        high=min(1.0, difference + reach),
        level=level,
        p_value=_two_sided_p(difference, error),
        correlation=_correlation(
            _mean_variance(a10) + _mean_variance(a01),
            _mean_variance(b10) + _mean_variance(b01),
            variance,
        ),
    )


def two_sided_quantile(level: float) -> float:
    """Return the normal quantile that holds the middle `level` of the mass: 1.96 at 0.95."""
    return NormalDist().inv_cdf((1 + level) / 2)


def placements(positive: Bools, scores: Floats) -> tuple[Floats, Floats]:
    """Return V10 of each positive (shape [m]) and V01 of each negative (shape [n])."""
    of_all = midranks(scores)
    m = int(positive.sum())
    n = positive.size - m
    v10 = (of_all[positive] - midranks(scores[positive])) / n
    v01 = 1 - (of_all[~positive] - midranks(scores[~positive])) / m
    return v10, v01


def _mean_variance(values: Floats) -> float:
    """Return the variance of the mean of `values`."""
    return float(values.var(ddof=1)) / values.size


def _two_sided_p(difference: float, error: float) -> float:
    if error == 0:
        return 1.0 if difference == 0 else 0.0
    return math.erfc(abs(difference) / error / math.sqrt(2))


def _correlation(first: float, second: float, of_difference: float) -> float | None:
    """Return the correlation of two estimates from their variances and their difference's."""
    if first == 0 or second == 0:
        return None
    value = (first + second - of_difference) / (2 * np.sqrt(first * second))
    return float(np.clip(value, -1, 1))
