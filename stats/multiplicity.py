"""Many tests at once: Holm's step-down correction."""

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
    values = np.asarray(p_values, dtype=np.float64)
    if values.ndim != 1:
        raise GenoslimError(f"p-values must be one-dimensional, found shape {values.shape}")
    if not ((values >= 0) & (values <= 1)).all():
        raise GenoslimError(f"p-values must lie in [0, 1], found {values.tolist()}")
    order = np.argsort(values, kind="stable")
    adjusted = np.empty_like(values)
    steps = values[order] * (values.size - np.arange(values.size))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return adjusted
