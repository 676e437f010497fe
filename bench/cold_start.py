"""The cold start: from starting a process to its first prediction, in fresh processes.

The files of the model are in the page cache by then: the speed of the disk is not in it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..errors import GenoslimError
from .first_prediction import Asked
from .latency import Range
from .measure import rotation
from .rule import Machine
from .subjects import Subject

STARTS = 5
"""Fresh processes a model."""

_PROGRAM = "from genoslim.bench.first_prediction import main; main()"
_LIMIT = 600.0


@dataclass(frozen=True, kw_only=True)
class StartTimes:
    """Seconds of one start: the interpreter, the imports, loading the model, the first prediction.

    Loading a bundle checks its hashes, as scoring does.
    """

    interpreter: float
    imports: float
    load: float
    first: float

    @property
    def total(self) -> float:
        """From starting the process to the first prediction."""
        return self.interpreter + self.imports + self.load + self.first


@dataclass(frozen=True, kw_only=True)
class ColdStart:
    """Seconds from starting a process to its first prediction, and of each part, over starts."""

    total: Range
    interpreter: Range
    imports: Range
    load: Range
    first: Range

    @classmethod
    def of(cls, starts: Sequence[StartTimes]) -> ColdStart:
        """Sum up some starts."""
        names = ("total", "interpreter", "imports", "load", "first")
        return cls(**{name: Range.of([getattr(one, name) for one in starts]) for name in names})


def measure_cold_starts(
    subjects: Sequence[Subject],
    windows: Sequence[str],
    machine: Machine,
    *,
    starts: int = STARTS,
    progress: Callable[[str], None],
) -> list[ColdStart]:
    """Start each model anew `starts` times, by turns; `windows` has one to predict on for each."""
    taken: list[list[StartTimes]] = [[] for _ in subjects]
    for number in range(starts):
        progress(f"cold start {number + 1} of {starts}")
        for place in rotation(len(subjects), number):
            taken[place].append(_start(subjects[place], windows[place], machine))
    return [ColdStart.of(each) for each in taken]


def _start(subject: Subject, window: str, machine: Machine) -> StartTimes:
    asked = Asked(
        path=str(subject.path),
        engine=subject.backend,
        device=machine.device,
        threads=machine.threads,
        precision=machine.precision,
        window=window,
    )
    command = [sys.executable, "-P", "-c", _PROGRAM, json.dumps(asked)]
    threads = {"OMP_NUM_THREADS": str(machine.threads)} if machine.threads else {}
    started = time.monotonic()
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            env={**os.environ, **threads},
            timeout=_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise GenoslimError(
            f"{subject.path}: its cold start took more than {_LIMIT:g} s and was ended"
        ) from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise GenoslimError(f"{subject.path}: its cold start ended with {done.returncode}: {last}")
    times = [started, *json.loads(done.stdout.splitlines()[-1])]
    return StartTimes(
        **dict(
            zip(
                ("interpreter", "imports", "load", "first"),
                (round(later - earlier, 6) for earlier, later in pairwise(times)),
                strict=True,
            )
        )
    )
