"""Checks of labels and scores shared by every statistic: one clear line for what is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import GenoslimError, UsageError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def binary_labels(labels: ArrayLike, *, each_class: int = 0) -> Bools:
    """Return `labels` (0 or 1, shape [n]) as booleans, at least `each_class` of either class."""
    values = _vector("labels", labels)
    wrong = ~np.isin(values, (0, 1))
    if wrong.any():
        raise GenoslimError(
            f"labels must be 0 or 1, found {values[wrong][0]} at index {int(np.argmax(wrong))}"
        )
    positive = values.astype(np.bool_)
    positives = int(positive.sum())
    negatives = positive.size - positives
    if min(positives, negatives) < each_class:
        raise GenoslimError(
            f"needs at least {each_class} of each class,"
            f" found {positives} positive and {negatives} negative labels"
        )
    return positive


def finite_scores(scores: ArrayLike, size: int, *, name: str = "scores") -> Floats:
    """Return `scores` (shape [size]) as float64, all finite."""
    values = _vector(name, scores)
    if values.size != size:
        raise GenoslimError(f"as many {name} as labels are needed: {values.size} against {size}")
    if not np.issubdtype(values.dtype, np.number) and values.dtype != np.bool_:
        raise GenoslimError(f"{name} must be numbers, found {values.dtype}")
    floats = values.astype(np.float64)
    wrong = ~np.isfinite(floats)
    if wrong.any():
        raise GenoslimError(
            f"{name} must be finite, found {floats[wrong][0]} at index {int(np.argmax(wrong))}"
            f" ({int(wrong.sum())} of {floats.size})"
        )
    return floats


def probabilities_of(values: ArrayLike, size: int) -> Floats:
    """Return `values` (shape [size]) as float64, all within [0, 1]."""
    probabilities = finite_scores(values, size, name="probabilities")
    wrong = (probabilities < 0) | (probabilities > 1)
    if wrong.any():
        raise GenoslimError(
            f"probabilities must lie in [0, 1], found {probabilities[wrong][0]}"
            f" at index {int(np.argmax(wrong))}"
        )
    return probabilities


def aligned(name: str, values: ArrayLike, size: int) -> NDArray[Any]:
    """Return `values` as a vector of `size` entries of any type."""
    vector = _vector(name, values)
    if vector.size != size:
        raise GenoslimError(f"as many {name} as labels are needed: {vector.size} against {size}")
    return vector


def fraction(name: str, value: float) -> float:
    """Return `value` if it lies strictly between 0 and 1."""
    if not 0 < value < 1:
        raise UsageError(f"{name} must lie between 0 and 1, found {value}")
    return float(value)


def count(name: str, value: int, *, least: int = 1) -> int:
    """Return `value` if it is at least `least`."""
    if value < least:
        raise UsageError(f"{name} must be at least {least}, found {value}")
    return int(value)


def _vector(name: str, values: ArrayLike) -> NDArray[Any]:
    vector = np.asarray(values)
    if vector.ndim != 1:
        raise GenoslimError(f"{name} must be one-dimensional, found shape {vector.shape}")
    if vector.size == 0:
        raise GenoslimError(f"{name} are empty")
    return vector
