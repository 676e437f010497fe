"""The bootstrap over clusters of rows, for rows that are not independent of one another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
    rows = _Clusters.of(aligned("clusters", clusters, sizes.pop()))
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
        clusters=rows.sizes.size,
        repeats=repeats,
        failed=repeats - samples.size,
        samples=samples,
    )


def draw_counts(
    clusters: ArrayLike, *, repeats: int, seed: int = 0
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return how often each cluster is drawn, int[repeats, c], and the cluster of each row, int[n].

    What `clustered_bootstrap` draws row by row, as counts: `counts[:, index]` weights the rows.
    """
    names, index = np.unique(np.asarray(clusters), return_inverse=True)
    return np.stack(list(each_draw(len(names), repeats=repeats, seed=seed))), index


def each_draw(size: int, *, repeats: int, seed: int = 0) -> Iterator[NDArray[np.intp]]:
    """Yield the draws of `draw_counts` one by one: how often each of `size` clusters is drawn."""
    count("repeats", repeats)
    generator = np.random.default_rng(seed)
    for _ in range(repeats):
        yield np.bincount(generator.integers(size, size=size), minlength=size)


@dataclass(frozen=True)
class _Clusters:
    """The rows of each cluster: `order[starts[c] : starts[c] + sizes[c]]` are those of c."""

    order: NDArray[np.intp]
    starts: NDArray[np.intp]
    sizes: NDArray[np.intp]

    @classmethod
    def of(cls, names: NDArray[Any]) -> _Clusters:
        _, group, sizes = np.unique(names, return_inverse=True, return_counts=True)
        if sizes.size < 2:
            raise GenoslimError(f"a bootstrap needs at least two clusters, found {sizes.size}")
        return cls(np.argsort(group, kind="stable"), np.cumsum(sizes) - sizes, sizes)

    def rows(self, drawn: NDArray[np.int64]) -> NDArray[np.intp]:
        """Return the rows of the clusters `drawn`, one cluster after the other."""
        sizes = self.sizes[drawn]
        ends = np.cumsum(sizes)
        first = np.repeat(self.starts[drawn] - ends + sizes, sizes)
        rows: NDArray[np.intp] = self.order[first + np.arange(ends[-1])]
        return rows


def _draw(
    statistic: Callable[..., float],
    columns: list[NDArray[Any]],
    clusters: _Clusters,
    repeats: int,
    generator: np.random.Generator,
) -> Floats:
    samples: list[float] = []
    for _ in range(repeats):
        taken = clusters.rows(generator.integers(clusters.sizes.size, size=clusters.sizes.size))
        try:
            samples.append(float(statistic(*(column[taken] for column in columns))))
        except GenoslimError:
            continue
    return np.array(samples, dtype=np.float64)
