from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from sweeps import assert_same_results

from genoslim.errors import GenoslimError, UsageError
from genoslim.models import load
from genoslim.prune import runner as runners
from genoslim.prune.execution import Executor
from genoslim.prune.plan import (
    SweepConfig,
    open_sweep,
    plan,
)
from genoslim.prune.run_folder import RunFolder
from genoslim.prune.sweep import run_one, sweep
from genoslim.prune.trial import TrialResult, TrialSpec

INLINE = Executor(workers=1, threads=1, device="cpu")


def test_a_finished_sweep_runs_nothing(
    finished: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Executor, "pool", lambda *args: pytest.fail("a pool was started"))
    sweep(finished, executor=INLINE)


def test_baseline_weights_are_kept_and_load(finished: RunFolder) -> None:
    for spec in plan(finished):
        kept = finished.trials.checkpoint(spec).exists()
        assert kept == (not spec.dropped)
    assert len(load(finished.trials.checkpoint(plan(finished)[0])).blocks) == 3


def test_what_is_done_is_not_run_again(
    finished: RunFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(finished.folder, tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    lost = plan(run)[4]
    (run.trials.path(lost) / "result.json").unlink()
    with caplog.at_level(logging.INFO):
        sweep(run, executor=INLINE)
    told = [record.getMessage()[:26] for record in caplog.records]
    assert [line for line in told if "/6 " in line] == ["6/6 without layer 1, seed "]
    assert_same_results(finished, run)


def test_one_trial_by_its_hash(config: SweepConfig, tmp_path: Path, finished: RunFolder) -> None:
    run = open_sweep(tmp_path / "run", config)
    spec = plan(run)[3]
    run_one(run, spec.hash, executor=INLINE)
    assert [run.trials.done(other) for other in plan(run)] == [other == spec for other in plan(run)]
    with pytest.raises(UsageError, match="no trial 'abc'"):
        run_one(run, "abc", executor=INLINE)


def test_a_baseline_that_always_collapses_ends_the_sweep_early(
    config: SweepConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = runners.TrialRunner._result
    monkeypatch.setattr(
        runners.TrialRunner,
        "_result",
        lambda self, *args: replace(original(self, *args), collapsed="stuck at ln 2"),
    )
    quick = replace(config, seeds=2, recipe=replace(config.recipe, epochs=1))
    run = open_sweep(tmp_path / "run", quick)
    for _ in range(2):  # at once when asked again
        with pytest.raises(GenoslimError, match=r"baseline collapsed \(stuck at ln 2\)"):
            sweep(run, executor=INLINE)
        assert len(list(run.folder.glob("trials/*/result.json"))) == 3


def test_one_sound_baseline_seed_of_three_is_too_few(
    config: SweepConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = runners.TrialRunner._result

    def result(self: runners.TrialRunner, spec: TrialSpec, *args: object) -> TrialResult:
        lost = "stuck" if spec.seed % 1000 else ""
        return replace(original(self, spec, *args), collapsed=lost)  # type: ignore[arg-type]

    monkeypatch.setattr(runners.TrialRunner, "_result", result)
    run = open_sweep(tmp_path / "run", replace(config, recipe=replace(config.recipe, epochs=1)))
    with pytest.raises(GenoslimError, match=r"^2 of 3 seeds of the baseline collapsed \(stuck\)"):
        sweep(run, executor=INLINE)
    assert len(list(run.folder.glob("trials/*/result.json"))) == 7


def test_a_single_baseline_seed_is_warned_of(
    finished: RunFolder, config: SweepConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = open_sweep(tmp_path / "run", replace(config, seeds=1))
    for spec in plan(run):
        shutil.copytree(finished.trials.path(spec), run.trials.path(spec))
    sweep(run, executor=INLINE)
    assert "every layer will be undecided" in caplog.text
