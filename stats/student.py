"""Student's t: its mass and its quantiles; infinite degrees of freedom are the normal distribution.

scipy is imported at the first call.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .checks import Floats


def t_below(values: ArrayLike, freedom: ArrayLike) -> Floats:
    """Return the mass of Student's t below `values`; both broadcast."""
    from scipy.special import stdtr

    return np.asarray(stdtr(freedom, values), dtype=np.float64)


def t_quantile(share: float, freedom: ArrayLike) -> Floats:
    """Return the values below which that `share` of the mass lies, one for each `freedom`."""
    from scipy.special import stdtrit

    return np.asarray(stdtrit(freedom, share), dtype=np.float64)
