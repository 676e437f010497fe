"""Where trials run: in this process or in persistent worker processes (Ray: `ray_pool.py`).

A pool has a number of slots; `submit` fills one, `wait` tells which trials ended. What a trial
finds is read from the run folder, so a pool carries only the news that it ended.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import Literal, Protocol, cast

from ..errors import GenoslimError, in_a_line
from ..workers import DeadWorkerError, Note, Worker, tell
from .runner import Outcome, Setting, TrialRunner, TrialStepCallback
from .trial import TrialSpec

_PROGRESS_SECONDS = 0.5


@dataclass(frozen=True)
class Ended:
    """A trial left its slot: `failed` with a cause, or one of the outcomes of a runner."""

    spec: TrialSpec
    outcome: Outcome | Literal["failed"]
    cause: str = ""


class Pool(Protocol):
    """What the sweep asks of an executor."""

    slots: int

    def submit(self, spec: TrialSpec, *, keep_weights: bool) -> None:
        """Start a trial; the caller sees to it that a slot is free."""

    def wait(self) -> list[Ended]:
        """Return the trials that have ended, after at most about a second of waiting."""

    def close(self) -> None:
        """End whatever runs, now."""


class InlinePool:
    """One slot, in this process: a trial runs inside `wait`."""

    slots = 1

    def __init__(self, setting: Setting, progress: TrialStepCallback) -> None:
        self._runner = TrialRunner(setting)
        self._progress = progress
        self._task: tuple[TrialSpec, bool] | None = None

    def submit(self, spec: TrialSpec, *, keep_weights: bool) -> None:
        """Note the trial; it runs at the next `wait`."""
        self._task = spec, keep_weights

    def wait(self) -> list[Ended]:
        """Run the trial that was noted."""
        if self._task is None:
            return []
        (spec, keep_weights), self._task = self._task, None
        try:
            outcome = self._runner.run(spec, keep_weights=keep_weights, progress=self._progress)
        except Exception as error:
            return [Ended(spec, "failed", in_a_line(error))]
        return [Ended(spec, outcome)]

    def close(self) -> None:
        """Do nothing: nothing outlives `wait`."""


class ProcessPool:
    """Persistent processes, each with its own device and threads; the imports are paid once."""

    def __init__(self, settings: Sequence[Setting], progress: TrialStepCallback) -> None:
        self.slots: int = len(settings)
        self._progress = progress
        self._busy: dict[Worker[TrialRunner], TrialSpec] = {}
        with ExitStack() as started:
            makers = [partial(_runner, setting) for setting in settings]
            self._idle = [started.enter_context(Worker(make)) for make in makers]
            self._started = started.pop_all()

    def submit(self, spec: TrialSpec, *, keep_weights: bool) -> None:
        """Send the trial to an idle process."""
        worker = self._idle.pop()
        worker.start(_run, spec, keep_weights=keep_weights)
        self._busy[worker] = spec

    def wait(self) -> list[Ended]:
        """Return the trials that have ended; passes progress and log lines on meanwhile."""
        busy = cast("list[Connection]", list(self._busy))  # anything that has a `fileno` will do
        ready = cast("list[Worker[TrialRunner]]", wait(busy, timeout=1.0))
        return [ended for worker in ready if (ended := self._received(worker)) is not None]

    def _received(self, worker: Worker[TrialRunner]) -> Ended | None:
        """Take in what a busy process says, and return its trial if that has ended."""
        spec = self._busy[worker]
        try:
            found = worker.receive()
        except DeadWorkerError as death:
            self.slots -= 1
            del self._busy[worker]
            return Ended(spec, "failed", str(death))
        except GenoslimError as error:
            self._rest(worker)
            return Ended(spec, "failed", str(error))
        match found:
            case Note(_Steps(made, most)):
                self._progress(spec, made, most)
            case Note(_LogLine(logger, level, text)):
                logging.getLogger(logger).log(level, "%s", text)
            case _:
                self._rest(worker)
                return Ended(spec, cast("Outcome", found))
        return None

    def _rest(self, worker: Worker[TrialRunner]) -> None:
        del self._busy[worker]
        self._idle.append(worker)

    def close(self) -> None:
        """Stop every process, at once where it runs a trial."""
        self._started.close()


@dataclass(frozen=True)
class _Steps:
    """How far a worker's trial is."""

    made: int
    most: int


@dataclass(frozen=True)
class _LogLine:
    """What a worker logged: its parent has the terminal."""

    logger: str
    level: int
    text: str


class _ToParent(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        tell(_LogLine(record.name, record.levelno, record.getMessage()))


_TO_PARENT = _ToParent()


def _runner(setting: Setting) -> TrialRunner:
    """Make a worker's object."""
    logging.getLogger(__name__.partition(".")[0]).addHandler(_TO_PARENT)
    return TrialRunner(setting)


def _run(runner: TrialRunner, spec: TrialSpec, *, keep_weights: bool) -> Outcome:
    """Run a trial in a worker, and tell now and then how many of its steps are made."""
    told = 0.0

    def progress(_spec: TrialSpec, step: int, total: int) -> None:
        nonlocal told
        if (now := time.monotonic()) - told >= _PROGRESS_SECONDS:
            told = now
            tell(_Steps(step, total))

    return runner.run(spec, keep_weights=keep_weights, progress=progress)
