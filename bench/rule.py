"""The rule of a decision: what must hold of a model, fixed before its figures are seen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypedDict, get_args

from ..bundle.sessions import Backend, Device
from ..errors import UsageError
from ..models.precision import PRECISIONS, Precision
from ..prune.subgroups import SUBGROUP_LIMIT
from ..stats.noninferiority import DEFAULT_MARGIN

Correction = Literal["holm", "sequence"]
"""Holm's for so many models; or one after the other, from the slowest to the fastest."""

FloorChoice = Literal["auto", "all", "kmer", "none"]
"""Which floors: `auto` is `all`, without embeddings that would take long; `kmer` is without any."""

MEGA = 1e6


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What a model must fulfil to be deployed in place of the baseline.

    `margin` is the AUROC that it may lose; `alpha` the probability, over all models together, of
    deploying one that loses more. Limits are on the 95th percentile of latency in milliseconds, on
    peak memory in megabytes (10^6 bytes), and on the sensitivity at the model's own threshold.

    A model must be shown better than the best of the `floors`, of which `baseline_column`, a column
    of numbers in the data set, may be one; and must not be shown to lose more AUROC than
    `subgroup_limit` in any subgroup.
    """

    margin: float = DEFAULT_MARGIN
    alpha: float = 0.05
    correction: Correction = "holm"
    max_p95_ms: float | None = None
    max_memory_mb: float | None = None
    min_sensitivity: float | None = None
    floors: FloorChoice = "auto"
    baseline_column: str | None = None
    subgroup_limit: float = SUBGROUP_LIMIT

    def __post_init__(self) -> None:
        within("margin", self.margin, 0, 1)
        within("alpha", self.alpha, 0, 0.5)
        if self.correction not in get_args(Correction):
            known = " or ".join(get_args(Correction))
            raise UsageError(f"correction is {self.correction!r}; expected {known}")
        if self.floors not in get_args(FloorChoice):
            known = ", ".join(get_args(FloorChoice))
            raise UsageError(f"floors is {self.floors!r}; expected one of {known}")
        if self.floors == "none" and self.baseline_column is not None:
            raise UsageError(
                "a baseline column is a floor, and floors are none: choose one of them"
            )
        within("subgroup-limit", self.subgroup_limit, 0, 1)
        if self.max_p95_ms is not None:
            within("max-p95-ms", self.max_p95_ms, 0, math.inf)
        if self.max_memory_mb is not None:
            within("max-memory", self.max_memory_mb, 0, math.inf)
        if self.min_sensitivity is not None:
            within("min-sensitivity", self.min_sensitivity, 0, 1)


class RuleOptions(TypedDict, total=False):
    """The fields of a rule that may be asked for; None is the default."""

    margin: float | None
    correction: Correction | None
    max_p95_ms: float | None
    max_memory_mb: float | None
    min_sensitivity: float | None
    floors: FloorChoice | None
    baseline_column: str | None
    subgroup_limit: float | None


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where models run; `threads` of each, None for as many as the process may use.

    `precision` is that of checkpoints. A bundle has its own; tf32 is for its float32 products too.
    """

    device: Device = "auto"
    backend: Backend = "auto"
    threads: int | None = None
    precision: Precision = "fp32"

    def __post_init__(self) -> None:
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"threads is {self.threads}; expected 1 or more")
        if self.precision not in PRECISIONS:
            known = ", ".join(PRECISIONS)
            raise UsageError(f"precision is {self.precision!r}; expected one of {known}")


def within(name: str, value: float, low: float, high: float) -> None:
    """Raise UsageError unless a value lies between two others."""
    if not low < value < high:
        wanted = f"above {low:g}" + ("" if math.isinf(high) else f" and below {high:g}")
        raise UsageError(f"{name} is {value:g}; expected a number {wanted}")
