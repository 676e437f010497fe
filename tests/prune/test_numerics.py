"""A run is trained on one kind of device and in one precision, and refuses to mix."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from genoslim.errors import GenoslimError, UsageError
from genoslim.prune.execution import Executor
from genoslim.prune.judging import judge_run
from genoslim.prune.numerics import Numerics, numerics_of, numerics_on, require_same
from genoslim.prune.plan import SweepConfig, open_sweep, plan, setting_of, spec_of
from genoslim.prune.recipe import Recipe
from genoslim.prune.run_folder import RunFolder
from genoslim.prune.runner import TrialRunner
from genoslim.prune.sweep import run_one, sweep
from genoslim.prune.trainings import Trainings
from genoslim.prune.verbs import run_trial
from genoslim.prune.verdicts import Rules

INLINE = Executor(workers=1, threads=1, device="cpu")
CPU, GPU = Numerics("cpu", "fp32"), Numerics("cuda", "bf16")
REFUSED = r"the run's trials are on cuda in bf16, here they would be on cpu in fp32, and figures of"


def _edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _results(run: RunFolder) -> list[Path]:
    return [run.trials.path(spec) / "result.json" for spec in plan(run)]


def _made_on_a_gpu(run: RunFolder) -> None:
    """Let all results say what those of a GPU say."""
    for path in _results(run):
        _edit(path, device="cuda:1", precision="bf16")


@pytest.mark.parametrize(
    ("recipe", "found"),
    [(Recipe(), CPU), (Recipe(precision="bf16"), Numerics("cpu", "bf16"))],
)
def test_what_a_recipe_comes_to_on_a_cpu(
    recipe: Recipe, found: Numerics, caplog: pytest.LogCaptureFixture
) -> None:
    assert numerics_on(torch.device("cpu"), recipe) == found
    assert INLINE.numerics(recipe) == found
    assert caplog.messages == []  # whoever trains in it is told then


def test_a_precision_that_a_device_has_not_is_refused() -> None:
    with pytest.raises(UsageError, match="precision fp16 needs a CUDA device, this one is cpu"):
        INLINE.numerics(Recipe(precision="fp16"))


def test_auto_on_a_cluster_is_not_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    remote = Executor(kind="ray", device="cuda")
    with pytest.raises(UsageError, match=r"precision auto: no GPU here .* give --precision"):
        remote.numerics(Recipe())
    assert remote.numerics(Recipe(precision="bf16")) == GPU
    assert remote.numerics(Recipe(precision="tf32")) == Numerics("cuda", "tf32")
    assert remote.numerics(Recipe(), GPU) == GPU  # a begun run goes on from a node without a GPU
    assert remote.numerics(Recipe(), CPU) != CPU


@pytest.mark.parametrize(
    ("here", "advice"),
    [
        (CPU, r"go on with --device cuda, or in another folder \(-o\)"),
        (Numerics("cuda", "fp16"), r"go on with a GPU that has bf16, or in another folder \(-o\)"),
    ],
)
def test_advice_that_a_begun_run_can_follow(here: Numerics, advice: str) -> None:
    with pytest.raises(GenoslimError, match=advice):
        require_same(GPU, here)


def test_a_run_notes_what_it_is_trained_on(config: SweepConfig, tmp_path: Path) -> None:
    run = open_sweep(tmp_path / "run", config, numerics=GPU)
    spec = plan(run)[3]
    with pytest.raises(GenoslimError, match=REFUSED):
        run_trial(config, run.folder, spec.hash, executor=INLINE)
    assert not run.trials.done(spec)
    one = tmp_path / "one"
    run_trial(config, one, spec.hash, executor=INLINE)
    assert json.loads((one / "run.json").read_text())["numerics"] == {
        "device": "cpu",
        "precision": "fp32",
    }
    assert RunFolder(one).trials.done(spec)


def test_what_an_older_run_was_trained_on_is_told_by_its_trials(
    finished: RunFolder, own_run: RunFolder
) -> None:
    assert finished.record.numerics is None
    assert finished.numerics() == CPU
    _made_on_a_gpu(own_run)
    assert own_run.numerics() == GPU
    assert setting_of(own_run).numerics == GPU


def test_a_run_goes_on_where_it_began_or_not_at_all(own_run: RunFolder) -> None:
    _made_on_a_gpu(own_run)
    missing = plan(own_run)[-1]
    (own_run.trials.path(missing) / "result.json").unlink()
    with pytest.raises(GenoslimError, match=REFUSED):
        sweep(own_run, executor=INLINE)
    with pytest.raises(GenoslimError, match=REFUSED):
        run_one(own_run, missing.hash, executor=INLINE)
    assert not own_run.trials.done(missing)


def test_a_finished_run_is_read_anywhere(own_run: RunFolder) -> None:
    _made_on_a_gpu(own_run)
    sweep(own_run, executor=INLINE)
    assert len(judge_run(own_run, Rules()).verdicts) == 3


def test_a_mix_is_refused(own_run: RunFolder) -> None:
    _edit(_results(own_run)[4], device="cuda:0", precision="fp16")
    words = r"trained on .* in .*, trial [0-9a-f]{16} on .* in .*, and figures of the two cannot be"
    with pytest.raises(GenoslimError, match=words):
        sweep(own_run, executor=INLINE)
    with pytest.raises(GenoslimError, match=words):
        judge_run(own_run, Rules())


def test_a_worker_checks_for_itself(finished: RunFolder, tmp_path: Path) -> None:
    setting = setting_of(finished, trials=tmp_path / "trials")
    spec = plan(finished)[3]
    with pytest.raises(GenoslimError, match=REFUSED):
        TrialRunner(replace(setting, numerics=GPU)).run(spec, keep_weights=False)
    runner = TrialRunner(setting)
    assert runner.run(spec, keep_weights=False) == "done"
    trial = runner.store.read(spec)
    assert trial is not None
    assert numerics_of(trial.result) == CPU


def test_a_search_does_not_go_on_from_trials_of_another_kind(own_run: RunFolder) -> None:
    searches = Trainings(own_run, own_run.folder / "search", INLINE)
    spec = plan(own_run)[-1]
    shutil.copytree(own_run.trials.path(spec), searches.store.path(spec))
    _edit(searches.store.path(spec) / "result.json", device="cuda:0", precision="bf16")
    with pytest.raises(GenoslimError, match="figures of the two cannot be compared"):
        searches.settle([spec_of(own_run, (0, 1), 0)])
