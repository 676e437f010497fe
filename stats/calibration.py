"""Do probabilities mean what they say: temperature, Brier score, calibration error, reliability."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import GenoslimError
from .checks import Bools, Floats, binary_labels, count, fraction, probabilities_of
from .estimate import Estimate, cluster_draws, expanded_tails
from .ranks import midranks

TEMPERATURE_RANGE = (0.01, 100.0)


@dataclass(frozen=True)
class ReliabilityBin:
    """One bin of rows of like probability: what was said, what was seen, and over how many."""

    mean_probability: float
    positive_share: float
    count: int


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """Return the T that minimises the log loss of softmax(logits / T) (Guo et al. 2017).

    `logits` have shape [n, 2]. The loss is convex in 1 / T, so the root of its slope is found by
    bisection. T stays within 0.01 to 100: the low end for separable logits, the high end for
    logits that are no better than chance. Fit it on validation, never on test.
    """
    margin, positive = _margins(logits, labels)
    signed = np.where(positive, margin, -margin)
    low, high = (np.log(1 / limit) for limit in reversed(TEMPERATURE_RANGE))
    for _ in range(60):
        middle = (low + high) / 2
        if _slope(signed, np.exp(middle)) < 0:
            low = middle
        else:
            high = middle
    return float(np.clip(np.exp(-(low + high) / 2), *TEMPERATURE_RANGE))


def brier(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Return the mean squared distance of probability and label: 0 perfect, 0.25 for always 0.5."""
    positive = binary_labels(labels)
    return float(np.mean((probabilities_of(probabilities, positive.size) - positive) ** 2))


def expected_calibration_error(
    labels: ArrayLike, probabilities: ArrayLike, *, bins: int = 15
) -> float:
    """Return the mean gap of mean probability and positive share over bins of equal mass.

    Bins are weighted by their rows (Naeini et al. 2015; equal mass after Nixon et al. 2019).
    """
    curve = reliability_curve(labels, probabilities, bins=bins)
    rows = sum(point.count for point in curve)
    gaps = (point.count * abs(point.mean_probability - point.positive_share) for point in curve)
    return float(sum(gaps) / rows)


def debiased_calibration_error(
    labels: ArrayLike,
    probabilities: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    bins: int = 15,
    level: float = 0.95,
) -> Estimate:
    """Return the root mean square gap of probability and positive share, without its bias.

    A gap that is measured on few rows is never 0, however good the probabilities are. The square
    of each bin's mean gap is estimated from products of different clusters alone (of different
    rows, if none are named): for rows this is the estimator of Kumar et al. 2019 (Verified
    Uncertainty Calibration). The interval is their reversed bootstrap, on the squares and
    expanded for few clusters; what comes out negative is 0. Raises GenoslimError with fewer than
    two clusters.
    """
    fraction("level", level)
    positive = binary_labels(labels)
    values = probabilities_of(probabilities, positive.size)
    names = np.arange(values.size) if clusters is None else np.asarray(clusters)
    found, index = np.unique(names, return_inverse=True)
    gaps, sizes = _by_cluster(values, positive, index, _equal_mass(values, bins))
    once = np.ones((1, len(found)), np.intp)
    whole, biased = (float(part[0]) for part in _mean_squares(gaps, sizes, once))
    chunks = cluster_draws(len(found), cells=len(found))
    draws = np.concatenate([_mean_squares(gaps, sizes, counts)[0] for counts in chunks])
    bottom, top = np.quantile(draws, expanded_tails(level, len(found)))
    squares = (whole, whole + biased - float(top), whole + biased - float(bottom))
    value, low, high = (math.sqrt(max(0.0, square)) for square in squares)
    return Estimate(value=value, low=low, high=high)


def _by_cluster(
    values: Floats, positive: Bools, cluster: NDArray[np.intp], bin_: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """Return the sum of gaps and the rows of each cluster in each bin, float[clusters, bins]."""
    shape = (int(cluster.max()) + 1, int(bin_.max()) + 1)
    gaps, sizes = np.zeros(shape), np.zeros(shape)
    np.add.at(gaps, (cluster, bin_), values - positive)
    np.add.at(sizes, (cluster, bin_), 1)
    return gaps, sizes


def _mean_squares(gaps: Floats, sizes: Floats, counts: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """Return the mean over rows of the squared gap of their bin, float[b]: without bias, and with.

    `counts` (shape [b, clusters]) say how often each cluster counts.
    """
    rows = counts @ sizes
    whole = (counts @ gaps) ** 2
    pairs = rows**2 - counts @ sizes**2
    unbiased = np.divide(whole - counts @ gaps**2, pairs, out=np.zeros_like(rows), where=pairs > 0)
    biased = np.divide(whole, rows**2, out=np.zeros_like(rows), where=rows > 0)
    share = rows / rows.sum(axis=1, keepdims=True)
    return (share * unbiased).sum(axis=1), (share * biased).sum(axis=1)


def reliability_curve(
    labels: ArrayLike, probabilities: ArrayLike, *, bins: int = 15
) -> list[ReliabilityBin]:
    """Return up to `bins` bins of equal mass, from low to high probability.

    A row's bin follows from its mid-rank, so rows of one probability are never split over bins
    and the order of rows does not matter; bins that ties leave empty are left out.
    """
    positive = binary_labels(labels)
    values = probabilities_of(probabilities, positive.size)
    index = _equal_mass(values, bins)
    return [_bin(values[index == b], positive[index == b]) for b in np.unique(index)]


def _equal_mass(values: Floats, bins: int) -> NDArray[np.int64]:
    """Return the bin of each value, from 0; equal values share one."""
    count("bins", bins)
    return ((midranks(values) - 0.5) * bins / values.size).astype(np.int64)


def _bin(values: Floats, positive: Bools) -> ReliabilityBin:
    return ReliabilityBin(float(values.mean()), float(positive.mean()), values.size)


def _margins(logits: ArrayLike, labels: ArrayLike) -> tuple[Floats, Bools]:
    values = np.asarray(logits, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != 2:
        raise GenoslimError(f"logits must have shape [n, 2], found {list(values.shape)}")
    positive = binary_labels(labels)
    if len(values) != positive.size:
        raise GenoslimError(
            f"as many logits as labels are needed: {len(values)} against {positive.size}"
        )
    if not np.isfinite(values).all():
        raise GenoslimError(f"logits must be finite, {int((~np.isfinite(values)).sum())} are not")
    return values[:, 1] - values[:, 0], positive


def _slope(signed: Floats, inverse_temperature: float) -> float:
    """Return d(log loss) / d(1 / T) = -mean(s sigmoid(-s / T)) for signed margins s."""
    weight = np.exp(-np.logaddexp(0.0, inverse_temperature * signed))
    return float(-np.mean(signed * weight))
