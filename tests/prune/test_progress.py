from __future__ import annotations

import logging
import os
import pty
import subprocess
import sys
from collections.abc import Callable

import pytest

from genoslim.prune.plan import plan
from genoslim.prune.progress import Monitor, TrialProgress, duration, progress_bar
from genoslim.prune.run_folder import RunFolder
from genoslim.prune.trial import Trial


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def _trial(run: RunFolder, index: int) -> Trial:
    trial = run.trials.read(plan(run)[index])
    assert trial is not None
    return trial


def test_time_left_is_that_of_the_work_left_over_the_slots(finished: RunFolder) -> None:
    clock = _Clock()
    seen: list[TrialProgress] = []
    spec = plan(finished)[0]
    monitor = Monitor(4, 0, 2, seen.append, clock=clock)
    monitor.started(spec)
    assert seen[-1].seconds_left is None
    clock.now = 10.0
    monitor.stepped(spec, 1, 1000)
    assert seen[-1].seconds_left is None  # too early to tell
    clock.now = 20.0
    monitor.stepped(spec, 1, 2)
    assert seen[-1].seconds_left == pytest.approx(20 * 3.5 / 2)
    assert seen[-1].running == ("baseline, seed 0 50%",)
    monitor.left(spec)
    assert seen[-1].running == ()


def test_what_ended_tells_the_pace(finished: RunFolder, caplog: pytest.LogCaptureFixture) -> None:
    trial = _trial(finished, 3)
    seconds = trial.result.fine_tune_seconds + trial.result.evaluation_seconds
    seen: list[TrialProgress] = []
    monitor = Monitor(4, 0, 2, seen.append)
    monitor.started(trial.spec)
    with caplog.at_level(logging.INFO):
        monitor.ended(trial, here=True)
    assert seen[-1] == TrialProgress(1, 4, (), pytest.approx(seconds * 3 / 2))
    auroc = trial.result.validation.auroc
    assert caplog.messages[0].startswith(
        f"1/4 without layer 0, seed 0: validation AUROC {auroc:.4f}, 24 steps, "
    )
    assert caplog.messages[0].endswith(f"; about {duration(seconds * 3 / 2)} left")


def test_what_another_process_did_tells_no_pace_and_a_retry_is_one_more(
    finished: RunFolder, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[TrialProgress] = []
    monitor = Monitor(4, 1, 1, seen.append)
    spec = plan(finished)[3]
    monitor.started(spec)
    with caplog.at_level(logging.INFO):
        monitor.ended(_trial(finished, 3), here=False)
    monitor.retried()
    monitor.started(plan(finished)[4])
    assert seen[-1] == TrialProgress(2, 5, ("without layer 1, seed 0 0%",), None)
    assert caplog.messages == ["2/4 without layer 0, seed 0: done elsewhere"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3.2, "3 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (7800, "2 h 10 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_no_bar_where_there_is_no_terminal() -> None:
    with progress_bar() as progress:
        assert progress is None


_ON_A_TERMINAL = """
import logging, sys
from genoslim.prune.progress import TrialProgress, progress_bar
log = logging.getLogger("genoslim")
log.addHandler(logging.StreamHandler(sys.stderr))
with progress_bar() as progress:
    progress(TrialProgress(1, 4, ("baseline, seed 0 50%",), 90.0))
    log.warning("a line above the bar")
log.warning("a line after it")
"""


def test_a_bar_on_a_terminal_with_log_lines_above_it() -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    done = subprocess.run(
        [sys.executable, "-c", _ON_A_TERMINAL], stderr=theirs, env=environment, check=False
    )
    os.close(theirs)
    text = _all(lambda: os.read(ours, 65536)).decode()
    assert done.returncode == 0, text
    assert "1/4" in text
    assert "1 min 30 s left | baseline, seed 0 50%" in text
    assert text.index("a line above the bar") < text.rindex("1/4") < text.index("a line after it")


def _all(read: Callable[[], bytes]) -> bytes:
    """Read a terminal whose other side is closed to its end."""
    found = b""
    while True:
        try:
            found += read()
        except OSError:
            return found
