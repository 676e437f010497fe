"""Is the slim model no worse than the full one by more than a margin fixed beforehand."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

from .checks import fraction
from .delong import PairedAuroc
from .resampling import BootstrapInterval

DEFAULT_MARGIN = 0.01


@dataclass(frozen=True, kw_only=True)
class NonInferiority:
    """The test of H0 "second - first <= -margin": `passed` when the lower bound is above it."""

    margin: float
    level: float
    lower_bound: float
    passed: bool


def noninferiority(
    paired: PairedAuroc | BootstrapInterval, *, margin: float = DEFAULT_MARGIN, level: float = 0.95
) -> NonInferiority:
    """Test whether the second model is non-inferior to the first at `margin`.

    The one-sided lower bound at `level` is difference - z SE for DeLong's comparison, and the
    (1 - level) quantile of the draws for a bootstrap of the difference (second minus first). Fix
    the margin before looking at any result.
    """
    fraction("margin", margin)
    fraction("level", level)
    if isinstance(paired, BootstrapInterval):
        bound = paired.quantile(1 - level)
    else:
        bound = paired.difference - NormalDist().inv_cdf(level) * paired.standard_error
    return NonInferiority(margin=margin, level=level, lower_bound=bound, passed=bound > -margin)
