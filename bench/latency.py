"""Times of calls: taken with a warm cache, kept raw, summed up without claiming too much."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist, median
from typing import Any, TypeVar

import numpy as np

from ..errors import GenoslimError

NOISY = 0.10
"""IQR / median above which a warning is given."""

_BEYOND = 10

_Item = TypeVar("_Item")


@dataclass(frozen=True, kw_only=True)
class LatencySummary:
    """Percentiles of n times, in seconds.

    `p99` is None with fewer runs than `runs_needed(0.99)`; `p99_missing` says how many are missing.
    `spread` is IQR / median.
    """

    n: int
    p50: float
    p90: float
    p95: float
    p99: float | None
    p99_missing: int
    spread: float

    @property
    def noisy(self) -> bool:
        """Whether the times vary by more than 10 % (IQR / median)."""
        return self.spread > NOISY


@dataclass(frozen=True, kw_only=True)
class PairedRatio:
    """How much faster than the baseline: median over rounds of baseline time / own time.

    Both times of a round were taken one after the other, so a slow minute of the machine hits both.
    """

    median: float
    low: float
    high: float
    rounds: int


@dataclass(frozen=True, kw_only=True)
class Range:
    """The median of n values, with the least and the greatest of them."""

    median: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Range:
        """Sum up some values."""
        return cls(median=median(values), low=min(values), high=max(values), n=len(values))

    def times(self, factor: float) -> Range:
        """Return it in another unit; `factor` is positive."""
        scaled = (factor * value for value in (self.median, self.low, self.high))
        middle, low, high = scaled
        return Range(median=middle, low=low, high=high, n=self.n)


def runs_needed(share: float) -> int:
    """Return how many runs a percentile needs here: enough that ten are expected beyond it."""
    return math.ceil(round(_BEYOND / (1 - share), 6))


def runs_of_mlperf(share: float, *, confidence: float = 0.99) -> int:
    """Return how many runs MLPerf wants: the percentile to a 20th of its tail at `confidence`.

    z^2 p (1 - p) / margin^2 with margin = (1 - p) / 20 (MLPerf inference rules): 23,886 for p90,
    262,742 for p99.
    """
    margin = (1 - share) / 20
    quantile = NormalDist().inv_cdf((1 + confidence) / 2)
    return math.ceil(quantile**2 * share * (1 - share) / margin**2)


def summarise(seconds: Sequence[float]) -> LatencySummary:
    """Sum up times in seconds; raises GenoslimError without any or with one that is no time."""
    times = np.asarray(seconds, dtype=np.float64)
    if times.size == 0 or not (np.isfinite(times) & (times >= 0)).all():
        raise GenoslimError(f"times must be finite and not negative, found {times.tolist()[:5]}")
    p25, p50, p75, p90, p95, p99 = np.quantile(times, [0.25, 0.5, 0.75, 0.9, 0.95, 0.99]).tolist()
    missing = max(0, runs_needed(0.99) - times.size)
    return LatencySummary(
        n=times.size,
        p50=p50,
        p90=p90,
        p95=p95,
        p99=None if missing else p99,
        p99_missing=missing,
        spread=(p75 - p25) / p50 if p50 > 0 else 0.0,
    )


def paired_ratio(baseline: Sequence[float], own: Sequence[float]) -> PairedRatio:
    """Return the ratio of two lists of times (one a round, same rounds): above 1 is faster."""
    if len(baseline) != len(own) or not own or min(own) <= 0:
        raise GenoslimError(f"rounds do not pair: {len(baseline)} against {len(own)}")
    ratios = np.asarray(baseline, dtype=np.float64) / np.asarray(own, dtype=np.float64)
    return PairedRatio(
        median=float(np.median(ratios)),
        low=float(ratios.min()),
        high=float(ratios.max()),
        rounds=len(own),
    )


def time_call(call: Callable[..., Any], *arguments: Any) -> float:
    """Return the seconds that one call takes."""
    start = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - start


def until(
    seconds: float, items: Iterator[_Item], *, least: int = 1, clock: Callable[[], float]
) -> Iterator[_Item]:
    """Yield items until `seconds` have passed on `clock`, but at least `least` of them."""
    start = clock()
    for number, item in enumerate(items):
        if number >= least and clock() - start >= seconds:
            return
        yield item
