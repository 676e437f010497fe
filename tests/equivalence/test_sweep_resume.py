"""A sweep that was killed, or shared by two processes, finds what an undisturbed one finds."""

from __future__ import annotations

import json
import os
import re
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kills import Command, findings, kill_at_random
from processes import children, gone

TINY = runpy.run_path(str(Path(__file__).parents[1] / "fixtures" / "tiny_sweep.py"))
OPTIONS = ("--epochs", "3", "--learning-rate", "0.01", "--batch-size", "8", "--device", "cpu")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """A post-LayerNorm model with dropout and its data, as options of `genoslim sweep`."""
    folder = tmp_path_factory.mktemp("inputs")
    model = TINY["write_model"](folder / "model", "dnabert2", layers=2, hidden=16, dropout=0.1)
    data = TINY["write_data"](folder / "data.parquet", train=160, held_out=32)
    return ("-m", str(model), "-d", str(data))


def _genoslim(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from genoslim.__main__ import main; main()", *arguments]


def _command(run: Path, *options: str) -> list[str]:
    return _genoslim("sweep", "-o", str(run), "--threads", "1", *options)


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def _sweep(run: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _command(run, *options), capture_output=True, text=True, env=_environment(), check=False
    )


def _start(run: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        _command(run, *options), stderr=subprocess.PIPE, text=True, env=_environment()
    )


def _done(run: Path) -> list[Path]:
    return sorted(run.glob("trials/*/result.json"))


def _wait_for(run: Path, count: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while len(_done(run)) < count and process.poll() is None:
        assert time.monotonic() < deadline, "no trial ended within a minute"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def undisturbed(inputs: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was made in one go."""
    run = tmp_path_factory.mktemp("run") / "undisturbed"
    ended = _sweep(run, *inputs, *OPTIONS, "--workers", "1")
    assert ended.returncode == 0, ended.stderr
    return run


@pytest.mark.parametrize(("workers", "kills"), [("1", 3), ("2", 1)])
def test_killed_and_resumed_is_as_never_killed(
    workers: str, kills: int, inputs: tuple[str, ...], undisturbed: Path, tmp_path: Path
) -> None:
    """`tools/simulations/kills.py` kills it twenty times."""
    run = tmp_path / "run"
    arguments = ("sweep", "-o", run, "--threads", "1", *inputs, *OPTIONS, "--workers", workers)
    total = len(_done(undisturbed))
    found = kill_at_random(
        Command(arguments, run), kills=kills, before=0, after=total - 3, pace=0.5, seed=0
    )
    assert len(found) == kills
    assert len(_done(run)) < total
    ended = _sweep(run, "--workers", workers)  # without -m and -d: goes on as it was begun
    assert ended.returncode == 0, ended.stderr
    assert findings(run) == findings(undisturbed)


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_an_interrupt_ends_in_two_lines_and_the_run_goes_on(
    number: signal.Signals,
    code: int,
    word: str,
    workers: str,
    inputs: tuple[str, ...],
    undisturbed: Path,
    tmp_path: Path,
) -> None:
    run = tmp_path / "run"
    process = _start(run, *inputs, *OPTIONS, "--workers", workers)
    _wait_for(run, 1, process)
    started = children(process.pid)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code
    done = sum(not json.loads(path.read_text())["collapsed"] for path in _done(run))
    assert errors.splitlines()[-2:] == [
        f"interrupted with {done} of 7 trials done; the same command goes on from here",
        f"genoslim: {word}",
    ]
    assert "Traceback" not in errors
    assert (workers == "1") == (not started)
    assert gone(*started)
    ended = _sweep(run, "--workers", workers)
    assert ended.returncode == 0, ended.stderr
    assert findings(run) == findings(undisturbed)


def test_an_interrupted_prune_goes_on(inputs: tuple[str, ...], tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "slim"
    assert _sweep(run, *inputs, *OPTIONS, "--workers", "1").returncode == 0
    search = ("--trainings", "4", "--strategy", "first", "--device", "cpu", "--workers", "1")
    arguments = _genoslim("prune", str(run), "-o", str(out), "--threads", "1", *search)
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, env=_environment())
    while process.poll() is None and not _begun(run / "frontier", out):
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 143, errors
    assert re.fullmatch(
        r"interrupted with \d of \d trials done; the same command goes on from here",
        errors.splitlines()[-2],
    )
    assert "Traceback" not in errors
    assert not (out / "prune.json").exists()
    again = subprocess.run(
        arguments, capture_output=True, text=True, env=_environment(), check=False
    )
    assert again.returncode == 0, again.stderr
    assert (out / "prune.json").exists()


def _begun(*folders: Path) -> list[Path]:
    return [spec for folder in folders for spec in folder.glob("trials/*/spec.json")]


def test_two_sweeps_share_a_folder(
    inputs: tuple[str, ...], undisturbed: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    both = [_start(run, *inputs, *OPTIONS, "--workers", "1") for _ in range(2)]
    errors = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    assert findings(run) == findings(undisturbed)
    trained = [line for text in errors for line in text.splitlines() if " steps, " in line]
    assert len(trained) == len(_done(run)), "a trial was run twice"


def test_a_job_array_makes_the_same_run(
    inputs: tuple[str, ...], undisturbed: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    listed = _sweep(run, *inputs, *OPTIONS, "--dry-run")
    first, *_ = listed.stdout.splitlines()
    name, layers, seed, state = first.split("\t")
    assert (layers, seed, state) == ("-", "0", "to do")
    assert not run.exists()
    assert _sweep(run, *inputs, *OPTIONS, "--trial", name).returncode == 0
    assert [path.parent.name for path in _done(run)] == [name]
    assert findings(run)[f"trials/{name}"] == findings(undisturbed)[f"trials/{name}"]
    assert _sweep(run, "--dry-run").stdout.splitlines()[0].endswith("done")


def test_other_data_is_refused_and_the_difference_named(
    inputs: tuple[str, ...], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    name = _sweep(run, *inputs, *OPTIONS, "--dry-run").stdout.split()[0]
    assert _sweep(run, *inputs, *OPTIONS, "--trial", name).returncode == 0
    other = TINY["write_data"](tmp_path / "other.parquet", seed=5)
    ended = _sweep(run, *inputs[:2], "-d", str(other), *OPTIONS)
    assert ended.returncode == 1
    assert "data fingerprint is" in ended.stderr
    ended = _sweep(run, *inputs, *OPTIONS[2:], "--epochs", "9")
    assert ended.returncode == 1
    assert "recipe epochs is 3 there and 9 here" in ended.stderr
