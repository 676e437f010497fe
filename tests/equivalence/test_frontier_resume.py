"""A search that is killed at any moment and begun again finds what an undisturbed one finds."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path
from typing import Any

import pytest
from kills import Command, findings, kill_at_random

TINY = runpy.run_path(str(Path(__file__).parents[1] / "fixtures" / "tiny_sweep.py"))
SWEEP = ("--epochs", "2", "--learning-rate", "0.01", "--batch-size", "8")
SEARCH = (
    *("--trainings", "10", "--margin", "0.2", "--strategy", "supernet"),
    *("--strategy", "greedy", "--strategy", "random"),
)
HERE = ("--device", "cpu", "--threads", "1", "--workers", "1")
KILLS = 4
"""`tools/simulations/kills.py` has twenty."""


def _search(folder: Path) -> Command:
    return Command(("prune", folder / "run", "-o", folder / "slim", *SEARCH, *HERE), folder)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the finished sweep of a model with dropout."""
    folder = tmp_path_factory.mktemp("swept")
    model = TINY["write_model"](folder / "model", "dnabert2", layers=4, hidden=16, dropout=0.1)
    data = TINY["write_data"](folder / "data.parquet", train=160, held_out=64)
    Command(("sweep", "-m", model, "-d", data, "-o", folder / "run", *SWEEP, *HERE), folder).run()
    return folder


@pytest.fixture(scope="module")
def undisturbed(swept: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The folder of one command in one go, and the seconds it took for each file it wrote."""
    folder = tmp_path_factory.mktemp("undisturbed")
    shutil.copytree(swept / "run", folder / "run")
    command = _search(folder)
    before = command.written()
    seconds = command.run()
    return folder, seconds / (command.written() - before)


def test_killed_and_resumed_is_as_never_killed(
    swept: Path, undisturbed: tuple[Path, float], tmp_path: Path
) -> None:
    whole, pace = undisturbed
    shutil.copytree(swept / "run", tmp_path / "run")
    command = _search(tmp_path)
    before, after = command.written(), _search(whole).written()
    found = kill_at_random(command, kills=KILLS, before=before, after=after, pace=pace, seed=0)
    assert len(found) == KILLS
    assert not (tmp_path / "slim" / "prune.json").exists()
    command.run()
    assert findings(tmp_path) == findings(whole)


def test_damaged_trials_are_trained_again(undisturbed: tuple[Path, float], tmp_path: Path) -> None:
    whole, _ = undisturbed
    shutil.copytree(whole / "run", tmp_path / "copy" / "run")
    trials = sorted((tmp_path / "copy/run/frontier/trials").iterdir())
    _cut(trials[0] / "predictions.npz")
    (trials[1] / "result.json").write_text("{")
    (probe, *_) = sorted((tmp_path / "copy/run/frontier/probes").iterdir())
    probe.write_text("{")
    _search(tmp_path / "copy").run()
    assert findings(tmp_path / "copy") == findings(whole)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def test_weights_that_were_damaged_are_made_again(
    undisturbed: tuple[Path, Any], tmp_path: Path
) -> None:
    """Those of the baseline are the sweep's to make, and the message says so."""
    whole, _ = undisturbed
    shutil.copytree(whole / "run", tmp_path / "copy" / "run")
    run = tmp_path / "copy" / "run"
    for weights in run.glob("trials/*/checkpoint/model.safetensors"):
        _cut(weights)
    command = _search(tmp_path / "copy")
    ended = command.end()
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "model.safetensors" in ended.stderr
    assert f"`genoslim sweep -o {run}` makes those of the baseline again" in ended.stderr
    Command(("sweep", "-o", run, *HERE), run).run()
    command.run()
    assert findings(tmp_path / "copy") == findings(whole)
