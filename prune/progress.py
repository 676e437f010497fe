"""How far a set of trials has come, and when it will be done."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from .trial import Trial, TrialSpec

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrialProgress:
    """A moment of a sweep: trials done of all, what runs now, seconds left (None: unknown yet)."""

    done: int
    total: int
    running: tuple[str, ...]
    seconds_left: float | None


_TELLING_SHARE = 0.05
"""The share of its steps a first trial must have made before it tells a pace."""

_BAR_COLUMNS = 46
"""What the bar, the counts and the clock take of a terminal's width."""

ProgressCallback = Callable[[TrialProgress], None]
"""Called in the process that runs the trials, at every change."""


class Monitor:
    """Follows trials as they start, step and end; logs each end and reports every change.

    The time left is that of the work left, running trials by their share of steps, at the mean
    pace of the trials that ended here (before the first: of those that run), over the slots. It
    counts training and evaluation, not the start of a worker.
    """

    def __init__(
        self,
        total: int,
        done: int,
        slots: int,
        callback: ProgressCallback | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total: int = total
        self.done: int = done
        self.slots: int = slots
        self._callback = callback
        self._clock = clock
        self._running: dict[str, tuple[TrialSpec, float, float]] = {}
        self._paces: list[float] = []

    def started(self, spec: TrialSpec) -> None:
        """Note that a trial runs."""
        self._running[spec.hash] = spec, self._clock(), 0.0
        self._tell()

    def stepped(self, spec: TrialSpec, step: int, total: int) -> None:
        """Note how far a running trial is."""
        _, since, share = self._running[spec.hash]
        since = since if share else self._clock()  # what came before the first step is not pace
        self._running[spec.hash] = spec, since, step / total
        self._tell()

    def left(self, spec: TrialSpec) -> None:
        """Note that a trial runs no more, without a result."""
        del self._running[spec.hash]
        self._tell()

    def retried(self) -> None:
        """Note that one more trial is to be run."""
        self.total += 1

    def ended(self, trial: Trial, *, here: bool) -> None:
        """Note a result, made here or by another process that shares the folder."""
        del self._running[trial.spec.hash]
        self.done += 1
        if not here:
            _log.info("%d/%d %s: done elsewhere", self.done, self.total, trial.spec.name)
            self._tell()
            return
        result = trial.result
        self._paces.append(result.fine_tune_seconds + result.evaluation_seconds)
        self._tell()
        left = self.seconds_left()
        _log.info(
            "%d/%d %s: validation AUROC %.4f, %d steps, %.1f s%s%s",
            self.done,
            self.total,
            trial.spec.name,
            result.validation.auroc,
            result.steps,
            result.fine_tune_seconds,
            f", COLLAPSED ({result.collapsed})" if result.collapsed else "",
            f"; about {duration(left)} left" if left else "",
        )

    def seconds_left(self) -> float | None:
        """Return the estimate, or None while there is nothing to base it on."""
        shares = [share for _, _, share in self._running.values()]
        work = self.total - self.done - sum(shares)
        paces = self._paces or [
            (self._clock() - since) / share
            for _, since, share in self._running.values()
            if share >= _TELLING_SHARE
        ]
        if not paces:
            return None
        lanes = max(1, min(self.slots, self.total - self.done))
        return sum(paces) / len(paces) * work / lanes

    def _tell(self) -> None:
        if self._callback is None:
            return
        running = tuple(f"{spec.name} {share:.0%}" for spec, _, share in self._running.values())
        self._callback(TrialProgress(self.done, self.total, running, self.seconds_left()))


def duration(seconds: float) -> str:
    """Return a time to a person: `42 s`, `3 min 05 s`, `2 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


@contextmanager
def progress_bar() -> Iterator[ProgressCallback | None]:
    """Yield what draws a progress bar on stderr if that is a terminal, else None.

    While the bar is there, log lines go above it.
    """
    console = Console(stderr=True)
    if not sys.stderr.isatty():
        yield None
        return
    columns = (
        TextColumn("trials"),
        BarColumn(bar_width=16),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    ours = logging.getLogger(__name__.partition(".")[0])
    handlers = ours.handlers[:]
    ours.handlers = [
        RichHandler(console=console, show_time=False, show_level=False, show_path=False)
    ]
    try:
        with Progress(*columns, console=console, transient=True) as bars:
            bar = bars.add_task("", total=None)

            def draw(now: TrialProgress) -> None:
                left = "" if now.seconds_left is None else duration(now.seconds_left)
                text = " | ".join([f"{left} left" if left else "", *now.running]).strip(" |")
                text = text[: max(20, console.width - _BAR_COLUMNS)]
                bars.update(bar, completed=now.done, total=now.total, description=text)

            yield draw
    finally:
        ours.handlers = handlers
