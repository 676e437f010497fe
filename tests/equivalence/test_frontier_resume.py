"""A search that is killed at any moment and begun again finds what an undisturbed one finds."""

from __future__ import annotations

import json
import os
import random
import runpy
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

TINY = runpy.run_path(str(Path(__file__).parents[1] / "fixtures" / "tiny_sweep.py"))
MAIN = [sys.executable, "-c", "from genoslim.__main__ import main; main()"]
SWEEP = ("--epochs", "2", "--learning-rate", "0.01", "--batch-size", "8")
SEARCH = (
    *("--trainings", "10", "--margin", "0.2", "--strategy", "supernet"),
    *("--strategy", "greedy", "--strategy", "random"),
)
HERE = ("--device", "cpu", "--threads", "1", "--workers", "1")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
TIMES = ("fine_tune_seconds", "milliseconds", "seconds", "probe_seconds", "run")
KILLS = 6


def _run(*arguments: object) -> None:
    command = [*MAIN, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert done.returncode == 0, done.stderr


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _timeless(item) for name, item in value.items() if name not in TIMES}
    return [_timeless(item) for item in value] if isinstance(value, list) else value


def _findings(folder: Path) -> tuple[Any, dict[str, list[float]]]:
    """The frontier without its times, and what every trial of the search predicted."""
    frontier = _timeless(json.loads((folder / "slim" / "frontier.json").read_text()))
    predicted = {}
    for path in sorted(folder.glob("run/frontier/trials/*/predictions.npz")):
        with np.load(path) as arrays:
            predicted[path.parent.name] = arrays["test_logits"].ravel().tolist()
    return frontier, predicted


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the finished sweep of a model with dropout."""
    folder = tmp_path_factory.mktemp("swept")
    model = TINY["write_model"](folder / "model", "dnabert2", layers=4, hidden=16, dropout=0.1)
    data = TINY["write_data"](folder / "data.parquet", train=160, held_out=64)
    _run("sweep", "-m", model, "-d", data, "-o", folder / "run", *SWEEP, *HERE)
    return folder


@pytest.fixture(scope="module")
def undisturbed(swept: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """What one command finds in one go, and how many seconds it took."""
    folder = tmp_path_factory.mktemp("undisturbed")
    shutil.copytree(swept / "run", folder / "run")
    _run("prune", folder / "run", "-o", folder / "slim", *SEARCH, *HERE)
    return folder, _findings(folder)


def test_killed_and_resumed_is_as_never_killed(
    swept: Path, undisturbed: tuple[Path, Any], tmp_path: Path
) -> None:
    """Each kill comes a random while after a trial or a score of a probe was written."""
    shutil.copytree(swept / "run", tmp_path / "run")
    command = ["prune", tmp_path / "run", "-o", tmp_path / "slim", *SEARCH, *HERE]
    moments = random.Random(0)
    for kill in range(KILLS):
        process = subprocess.Popen([*MAIN, *map(str, command)], env=ENVIRONMENT, stderr=-3)
        deadline = time.monotonic() + 120
        while process.poll() is None and len(_written(tmp_path)) <= 2 * kill:
            assert time.monotonic() < deadline, "nothing was written within two minutes"
            time.sleep(0.01)
        time.sleep(0.3 * moments.random())
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (tmp_path / "slim" / "prune.json").exists()
    _run(*command)
    assert _findings(tmp_path) == undisturbed[1]


def _written(folder: Path) -> list[Path]:
    return [
        *folder.glob("run/frontier/trials/*/result.json"),
        *folder.glob("slim/trials/*/result.json"),
        *folder.glob("run/frontier/probes/*.json"),
    ]


def test_a_damaged_trial_is_trained_again(undisturbed: tuple[Path, Any], tmp_path: Path) -> None:
    folder, expected = undisturbed
    shutil.copytree(folder / "run", tmp_path / "copy" / "run")
    trials = sorted(tmp_path.glob("copy/run/frontier/trials/*/predictions.npz"))
    trials[0].write_bytes(trials[0].read_bytes()[:-100])
    (probe, *_) = sorted(tmp_path.glob("copy/run/frontier/probes/*.json"))
    probe.write_text("{")
    _run("prune", tmp_path / "copy/run", "-o", tmp_path / "copy/slim", *SEARCH, *HERE)
    assert _findings(tmp_path / "copy") == expected
