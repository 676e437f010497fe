"""Student's t: its mass and its quantiles; infinite degrees of freedom are the normal distribution.

scipy is imported at the first call.
"""

from __future__ import annotations


def t_below(value: float, freedom: float) -> float:
    """Return the mass below `value`."""
    from scipy.special import stdtr

    return float(stdtr(freedom, value))


def t_quantile(share: float, freedom: float) -> float:
    """Return the value below which that `share` of the mass lies."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, share))
