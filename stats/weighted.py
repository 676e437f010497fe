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


@dataclass(frozen=True)
class WeightedCounts:
    """True and false calls under b sets of weights, float[b] each, and what follows from them.

    A rate is NaN where nothing is there to take it of.
    """

    tp: Floats
    fp: Floats
    tn: Floats
    fn: Floats

    @classmethod
    def of(cls, positive: Bools, called: Bools, weights: NDArray[Any]) -> WeightedCounts:
        """Count the calls (shape [n]) under `weights` (shape [b, n])."""
        kinds = (called & positive, called & ~positive, ~called & ~positive, ~called & positive)
        return cls(*((weights @ kind.astype(np.intp)).astype(np.float64) for kind in kinds))

    @property
    def accuracy(self) -> Floats:
        """The share of right calls."""
        return _rate(self.tp + self.tn, self.tp + self.fp + self.tn + self.fn)

    @property
    def f1(self) -> Floats:
        """F1 of the positive class; 0 where it is neither there nor called."""
        return _share(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def sensitivity(self) -> Floats:
        """The share of positives that are called positive."""
        return _rate(self.tp, self.tp + self.fn)

    @property
    def specificity(self) -> Floats:
        """The share of negatives that are called negative."""
        return _rate(self.tn, self.tn + self.fp)

    @property
    def mcc(self) -> Floats:
        """Matthews' correlation of calls and labels (1975); 0 where either are all of one kind."""
        sides = (self.tp + self.fp, self.tp + self.fn, self.tn + self.fp, self.tn + self.fn)
        scale = np.sqrt(np.prod(sides, axis=0))
        return _share(self.tp * self.tn - self.fp * self.fn, scale)

    def predictive_values(self, prevalence: float) -> tuple[Floats, Floats]:
        """Return PPV and NPV at a prevalence by Bayes' rule."""
        hit, false = self.sensitivity * prevalence, (1 - self.specificity) * (1 - prevalence)
        right = self.specificity * (1 - prevalence)
        missed = (1 - self.sensitivity) * prevalence
        return _rate(hit, hit + false), _rate(right, right + missed)


def weighted_average_precision(
    labels: ArrayLike, scores: ArrayLike, weights: NDArray[Any]
) -> Floats:
    """Return the area under the precision-recall curve under each set of weights, float[b].

    Average precision, the sum of precision times the step in recall, no interpolation; NaN where
    no positive has weight. `labels` and `scores` have shape [n], `weights` [b, n].
    """
    positive = binary_labels(labels)
    order, ends = tie_blocks(finite_scores(scores, positive.size))
    found = np.empty(len(weights))
    for first in range(0, len(weights), _CHUNK):
        drawn = weights[first : first + _CHUNK, order]
        hits = np.cumsum(drawn * positive[order], axis=1)[:, ends].astype(np.float64)
        precision = _share(hits, np.cumsum(drawn, axis=1)[:, ends])
        steps = np.diff(hits, axis=1, prepend=0)
        found[first : first + _CHUNK] = _rate((precision * steps).sum(axis=1), hits[:, -1])
    return found


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


def _rate(part: NDArray[Any], whole: NDArray[Any]) -> Floats:
    """Return part / whole, NaN where there is no whole."""
    rates: Floats = np.divide(
        part, whole, out=np.full(np.shape(part), np.nan), where=np.asarray(whole) != 0
    )
    return rates
