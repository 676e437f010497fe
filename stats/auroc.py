"""Intervals of AUROCs and of their differences on rows in which a variant may recur.

Rows of one variant are not independent of one another: there a bootstrap draws variants, and
elsewhere DeLong's interval holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .delong import PairedAuroc, auroc_interval, paired_auroc
from .ranks import auroc_of_ranks, dense_ranks
from .resampling import BootstrapInterval, clustered_bootstrap

Method = Literal["DeLong", "bootstrap by variant"]


@dataclass(frozen=True, kw_only=True)
class AurocBounds:
    """The two-sided interval of an AUROC at `level`, and the method it is from."""

    low: float
    high: float
    level: float
    method: Method


@dataclass(frozen=True, kw_only=True)
class AurocDifference:
    """Two models on the same rows, second less first.

    `interval` is what counts: `delong`, or a bootstrap where variants recur (DeLong is then too
    sure of itself).
    """

    delong: PairedAuroc
    interval: PairedAuroc | BootstrapInterval

    @property
    def difference(self) -> float:
        """AUROC of the second less that of the first, on all rows."""
        return self.delong.difference

    @property
    def p_value(self) -> float:
        """The two-sided p-value of no difference."""
        found = self.interval
        return found.p_value() if isinstance(found, BootstrapInterval) else found.p_value

    @property
    def method(self) -> Method:
        """What `interval` is from."""
        return "bootstrap by variant" if isinstance(self.interval, BootstrapInterval) else "DeLong"


def recurring(keys: ArrayLike) -> bool:
    """Say whether one of the `keys` (shape [n], the variant of each row) has several rows."""
    return len(np.unique(keys)) < np.size(keys)


def auroc_bounds(
    labels: ArrayLike, scores: ArrayLike, *, keys: ArrayLike, level: float = 0.95
) -> AurocBounds:
    """Return the interval of the AUROC of `scores` (shape [n]).

    Raises GenoslimError with fewer than two rows of either class.
    """
    if not recurring(keys):
        found = auroc_interval(labels, scores, level=level)
        return AurocBounds(low=found.low, high=found.high, level=level, method="DeLong")
    drawn = clustered_bootstrap(
        auroc_of_ranks, labels, dense_ranks(scores), clusters=keys, level=level
    )
    return AurocBounds(low=drawn.low, high=drawn.high, level=level, method="bootstrap by variant")


def auroc_difference(
    labels: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    *,
    keys: ArrayLike,
    level: float = 0.95,
) -> AurocDifference:
    """Compare two models' scores (shape [n] each) on the same rows.

    Raises GenoslimError with fewer than two rows of either class.
    """
    delong = paired_auroc(labels, first, second, level=level)
    if not recurring(keys):
        return AurocDifference(delong=delong, interval=delong)
    drawn = clustered_bootstrap(
        _difference,
        labels,
        dense_ranks(first),
        dense_ranks(second),
        clusters=keys,
        level=level,
    )
    return AurocDifference(delong=delong, interval=drawn)


def _difference(
    labels: NDArray[np.bool_], first: NDArray[np.intp], second: NDArray[np.intp]
) -> float:
    return auroc_of_ranks(labels, second) - auroc_of_ranks(labels, first)
