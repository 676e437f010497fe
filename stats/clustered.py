"""The AUROCs of k models on the same rows with their covariance, where rows come in clusters.

Pooled: Obuchowski 1997 (Biometrics 53:567), which is DeLong's covariance where every row is its own
cluster. With V10 and V01 of `delong`, centred and summed within each of the I clusters (I10 of them
with positives, I01 with negatives; m positives, n negatives in all), the covariance is
S10 / m^2 + S01 / n^2 + (S11 + S11') / (m n), S10 = I10 / (I10 - 1) sum of products of V10 sums, S01
alike, S11 = I / (I - 1) sum of products of V10 with V01 sums.

Macro: the mean over groups of the AUROC within each. The groups are the sample, so the covariance
is that of the groups' AUROCs over their number: four groups are four, however many rows they have.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import GenoslimError
from .checks import Bools, Floats, aligned, binary_labels, finite_scores, fraction
from .delong import placements
from .ranks import auroc_of
from .student import t_quantile


@dataclass(frozen=True, kw_only=True)
class Aurocs:
    """AUROCs float[k] of k models on the same rows, their covariance float[k, k], what it rests on.

    `units` are what was drawn independently of one another: rows, clusters of rows, or groups.
    `freedom` are the degrees of freedom of the covariance. Pooled, they are those of the class that
    is in fewer units: 60 groups of negatives do not make 5 of positives any better known.
    """

    values: Floats
    covariance: Floats
    units: int
    freedom: int

    def mean_interval(self, *, level: float = 0.95) -> tuple[float, float]:
        """Return the interval of the mean over the models, by Student's t, cut at 0 and 1."""
        fraction("level", level)
        error = float(np.sqrt(max(self.covariance.mean(), 0.0)))
        reach = t_quantile((1 + level) / 2, self.freedom) * error
        mean = float(self.values.mean())
        return max(0.0, mean - reach), min(1.0, mean + reach)


def pooled_aurocs(
    labels: ArrayLike, scores: ArrayLike, clusters: ArrayLike | None = None
) -> Aurocs:
    """Return the AUROC of each column of `scores` (shape [n, k]) over all rows.

    `clusters` (shape [n]) names the cluster of each row; without it rows are independent. Raises
    GenoslimError with fewer than two rows of either class, or fewer than two clusters with either.
    """
    positive = binary_labels(labels, each_class=2)
    columns = _columns(scores, positive.size)
    values = np.array([auroc_of(positive, column) for column in columns])
    pairs = [placements(positive, column) for column in columns]
    names: ArrayLike = np.arange(positive.size) if clusters is None else clusters
    _, index = np.unique(aligned("clusters", names, positive.size), return_inverse=True)
    units = int(index.max()) + 1
    hits, misses = (
        _sums(np.stack([pair[which] for pair in pairs], axis=1) - values, index[rows], units)
        for which, rows in ((0, positive), (1, ~positive))
    )
    both = hits.T @ misses * _inflation("clusters", units)
    covariance = (
        hits.T @ hits * _inflation("clusters with positives", _count(index[positive]))
        + misses.T @ misses * _inflation("clusters with negatives", _count(index[~positive]))
        + both
        + both.T
    )
    fewest = min(_count(index[positive]), _count(index[~positive]))
    return Aurocs(values=values, covariance=covariance, units=units, freedom=fewest - 1)


def macro_aurocs(labels: ArrayLike, scores: ArrayLike, groups: ArrayLike) -> Aurocs:
    """Return the mean over groups of the AUROC within each, for each column of `scores` [n, k].

    `groups` (shape [n]) names the group of each row; those with a single class have no AUROC and
    are left out. Raises GenoslimError when fewer than two are left.
    """
    tables = group_aurocs(labels, scores, groups)
    tables = tables[~np.isnan(tables).any(axis=1)]
    if len(tables) < 2:
        raise GenoslimError(f"needs at least 2 groups with both classes, found {len(tables)}")
    covariance = np.atleast_2d(np.cov(tables, rowvar=False)) / len(tables)
    return Aurocs(
        values=tables.mean(axis=0),
        covariance=covariance,
        units=len(tables),
        freedom=len(tables) - 1,
    )


def group_aurocs(labels: ArrayLike, scores: ArrayLike, groups: ArrayLike) -> Floats:
    """Return the AUROC within each group of each column of `scores` [n, k]: float[g, k].

    Groups are in the order of their sorted names; one with a single class has NaN.
    """
    positive = binary_labels(labels)
    columns = _columns(scores, positive.size)
    names = aligned("groups", groups, positive.size)
    return np.array([_of_group(positive[rows], columns[:, rows]) for rows in _each(names)])


def _columns(scores: ArrayLike, size: int) -> Floats:
    """Return the columns of `scores` (shape [n, k]) as rows, checked."""
    table = np.asarray(scores)
    if table.ndim != 2:
        raise GenoslimError(f"scores of models must have shape [n, k], found {list(table.shape)}")
    return np.stack([finite_scores(column, size) for column in table.T])


def _each(names: NDArray[Any]) -> Iterator[Bools]:
    """Yield which rows are of each group."""
    for name in np.unique(names):
        yield names == name


def _of_group(positive: Bools, columns: Floats) -> list[float]:
    mixed = positive.any() and not positive.all()
    return [auroc_of(positive, column) if mixed else np.nan for column in columns]


def _sums(values: Floats, index: NDArray[Any], units: int) -> Floats:
    """Return the sums over n of the rows of `values` (shape [n, k]) by their index: [units, k]."""
    columns = [np.bincount(index, column, units) for column in values.T]
    return np.stack(columns, axis=1) / len(values)


def _count(index: NDArray[Any]) -> int:
    return len(np.unique(index))


def _inflation(what: str, units: int) -> float:
    if units < 2:
        raise GenoslimError(f"needs at least 2 {what}, found {units}")
    return units / (units - 1)
