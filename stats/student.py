"""Student's t: its mass and its quantiles; infinite degrees of freedom are the normal distribution.

scipy is imported at the first call.
"""

from __future__ import annotations

import numpy as np

from .checks import Floats


def t_below(value: float, freedom: float) -> float:
    """Return the mass below `value`."""
    return float(each_t_below(np.float64(value), np.float64(freedom)))


def t_quantile(share: float, freedom: float) -> float:
    """Return the value below which that `share` of the mass lies."""
    return float(each_t_quantile(share, np.float64(freedom)))


def each_t_below(values: Floats | np.float64, freedom: Floats | np.float64) -> Floats:
    """Return the mass below each of `values`, each with its degrees of freedom; both broadcast."""
    from scipy.special import stdtr

    return np.asarray(stdtr(freedom, values), dtype=np.float64)


def each_t_quantile(share: float, freedom: Floats | np.float64) -> Floats:
    """Return the value below which that `share` of the mass lies, for each `freedom`."""
    from scipy.special import stdtrit

    return np.asarray(stdtrit(freedom, share), dtype=np.float64)
