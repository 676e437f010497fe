"""Mid-ranks, and the area under the ROC curve from them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .checks import Bools, Floats, binary_labels, finite_scores


def midranks(values: Floats) -> Floats:
    """Return the rank of each value, from 1, where equal values share the mean of their ranks."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Floats = (last - (counts - 1) / 2)[group]
    return ranks


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Return the chance that a positive scores above a negative, a tie counting one half.

    `labels` and `scores` have shape [n]. From the rank sum W of the m positives among n negatives:
    (W - m (m + 1) / 2) / (m n) (Hanley and McNeil 1982). Raises GenoslimError for a single class.
    """
    positive = binary_labels(labels, each_class=1)
    return auroc_of(positive, finite_scores(scores, positive.size))


def auroc_of(positive: Bools, scores: Floats) -> float:
    """Return the AUROC of arrays that are checked already."""
    m = int(positive.sum())
    rank_sum = float(midranks(scores)[positive].sum())
    return (rank_sum - m * (m + 1) / 2) / (m * (positive.size - m))


def dense_ranks(scores: ArrayLike) -> NDArray[np.intp]:
    """Return for each score the number of distinct lower ones: 0, 1, 2 and so on."""
    ranks: NDArray[np.intp] = np.unique(np.asarray(scores), return_inverse=True)[1]
    return ranks


def auroc_of_ranks(labels: ArrayLike, ranks: NDArray[np.intp]) -> float:
    """Return `auroc` of rows drawn from a whole whose `dense_ranks` are known; sorts nothing.

    For a bootstrap: rank once, then count positives and negatives at each rank in every draw.
    Raises GenoslimError for a single class.
    """
    positive = binary_labels(labels, each_class=1)
    size = int(ranks.max()) + 1
    hits = np.bincount(ranks[positive], minlength=size)
    misses = np.bincount(ranks[~positive], minlength=size)
    below = np.cumsum(misses) - misses / 2
    return float(hits @ below) / (int(hits.sum()) * int(misses.sum()))


def tie_blocks(scores: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the order of falling scores, and where in that order each run of equal scores ends."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.diff(scores[order], append=-np.inf))
    return order, ends
