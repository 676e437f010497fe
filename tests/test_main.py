"""The program as a process: signals at any moment, and readers that go away, end it in one line."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = [sys.executable, "-m", "genoslim"]
LAST_WORDS = {
    signal.SIGINT: (130, "genoslim: interrupted\n"),
    signal.SIGTERM: (143, "genoslim: terminated\n"),
}


def _signalled(arguments: list[str], number: signal.Signals, after: float) -> tuple[int, str]:
    """Return exit code and stderr of a call that gets a signal `after` some seconds."""
    with subprocess.Popen(
        [*PROGRAM, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        _wait_until_it_heeds(process)
        time.sleep(after)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    return process.returncode, errors


def _wait_until_it_heeds(process: subprocess.Popen[str]) -> None:
    """Wait until a process has a handler of SIGTERM; until then it is Python that starts."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        status = Path(f"/proc/{process.pid}/status").read_text()
        caught = int(status.partition("SigCgt:")[2].split()[0], 16)
        if caught >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.001)
    pytest.fail("it never heeded signals")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("number", LAST_WORDS, ids=lambda number: number.name)
@pytest.mark.parametrize("turn", range(6))
def test_a_signal_while_it_starts_is_one_line(
    number: signal.Signals, turn: int, tmp_path: Path
) -> None:
    after = random.Random(turn).uniform(0, 0.05 if turn < 3 else 2)
    arguments = ["data", "simulate", "-o", str(tmp_path / "made"), "--variants", "100000"]
    assert _signalled(arguments, number, after) == LAST_WORDS[number], f"after {after:.3f} s"
    assert list(tmp_path.iterdir()) == []


def test_an_ignored_signal_stays_ignored(tmp_path: Path) -> None:
    script = 'trap "" INT; "$@" & for i in 1 2 3 4; do sleep 0.1; kill -INT $!; done; wait $!'
    arguments = ["data", "simulate", "-o", str(tmp_path / "made"), "--variants", "3000"]
    call = subprocess.run(
        ["sh", "-c", script, "sh", *PROGRAM, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (call.returncode, call.stderr) == (0, "")
    assert (tmp_path / "made" / "dataset.parquet").is_file()


@pytest.mark.parametrize("arguments", [["--help"], ["data", "simulate", "-o", "made"]])
def test_a_reader_that_goes_away_is_no_news(arguments: list[str], tmp_path: Path) -> None:
    with subprocess.Popen(
        [*PROGRAM, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
        assert process.wait(timeout=60) == 1
