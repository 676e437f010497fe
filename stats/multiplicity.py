"""Many tests at once: Holm's correction, alone and of pairs that exclude each other; a sequence."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..errors import GenoslimError
from .checks import Floats


def holm(p_values: ArrayLike) -> Floats:
    """Return p-values (shape [k]) adjusted for k tests, in the order given.

    The i-th smallest (from 0) is multiplied by k - i; then each is at least as large as those
    before it, and at most 1 (Holm 1979, Scandinavian Journal of Statistics 6:65). Controls the
    family-wise error without assuming independence. An empty input gives an empty output.
    """
    values = _checked(p_values)
    order = np.argsort(values, kind="stable")
    adjusted = np.empty_like(values)
    steps = values[order] * (values.size - np.arange(values.size))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return adjusted


def fixed_sequence(p_values: ArrayLike) -> Floats:
    """Return p-values (shape [k]) of tests in an order fixed beforehand, adjusted.

    Each is tested at the full level as long as all before it were rejected, so that it is at least
    as large as those (Maurer, Hothorn and Lehmacher 1995). Controls the family-wise error without
    assuming independence. An empty input gives an empty output.
    """
    return np.maximum.accumulate(_checked(p_values))


def holm_exclusive(first: ArrayLike, second: ArrayLike) -> tuple[Floats, Floats]:
    """Return the p-values (shape [k] each) of k pairs of hypotheses, adjusted as one family of 2 k.

    Of a pair at most one may be true ("no difference" and "worse by the margin or more"). Holm's
    procedure with what Shaffer 1986 (Journal of the American Statistical Association 81:826) adds:
    the multiplier is not how many hypotheses are left, but how many of them can be true together,
    the pairs that have one left. Controls the family-wise error without assuming independence.
    """
    pairs = np.stack([_checked(first), _checked(second)])
    left = np.full(pairs.shape[1], 2)
    adjusted = np.empty_like(pairs)
    highest = 0.0
    for place in np.argsort(pairs, axis=None, kind="stable"):
        side, pair = np.unravel_index(place, pairs.shape)
        highest = max(highest, min(1.0, float(pairs[side, pair]) * int(np.sum(left > 0))))
        adjusted[side, pair] = highest
        left[pair] -= 1
    return adjusted[0], adjusted[1]


def _checked(p_values: ArrayLike) -> Floats:
    values = np.asarray(p_values, dtype=np.float64)
    if values.ndim != 1:
        raise GenoslimError(f"p-values must be one-dimensional, found shape {values.shape}")
    if not ((values >= 0) & (values <= 1)).all():
        raise GenoslimError(f"p-values must lie in [0, 1], found {values.tolist()}")
    return values
