"""One cell of the table: a model, a batch size, and everybody's times on the same windows."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

import numpy as np
from _arithmetic import plain_operations, useful_operations
from _common import interleaved
from _contenders import (
    CONTROL,
    EAGER,
    FULL,
    OTHER,
    OURS,
    PEER,
    Call,
    Contender,
    Setting,
    Skipped,
)
from _windows import Workload

from genoslim.bench.latency import PairedRatio, paired_ratio

TOLERANCE, OF_SPAN = 1e-4, 0.01
"""The largest difference of a logit at which a contender counts as exact, and the largest in parts
of what windows differ by: random weights can give all windows nearly the same logits."""

_PAUSE = 0.05
"""Seconds before each timed call: threads of the one before may still wait actively for work."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What was measured; times are seconds for all windows, one a turn, by contender."""

    model: str
    batch: int
    windows: int
    tokens: int
    padding: float
    operations: int
    plain_operations: int
    logit_span: float
    differences: Mapping[str, float]
    roles: Mapping[str, str]
    notes: Mapping[str, str]
    skipped: Mapping[str, str]
    times: Mapping[str, Sequence[float]] = field(default_factory=dict)

    @property
    def tolerance(self) -> float:
        """The largest difference of a logit that was allowed."""
        return min(TOLERANCE, OF_SPAN * self.logit_span)

    @property
    def inexact(self) -> dict[str, float]:
        """Contenders whose logits differ by more than `tolerance`: they were not timed."""
        return {name: off for name, off in self.differences.items() if not off <= self.tolerance}

    def best(self, role: str) -> str | None:
        """Return the contender of a role with the lowest median time, None if there is none."""
        names = [name for name in self.times if self.roles[name] == role]
        return min(names, key=lambda name: median(self.times[name]), default=None)

    def ratio(self, name: str, base: str | None) -> PairedRatio | None:
        """Return how much faster than `base` a contender is, turn by turn."""
        if base is None or base not in self.times:
            return None
        return paired_ratio(self.times[base], self.times[name])

    def speed_up(self) -> PairedRatio | None:
        """Return the ratio of ours to the best peer."""
        ours = self.best(OURS)
        return None if ours is None else self.ratio(ours, self.best(PEER))

    def over_full(self) -> PairedRatio | None:
        """Return the ratio of ours to the full model in eager mode, if that was in the cell."""
        ours = self.best(OURS)
        return None if ours is None else self.ratio(ours, f"{FULL}, {EAGER}")

    def useful_rate(self, name: str) -> float:
        """Return the useful operations a second of a contender."""
        return self.operations / median(self.times[name])


def measure_cell(
    setting: Setting, contenders: Sequence[Contender], workload: Workload, repeats: int
) -> Cell:
    """Check everybody against the model in torch, then time everybody in turns."""
    config = setting.model.config
    calls, skipped = _prepared(contenders, workload)
    roles = {each.name: each.role for each in contenders if each.name in calls}
    reference = _reference(setting, workload)
    cell = Cell(
        model=setting.name,
        batch=workload.batch,
        windows=len(workload.windows),
        tokens=sum(workload.lengths),
        padding=workload.padding,
        operations=useful_operations(config, workload.lengths),
        plain_operations=plain_operations(config, workload.lengths),
        logit_span=float(np.ptp(reference, axis=0).max()),
        differences=_differences(calls, roles, reference),
        roles=roles,
        notes=dict(setting.notes),
        skipped=skipped,
    )
    exact = {name: call for name, call in calls.items() if name not in cell.inexact}
    return replace(cell, times=interleaved(exact, repeats, warm=True, before=_rest))


def _prepared(
    contenders: Sequence[Contender], workload: Workload
) -> tuple[dict[str, Call], dict[str, str]]:
    """Return the calls of those who can run the workload, and why others cannot."""
    calls, skipped = {}, {}
    for each in contenders:
        if _fits(each, workload):
            try:
                calls[each.name] = each.prepare(workload)
            except Skipped as reason:
                skipped[each.name] = str(reason)
    return calls, skipped


def _fits(contender: Contender, workload: Workload) -> bool:
    """Leave out what tells nothing: at batch 1 all batches are the same."""
    return workload.batch > 1 or contender.role not in (CONTROL, OTHER)


def _reference(setting: Setting, workload: Workload) -> np.ndarray:
    """Return logits of the windows one by one, without padding, in torch."""
    import torch

    with torch.inference_mode():
        rows = [torch.from_numpy(row)[None] for row in workload.rows]
        return np.concatenate([setting.model(row, torch.ones_like(row)).numpy() for row in rows])


def _differences(
    calls: Mapping[str, Call], roles: Mapping[str, str], reference: np.ndarray
) -> dict[str, float]:
    """Return the largest difference of a logit to the reference; this warms everybody up too."""
    found = {}
    for name, call in calls.items():
        logits = call()
        if roles[name] != OTHER:
            found[name] = float(np.abs(logits - reference).max())
        _tick()
    return found


def _rest() -> None:
    _tick()
    time.sleep(_PAUSE)


def _tick() -> None:
    print(".", end="", file=sys.stderr, flush=True)
