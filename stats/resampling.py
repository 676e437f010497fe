"""The bootstrap over clusters of rows, for rows that are not independent of one another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import GenoslimError
from .checks import Floats, aligned, count, fraction


@dataclass(frozen=True, kw_only=True)
class BootstrapInterval:
    """A statistic with its percentile interval at `level`, over `repeats` draws of clusters.

    `failed` draws had no statistic (a single class, say) and are left out; `samples` holds the
    others, in order of drawing.
    """

    estimate: float
    standard_error: float
    low: float
    high: float
    level: float
    clusters: int
    repeats: int
    failed: int
    samples: Floats = field(repr=False, compare=False)

    def quantile(self, share: float) -> float:
        """Return the value below which `share` of the draws lie: 0.05 bounds one side at 95 %."""
        return float(np.quantile(self.samples, share))

    def p_value(self, null: float = 0.0) -> float:
        """Return the two-sided p-value of `null`: twice the smaller tail, never 0.

        (tail + 1) / (draws + 1), Davison and Hinkley 1997, section 4.2.
        """
        tail = min((self.samples <= null).sum(), (self.samples >= null).sum())
        return min(1.0, 2 * (int(tail) + 1) / (self.samples.size + 1))


def clustered_bootstrap(
    statistic: Callable[..., float],
    *arrays: ArrayLike,
    clusters: ArrayLike,
    repeats: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> BootstrapInterval:
    """Draw whole clusters with replacement and return the percentile interval of `statistic`.

    `arrays` have n rows each (first axis), `clusters` (shape [n]) names the cluster of each row:
    a variant's key where variants recur over tissues. `statistic(*drawn_arrays)` returns a float
    or raises GenoslimError where a draw has none. The same seed gives the same draws. Raises
    GenoslimError with fewer than two clusters, or when more than half of the draws fail.
    """
    fraction("level", level)
    count("repeats", repeats, least=2)
    columns = [np.asarray(array) for array in arrays]
    sizes = {len(column) for column in columns}
    if len(sizes) != 1:
        raise GenoslimError(f"arrays to resample must have one length, found {sorted(sizes)}")
    rows = _rows_by_cluster(aligned("clusters", clusters, sizes.pop()))
    samples = _draw(statistic, columns, rows, repeats, np.random.default_rng(seed))
    if samples.size <= repeats // 2:
        raise GenoslimError(f"{repeats - samples.size} of {repeats} bootstrap draws failed")
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2])
    return BootstrapInterval(
        estimate=float(statistic(*columns)),
        standard_error=float(samples.std(ddof=1)),
        low=float(low),
        high=float(high),
        level=level,
        clusters=len(rows),
        repeats=repeats,
        failed=repeats - samples.size,
        samples=samples,
    )


def _rows_by_cluster(clusters: NDArray[Any]) -> list[NDArray[np.intp]]:
    """Return the row numbers of each cluster, clusters in order of their names."""
    _, group, sizes = np.unique(clusters, return_inverse=True, return_counts=True)
    if sizes.size < 2:
        raise GenoslimError(f"a bootstrap needs at least two clusters, found {sizes.size}")
    return np.split(np.argsort(group, kind="stable"), np.cumsum(sizes)[:-1])


def _draw(
    statistic: Callable[..., float],
    columns: list[NDArray[Any]],
    rows: list[NDArray[np.intp]],
    repeats: int,
    generator: np.random.Generator,
) -> Floats:
    samples: list[float] = []
    for _ in range(repeats):
        drawn = generator.integers(len(rows), size=len(rows))
        taken = np.concatenate([rows[index] for index in drawn])
        try:
            samples.append(float(statistic(*(column[taken] for column in columns))))
        except GenoslimError:
            continue
    return np.array(samples, dtype=np.float64)
