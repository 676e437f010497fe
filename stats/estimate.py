"""A figure with its interval, and how many digits of it mean anything."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import GenoslimError
from .checks import Floats, fraction
from .resampling import each_draw
from .student import t_quantile

Weights = NDArray[np.intp]
"""How often each row counts, int[b, n], in each of b draws."""

Figures = Mapping[str, Floats]
"""Statistics by name, float[b]: one value a draw, NaN where that has none."""

REPEATS = 1000
_CELLS = 4_000_000
"""Weights that are held at a time."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A statistic with its two-sided interval; None where too few draws have one.

    As text it has the digits that the interval allows: "0.872 (0.841 to 0.901)".
    """

    value: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{told(self.value, self)} (no interval)"
        return f"{told(self.value, self)} ({told(self.low, self)} to {told(self.high, self)})"


def by(difference: Estimate) -> str:
    """Return the size of a difference in words: "by 0.081 (0.049 to 0.112)", whatever its sign."""
    low, high = difference.low, difference.high
    if difference.value >= 0 or low is None or high is None:
        return f"by {difference}"
    return f"by {Estimate(value=-difference.value, low=-high, high=-low)}"


def told(value: float, estimate: Estimate) -> str:
    """Return a value with the digits that an interval allows."""
    low, high = estimate.low, estimate.high
    return f"{value:.{decimals(math.nan if low is None or high is None else high - low)}f}"


def decimals(width: float) -> int:
    """Return decimal places for what lies in an interval so wide: two figures of half of it.

    From two to four of them; three where the width says nothing.
    """
    if not 0 < width < math.inf:
        return 3
    return min(4, max(2, 1 - math.floor(math.log10(width / 2))))


def bootstrap_estimates(
    statistic: Callable[[Weights], Figures],
    clusters: ArrayLike,
    *,
    repeats: int = REPEATS,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Return figures with the expanded percentile intervals of a bootstrap of whole clusters.

    `statistic` gives every figure under weights of the rows, of which `clusters` (shape [n]) names
    the cluster. Draws without a figure are left out, and where they are over half so is the
    interval; a figure that the rows themselves have not is left out. Raises GenoslimError with
    fewer than two clusters.
    """
    fraction("level", level)
    names, index = np.unique(np.asarray(clusters), return_inverse=True)
    whole = statistic(np.ones((1, len(index)), np.intp))
    draws = cluster_draws(len(names), cells=len(index), repeats=repeats, seed=seed)
    parts = [statistic(counts[:, index]) for counts in draws]
    tails = expanded_tails(level, len(names))
    return {
        name: _percentiles(float(value[0]), np.concatenate([p[name] for p in parts]), tails)
        for name, value in whole.items()
        if not np.isnan(value[0])
    }


def cluster_draws(
    clusters: int, *, cells: int, repeats: int = REPEATS, seed: int = 0
) -> Iterator[Weights]:
    """Yield how often each cluster is drawn, int[b, clusters], in chunks of b draws.

    `cells` is how long a row is of what is made of a draw; a chunk has as many as keep that small.
    Raises GenoslimError with fewer than two clusters.
    """
    if clusters < 2:
        raise GenoslimError(f"a bootstrap needs at least two clusters, found {clusters}")
    draws = each_draw(clusters, repeats=repeats, seed=seed)
    while chunk := list(islice(draws, max(1, _CELLS // cells))):
        yield np.stack(chunk)


def expanded_tails(level: float, clusters: int) -> tuple[float, float]:
    """Return the two quantiles of draws of so many clusters that bound an interval at `level`.

    Few clusters vary less in a bootstrap than in truth. The tails are those at which a normal
    distribution with the bootstrap's spread ends where Student's t with the true one would: the
    expanded percentile interval (Hesterberg 2015, The American Statistician 69:371).
    """
    reach = t_quantile((1 + level) / 2, clusters - 1) * math.sqrt(clusters / (clusters - 1))
    tail = NormalDist().cdf(-reach)
    return tail, 1 - tail


def _percentiles(value: float, draws: Floats, tails: tuple[float, float]) -> Estimate:
    known = draws[~np.isnan(draws)]
    if 2 * known.size <= draws.size:
        return Estimate(value=value, low=None, high=None)
    low, high = np.quantile(known, tails)
    return Estimate(value=value, low=float(low), high=float(high))
