from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from genoslim.bundle.machine import usable_cores
from genoslim.errors import GenoslimError, UsageError
from genoslim.interrupts import Terminated, sigterm_interrupts
from genoslim.models import load
from genoslim.prune import runner as runners
from genoslim.prune.execution import Executor, run_trials
from genoslim.prune.plan import (
    SweepConfig,
    attempts,
    next_attempt,
    open_sweep,
    plan,
    setting_of,
    spec_of,
)
from genoslim.prune.pool import Ended, InlinePool
from genoslim.prune.progress import TrialProgress
from genoslim.prune.run_folder import RunFolder
from genoslim.prune.sweep import run_one, sweep
from genoslim.prune.trial import TrialResult, TrialSpec

INLINE = Executor(workers=1, threads=1, device="cpu")


def _quiet(status: TrialProgress) -> None:
    pass


def _same_results(first: RunFolder, second: RunFolder) -> None:
    for spec in plan(first):
        one, other = first.trials.read(spec), second.trials.read(spec)
        assert one is not None
        assert other is not None
        np.testing.assert_array_equal(one.predictions.validation, other.predictions.validation)
        np.testing.assert_array_equal(one.predictions.test, other.predictions.test)
        times = {"fine_tune_seconds": 0.0, "evaluation_seconds": 0.0}
        assert replace(one.result, **times) == replace(other.result, **times)  # type: ignore[arg-type]


def test_plan_is_the_baseline_then_one_trial_a_layer(finished: RunFolder) -> None:
    found = [(spec.dropped, spec.seed) for spec in plan(finished)]
    assert found == [((), 0), ((), 1), ((), 2), ((0,), 0), ((1,), 0), ((2,), 0)]


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


def test_two_processes_find_what_one_finds(
    finished: RunFolder, config: SweepConfig, tmp_path: Path
) -> None:
    run = open_sweep(tmp_path / "run", config)
    executor = Executor(workers=2, threads=1, device="cpu")
    seen: list[TrialProgress] = []
    sweep(run, executor=executor, progress=seen.append)
    _same_results(finished, run)
    assert seen[-1].done == seen[-1].total == 6
    assert max(len(status.running) for status in seen) == 2


def test_what_is_done_is_not_run_again(
    finished: RunFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(finished.folder, tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    lost = plan(run)[4]
    (run.trials.path(lost) / "result.json").unlink()
    with caplog.at_level(logging.INFO):
        sweep(run, executor=INLINE)
    assert [record.getMessage()[:26] for record in caplog.records if "AUROC" in record.message] == [
        "6/6 without layer 1, seed "
    ]
    _same_results(finished, run)


def test_a_trial_another_process_runs_is_left_to_it(finished: RunFolder, tmp_path: Path) -> None:
    """Another process holds a claim, then dies without a result: the sweep takes over."""
    shutil.copytree(finished.folder, tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    spec = plan(run)[-1]
    (run.trials.path(spec) / "result.json").unlink()
    with run.trials.claim(spec):
        pool = InlinePool(replace(setting_of(run), threads=1), lambda *args: None)
        pool.submit(spec, keep_weights=False)
        assert pool.wait() == [Ended(spec, "busy")]
        taken = threading.Thread(target=lambda: sweep(run, executor=INLINE))
        taken.start()
        time.sleep(0.5)
        assert run.trials.read(spec) is None
    taken.join(60)
    _same_results(finished, run)


def test_one_trial_by_its_hash(config: SweepConfig, tmp_path: Path, finished: RunFolder) -> None:
    run = open_sweep(tmp_path / "run", config)
    spec = plan(run)[3]
    run_one(run, spec.hash, executor=INLINE)
    assert [run.trials.done(other) for other in plan(run)] == [other == spec for other in plan(run)]
    with pytest.raises(UsageError, match="no trial 'abc'"):
        run_one(run, "abc", executor=INLINE)


def _collapse_seed_below_1000(monkeypatch: pytest.MonkeyPatch, dropped: tuple[int, ...]) -> None:
    original = runners.TrialRunner._result

    def result(self, spec, *args):  # type: ignore[no-untyped-def]
        found = original(self, spec, *args)
        stuck = "stuck" if spec.dropped == dropped and spec.seed < 1000 else ""
        return replace(found, collapsed=stuck)

    monkeypatch.setattr(runners.TrialRunner, "_result", result)


def test_a_collapsed_trial_is_retried_with_another_seed(
    config: SweepConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    _collapse_seed_below_1000(monkeypatch, (1,))
    run = open_sweep(tmp_path / "run", config)
    spec = plan(run)[4]
    with caplog.at_level(logging.INFO):
        run_trials(
            [spec],
            store=run.trials,
            setting=setting_of(run),
            executor=INLINE,
            keeps=lambda spec: False,
        )
    assert [trial.spec.seed for trial in attempts(run.trials, spec)] == [0, 1000]
    assert next_attempt(run.trials, spec, keep_weights=False) is None
    assert "COLLAPSED (stuck)" in caplog.text


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


def test_a_failing_trial_is_named_with_its_cause(config: SweepConfig, tmp_path: Path) -> None:
    run = open_sweep(tmp_path / "run", config)
    spec = spec_of(run, (0, 7), 0)
    with pytest.raises(
        GenoslimError, match=f"{spec.hash} .without layers 0 7, seed 0. failed: .*7.*run the"
    ):
        run_trials(
            [spec],
            store=run.trials,
            setting=setting_of(run),
            executor=INLINE,
            keeps=lambda spec: False,
        )


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)]
)
def test_an_interrupt_logs_one_line_and_goes_on_up(
    workers: int,
    number: signal.Signals,
    raised: type[KeyboardInterrupt],
    config: SweepConfig,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    run = open_sweep(tmp_path / "run", replace(config, recipe=replace(config.recipe, epochs=5000)))

    def interrupt(progress: TrialProgress) -> None:
        if any(not trial.endswith(" 0%") for trial in progress.running):
            os.kill(os.getpid(), number)

    with pytest.raises(KeyboardInterrupt) as caught, sigterm_interrupts():
        sweep(run, executor=replace(INLINE, workers=workers), progress=interrupt)
    assert caught.type is raised
    assert [record.getMessage() for record in caplog.records] == [
        "interrupted with 0 of 6 trials done; the same command goes on from here"
    ]
    assert not multiprocessing.active_children()
    assert not list(run.folder.glob("trials/*/result.json"))
    assert not list(run.folder.rglob(".tmp-*"))


def test_a_split_of_one_class_is_refused(config: SweepConfig, tmp_path: Path) -> None:
    from genoslim.data.dataset import LabelledData

    data = LabelledData.read(config.data)
    keep = (data.splits != "validation") | (data.labels == 1)
    data.subset(keep).write(tmp_path / "one.parquet")
    with pytest.raises(GenoslimError, match="validation split has 32 positive and 0 negative"):
        open_sweep(tmp_path / "run", replace(config, data=tmp_path / "one.parquet"))


def test_workers_and_threads(config: SweepConfig, tmp_path: Path) -> None:
    base = setting_of(open_sweep(tmp_path / "run", config))
    assert len(Executor(device="cpu", workers=3).settings(base, 10)) == 3
    assert len(Executor(device="cpu", workers=3).settings(base, 2)) == 2
    small = Executor(device="cpu").settings(base, 1000)
    assert len(small) == usable_cores()
    assert {setting.threads for setting in small} == {1}


@pytest.mark.slow
def test_ray_finds_what_one_process_finds(
    finished: RunFolder, config: SweepConfig, tmp_path: Path
) -> None:
    pytest.importorskip("ray")
    run = open_sweep(tmp_path / "run", config)
    executor = Executor(kind="ray", workers=2, threads=1, device="cpu")
    sweep(run, executor=executor)
    _same_results(finished, run)
