"""Is a model no worse than another by more than a margin that was fixed beforehand.

H0 is "the difference is -margin or less", tested one-sided by Student's t over the units of the
sample. Where nothing varies (the models rank all rows alike, or both separate them) t knows no
error; what then speaks is that none of n rows told the models apart, which has the probability
(1 - x)^n if a share x of them would (Hanley and Lippman-Hand 1983, JAMA 249:1743, for x = 3 / n).
"""

from __future__ import annotations

import math

import numpy as np

from .checks import Floats, fraction
from .clustered import Aurocs
from .paired_seeds import Design, Differences, paired_differences
from .student import t_quantile

DEFAULT_MARGIN = 0.01
LEAST_OF_A_CLASS = 100
"""Rows (or variants) of either class from which on a decision is made: what validation studies of
classifiers are asked for (Vergouwe et al. 2005, Journal of Clinical Epidemiology 58:475)."""
LEAST_GROUPS = 5
"""Groups from which on a decision is made: with four, not even four losses of none are significant
by their signs (1 / 2^4 > 0.05)."""

_NOTHING = 1e-10
"""A standard error below this is the rounding of one that is 0."""


def differences(aurocs: Aurocs, design: Design | None = None) -> Differences:
    """Compare each model with the first.

    With a `design` the columns are runs of several seeds: each of its groups is compared with its
    first, by the means over their seeds, and what seeds do is part of the error.
    """
    if design is not None:
        return paired_differences(
            design, aurocs.values, aurocs.covariance, units=aurocs.freedom + 1
        )
    others = len(aurocs.values) - 1
    weights = np.hstack([-np.ones((others, 1)), np.eye(others)])
    variance = np.einsum("kn,nm,km->k", weights, aurocs.covariance, weights)
    errors = np.sqrt(np.maximum(variance, 0.0))
    return Differences(
        values=weights @ aurocs.values,
        errors=np.where(errors < _NOTHING, 0.0, errors),
        freedom=np.full(others, float(aurocs.freedom)),
    )


def p_inferior(found: Differences, *, margin: float, rows: int) -> Floats:
    """Return the one-sided p-values of "worse by the margin or more", float[k].

    `rows` are the independent rows of the rarer class, which count where nothing varies.
    """
    fraction("margin", margin)
    return p_not_above(found, -margin, rows=rows)


def p_not_above(found: Differences, bound: float, *, rows: int) -> Floats:
    """Return the one-sided p-values of "the difference is not above `bound`", float[k].

    `rows` as for `p_inferior`: none of them shows a share `room` of rows that would tell apart.
    """
    room = np.clip(found.values - bound, 0.0, 1.0)
    return np.where(found.errors == 0, (1 - room) ** rows, found.p_not_above(bound))


def lower_bounds(found: Differences, *, alpha: float, rows: int) -> Floats:
    """Return the one-sided lower bounds of the differences at 1 - alpha, float[k]."""
    fraction("alpha", alpha)
    reach = found.half_width(level=1 - 2 * alpha)
    return found.values - np.where(found.errors == 0, 1 - alpha ** (1 / rows), reach)


def units_needed(
    error: float, units: int, *, margin: float, alpha: float, power: float = 0.8
) -> int:
    """Return of how many units a model that loses nothing would be shown non-inferior with `power`.

    `error` is the standard error of its difference over `units` of them.
    """
    needed = units
    for _ in range(20):
        reach = t_quantile(1 - alpha, needed - 1) + t_quantile(power, needed - 1)
        needed = max(2, math.ceil(units * (reach * error / margin) ** 2))
    return needed


def rows_needed(*, margin: float, alpha: float) -> int:
    """Return how many rows of the rarer class are needed where none tells the models apart."""
    return math.ceil(math.log(alpha) / math.log(1 - margin))
