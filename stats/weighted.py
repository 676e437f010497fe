"""Metrics of weighted rows under many sets of weights at once: a bootstrap by counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import GenoslimError
from .checks import Bools, Floats, binary_labels, finite_scores
from .metrics import F1Mean
from .ranks import tie_blocks

_CHUNK = 64


@dataclass(frozen=True)
class WeightedMetrics:
    """Metrics of k models under b sets of weights, float[b, k]; NaN where one class has none."""

    accuracy: Floats
    auroc: Floats
    f1: Floats
    true_positive_rate: Floats


def weighted_metrics(
    labels: ArrayLike,
    probabilities: Floats,
    thresholds: ArrayLike,
    weights: NDArray[Any],
    *,
    f1: F1Mean = "binary",
) -> WeightedMetrics:
    """Return the four metrics of each column of `probabilities` (shape [n, k], of class 1).

    Calls are `probability >= threshold` (`thresholds` has shape [k]); `weights` (shape [b, n]) say
    how often each row counts. With weights of 1 the metrics are those of `compute_metrics`.
    """
    positive = binary_labels(labels)
    if probabilities.shape[0] != positive.size or weights.shape[1] != positive.size:
        raise GenoslimError(
            f"as many probabilities and weights as labels are needed: {positive.size} labels,"
            f" shapes {list(probabilities.shape)} and {list(weights.shape)}"
        )
    calls = probabilities >= np.asarray(thresholds)
    tp, fp = (weights @ (calls & side[:, None]) for side in (positive, ~positive))
    hits, misses = (weights @ side[:, None].astype(np.int64) for side in (positive, ~positive))
    fn, tn = hits - tp, misses - fp
    one_class = (hits == 0) | (misses == 0)
    score = _share(2 * tp, 2 * tp + fp + fn)
    if f1 == "macro":
        score = (score + _share(2 * tn, 2 * tn + fn + fp)) / 2
    found = {
        "accuracy": _share(tp + tn, hits + misses),
        "f1": score,
        "true_positive_rate": _share(tp, hits),
        "auroc": np.stack([_aurocs(positive, p, weights) for p in probabilities.T], axis=1),
    }
    return WeightedMetrics(**{name: np.where(one_class, np.nan, v) for name, v in found.items()})


def _aurocs(positive: Bools, scores: Floats, weights: NDArray[Any]) -> Floats:
    """Return the AUROC of one model under each set of weights, float[b]; 0 for a single class."""
    order, ends = tie_blocks(finite_scores(scores, positive.size))
    starts = np.concatenate([[0], ends[:-1] + 1])
    found = np.empty(len(weights))
    for first in range(0, len(weights), _CHUNK):
        drawn = weights[first : first + _CHUNK, order]
        hits, misses = (
            np.add.reduceat(drawn * side[order], starts, axis=1) for side in (positive, ~positive)
        )
        total = misses.sum(axis=1, keepdims=True)
        below = total - np.cumsum(misses, axis=1) + misses / 2
        won = (hits * below).sum(axis=1)
        found[first : first + _CHUNK] = _share(won, hits.sum(axis=1) * total[:, 0])
    return found


def _share(part: NDArray[Any], whole: NDArray[Any]) -> Floats:
    """Return part / whole, 0 where there is no whole."""
    shares: Floats = np.divide(part, whole, out=np.zeros(np.shape(part)), where=whole != 0)
    return shares
