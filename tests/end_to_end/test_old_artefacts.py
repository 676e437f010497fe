"""Run folders, checkpoints, bundles and data that an earlier version wrote still open."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from genoslim import models
from genoslim.bench.subjects import open_subject
from genoslim.bundle.bundle import Bundle
from genoslim.bundle.runtime import Runtime
from genoslim.cli import main
from genoslim.data.dataset import read_data
from genoslim.files import sha256
from genoslim.models.record import read_training
from genoslim.prune.judging import judge_run
from genoslim.prune.plan import attempts, next_attempt, plan
from genoslim.prune.run_folder import RunFolder
from genoslim.prune.verdicts import Rules

OLD = Path(__file__).parents[1] / "fixtures" / "old"
DATA = "6daf6eaf9df1e6e046ac07a8355d2792e3eea6dc641089264342f39d6960a7ae"
HASHES = {
    ((), 0): "21a01bf05f339a3a",
    ((), 1): "40161ba5d901821c",
    ((), 1001): "85ea06c1daad183b",
    ((), 2001): "87c3b9dab343000f",
    ((0,), 0): "afa7eeffb4e6ff15",
    ((1,), 0): "734c564628d87d73",
}
TRIAL = f"run/trials/{HASHES[(), 0]}/checkpoint"
CHECKPOINTS = (TRIAL, "pruned/baseline", "pruned/unfavourable_removed")
BUNDLES = ("bundle-1.0", "bundle-1.1")


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to work in, from where the paths that the artefacts name lead to files."""
    shutil.copytree(OLD, tmp_path / "old", symlinks=True)
    monkeypatch.chdir(tmp_path / "old")
    return tmp_path / "old"


def test_the_plan_of_a_run_has_the_hashes_it_had() -> None:
    run = RunFolder(OLD / "run")
    tries = [trial for spec in plan(run) for trial in attempts(run.trials, spec)]
    assert {(t.spec.dropped, t.spec.seed): t.spec.hash for t in tries} == HASHES
    assert all(next_attempt(run.trials, spec, keep_weights=False) is None for spec in plan(run))


def test_a_run_is_judged() -> None:
    judgement = judge_run(RunFolder(OLD / "run"), Rules())
    assert judgement.layers("unfavourable") == (1,)
    assert "accuracy, f1 do both, which tells nothing" in judgement.verdicts[0].evidence.reason
    assert judgement.baseline["auroc"].values == (1.0, 1.0)


def test_a_finished_run_goes_on_without_a_trial(old: Path) -> None:
    before = {path: sha256(path) for path in (old / "run" / "trials").rglob("*.*")}
    result = CliRunner().invoke(main, ["sweep", "-o", "run", "--device", "cpu"])
    assert result.exit_code == 0, result.output
    assert "unfavourable" in result.stdout
    assert {path: sha256(path) for path in (old / "run" / "trials").rglob("*.*")} == before


def test_a_run_is_bound_to_its_model_and_data(old: Path) -> None:
    again = ["sweep", "-m", "model", "-d", "data.parquet", "-o", "run", "--dry-run"]
    recipe = ["--epochs", "4", "--learning-rate", "0.02", "--batch-size", "16", "--seeds", "2"]
    result = CliRunner().invoke(main, [*again, *recipe])
    assert result.exit_code == 0, result.output
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert [row[0] for row in rows] == [
        HASHES[key] for key in (((), 0), ((), 2001), ((0,), 0), ((1,), 0))
    ]
    assert {row[3] for row in rows} == {"done"}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_checkpoint_loads_and_says_how_it_was_made(name: str) -> None:
    assert models.load(OLD / name).config.kept_layers[0] == 0
    assert read_training(OLD / name) is not None
    assert open_subject(OLD / name, "old").licences[0] == "Apache-2.0"


def test_a_pruned_checkpoint_names_its_data() -> None:
    subject = open_subject(OLD / "pruned" / "unfavourable_removed", "old")
    assert (subject.trained_on, subject.window_length, subject.assembly) == (DATA, 48, "none")
    assert (subject.layers, subject.base_layers) == (1, 2)


@pytest.mark.parametrize("name", BUNDLES)
def test_a_bundle_opens_and_scores(name: str) -> None:
    bundle = Bundle.open(OLD / name)
    assert bundle.manifest.format_version == name.removeprefix("bundle-")
    (probability,) = Runtime(bundle, threads=1).probabilities(["ACGTGA" * 8])
    assert 0 <= probability <= 1


def test_data_reads_and_keeps_its_fingerprint() -> None:
    assert read_data(OLD / "data.parquet").fingerprint == DATA


@pytest.mark.parametrize("name", ["run", "pruned", *CHECKPOINTS, *BUNDLES])
def test_show_tells_what_it_is(name: str) -> None:
    result = CliRunner().invoke(main, ["show", str(OLD / name)])
    assert result.exit_code == 0, result.output
    words = {"run": "sweep of dnabert2", "pruned": "slim models of the run run"}
    kind = "bundle, format 1." if name in BUNDLES else "checkpoint of dnabert2"
    assert words.get(name, kind) in result.stdout
