"""Where trials run: in this process, in persistent worker processes, or on a Ray cluster.

A pool has a number of slots; `submit` fills one, `wait` tells which trials ended. What a trial
finds is read from the run folder, so a pool carries only the news that it ended.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Literal, Protocol, cast

from ..errors import GenoslimError, needs_extra
from .runner import Outcome, Setting, TrialRunner, TrialStepCallback
from .trial import TrialSpec

_PROGRESS_SECONDS = 0.5
_EXIT_SECONDS = 5.0


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
            return [Ended(spec, "failed", _describe(error))]
        return [Ended(spec, outcome)]

    def close(self) -> None:
        """Do nothing: nothing outlives `wait`."""


class ProcessPool:
    """Persistent processes, each with its own device and threads; the imports are paid once."""

    def __init__(self, settings: Sequence[Setting], progress: TrialStepCallback) -> None:
        self.slots = len(settings)
        self._progress = progress
        context = multiprocessing.get_context("spawn")
        self._idle: list[_Worker] = []
        self._busy: dict[Connection, tuple[_Worker, TrialSpec]] = {}
        with _ignoring_interrupts():
            for setting in settings:
                ours, theirs = context.Pipe()
                process = context.Process(target=_serve, args=(setting, theirs), daemon=True)
                process.start()
                theirs.close()
                self._idle.append(_Worker(process, ours))

    def submit(self, spec: TrialSpec, *, keep_weights: bool) -> None:
        """Send the trial to an idle process."""
        worker = self._idle.pop()
        self._busy[worker.pipe] = worker, spec
        with suppress(OSError):  # the process has died meanwhile: `wait` tells
            worker.pipe.send((spec, keep_weights))

    def wait(self) -> list[Ended]:
        """Return the trials that have ended; passes progress on meanwhile."""
        ended: list[Ended] = []
        for pipe in cast("list[Connection]", wait(list(self._busy), timeout=1.0)):
            worker, spec = self._busy[pipe]
            try:
                message = pipe.recv()
            except (EOFError, OSError):
                del self._busy[pipe]
                self.slots -= 1
                ended.append(Ended(spec, "failed", _cause_of_death(worker.process)))
                continue
            if isinstance(message, Ended):
                del self._busy[pipe]
                self._idle.append(worker)
                ended.append(message)
            else:
                self._progress(spec, *message)
        return ended

    def close(self) -> None:
        """Stop every process: idle ones leave by themselves, running ones are terminated."""
        workers = [*self._idle, *(worker for worker, _ in self._busy.values())]
        for worker in workers:
            worker.process.terminate()
        for worker in workers:
            worker.process.join(_EXIT_SECONDS)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.pipe.close()
            worker.process.close()


@dataclass(frozen=True)
class _Worker:
    process: BaseProcess
    pipe: Connection


@contextmanager
def _ignoring_interrupts() -> Iterator[None]:
    """Start processes that ignore Ctrl-C from their first moment: the parent decides for them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _serve(setting: Setting, pipe: Connection) -> None:
    """Run the trials that come through the pipe, until it closes: the body of a process."""
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    last = 0.0

    def progress(spec: TrialSpec, step: int, total: int) -> None:
        nonlocal last
        if (now := time.monotonic()) - last >= _PROGRESS_SECONDS:
            last = now
            pipe.send((step, total))

    runner: TrialRunner | None = None
    while True:
        try:
            spec, keep_weights = pipe.recv()
        except EOFError:
            return
        try:
            runner = runner or TrialRunner(setting)
            ended = Ended(spec, runner.run(spec, keep_weights=keep_weights, progress=progress))
        except Exception as error:
            ended = Ended(spec, "failed", _describe(error))
        pipe.send(ended)


def _leave_with_parent() -> None:
    """End this process when its parent does, even by SIGKILL: no orphan goes on training."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _cause_of_death(process: BaseProcess) -> str:
    process.join(_EXIT_SECONDS)
    code = process.exitcode
    if code is not None and code < 0:
        hint = " (out of memory?)" if -code == signal.SIGKILL else ""
        return f"its process was ended by {signal.Signals(-code).name}{hint}"
    return f"its process ended with exit code {code}"


def _describe(error: Exception) -> str:
    return str(error) if isinstance(error, GenoslimError) else f"{type(error).__name__}: {error}"


class RayPool:
    """Actors on a Ray cluster that sees the run folder and the data under the same paths."""

    def __init__(self, settings: Sequence[Setting]) -> None:
        try:
            self._ray: Any = importlib.import_module("ray")
        except ImportError:
            raise needs_extra("the executor `ray`", "ray", "ray") from None
        self.slots = len(settings)
        self._ours = not self._ray.is_initialized()
        if self._ours:
            self._ray.init(log_to_driver=False, include_dashboard=False)
        self._idle = [self._actor(setting) for setting in settings]
        self._busy: dict[Any, tuple[Any, TrialSpec]] = {}

    def _actor(self, setting: Setting) -> Any:
        cuda = setting.device.startswith("cuda")
        placed = replace(setting, device="cuda:0") if cuda else setting  # Ray hides other GPUs
        remote = self._ray.remote(num_cpus=setting.threads, num_gpus=int(cuda))(RayWorker)
        return remote.remote(placed)

    def submit(self, spec: TrialSpec, *, keep_weights: bool) -> None:
        """Send the trial to an idle actor."""
        actor = self._idle.pop()
        self._busy[actor.run.remote(spec, keep_weights)] = actor, spec

    def wait(self) -> list[Ended]:
        """Return the trials that have ended; steps within a trial are not reported."""
        if not self._busy:
            return []
        ready, _ = self._ray.wait(list(self._busy), timeout=1.0)
        ended: list[Ended] = []
        for reference in ready:
            actor, spec = self._busy.pop(reference)
            try:
                ended.append(self._ray.get(reference))
                self._idle.append(actor)
            except self._ray.exceptions.RayError as error:
                self.slots -= 1
                ended.append(Ended(spec, "failed", _describe(error)))
        return ended

    def close(self) -> None:
        """End the actors, and Ray with them where we started it."""
        for actor in [*self._idle, *(actor for actor, _ in self._busy.values())]:
            self._ray.kill(actor)
        if self._ours:
            self._ray.shutdown()


class RayWorker:
    """A trial runner on a cluster's node."""

    def __init__(self, setting: Setting) -> None:
        self._runner = TrialRunner(setting)

    def run(self, spec: TrialSpec, keep_weights: bool) -> Ended:
        """Run one trial; what goes wrong is told, not raised."""
        try:
            outcome: Outcome = self._runner.run(spec, keep_weights=keep_weights)
        except Exception as error:
            return Ended(spec, "failed", _describe(error))
        return Ended(spec, outcome)
