from __future__ import annotations

import logging
import os
import shutil
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from processes import children
from sweeps import assert_same_results

from genoslim.bundle.machine import usable_cores
from genoslim.errors import GenoslimError
from genoslim.interrupts import Terminated, sigterm_interrupts
from genoslim.prune import execution
from genoslim.prune import runner as runners
from genoslim.prune.execution import Executor, run_trials
from genoslim.prune.numerics import Numerics
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
from genoslim.prune.sweep import sweep

INLINE = Executor(workers=1, threads=1, device="cpu")


def test_two_processes_find_what_one_finds(
    finished: RunFolder, config: SweepConfig, tmp_path: Path
) -> None:
    run = open_sweep(tmp_path / "run", config)
    executor = Executor(workers=2, threads=1, device="cpu")
    seen: list[TrialProgress] = []
    sweep(run, executor=executor, progress=seen.append)
    assert_same_results(finished, run)
    assert seen[-1].done == seen[-1].total == 6
    assert max(len(status.running) for status in seen) == 2


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
    assert_same_results(finished, run)


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
    before = children(os.getpid())  # a browser that other tests share, say

    def interrupt(progress: TrialProgress) -> None:
        if any(not trial.endswith(" 0%") for trial in progress.running):
            caplog.clear()  # what was said before the first trial
            os.kill(os.getpid(), number)

    with pytest.raises(KeyboardInterrupt) as caught, sigterm_interrupts():
        sweep(run, executor=replace(INLINE, workers=workers), progress=interrupt)
    assert caught.type is raised
    assert [record.getMessage() for record in caplog.records] == [
        "interrupted with 0 of 6 trials done; the same command goes on from here"
    ]
    assert children(os.getpid()) == before
    assert not list(run.folder.glob("trials/*/result.json"))
    assert not list(run.folder.rglob(".tmp-*"))


def test_workers_and_threads(config: SweepConfig, tmp_path: Path) -> None:
    base = setting_of(open_sweep(tmp_path / "run", config))
    assert len(Executor(device="cpu", workers=3).settings(base, 10, config.recipe)) == 3
    assert len(Executor(device="cpu", workers=3).settings(base, 2, config.recipe)) == 2
    small = Executor(device="cpu").settings(base, 1000, config.recipe)
    assert len(small) == usable_cores()
    assert {setting.threads for setting in small} == {1}


@pytest.mark.parametrize(
    ("small", "cores", "workers"), [(True, 16, 8), (True, 5, 5), (True, 1, 2), (False, 16, 2)]
)
def test_trials_of_a_small_model_share_a_gpu(
    small: bool,
    cores: int,
    workers: int,
    config: SweepConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = setting_of(open_sweep(tmp_path / "run", config))
    cards = ["cuda:0", "cuda:1"]
    monkeypatch.setattr(execution, "resolve_devices", lambda device: cards)
    monkeypatch.setattr(execution, "usable_cores", lambda: cores)
    monkeypatch.setattr(execution, "_is_small", lambda model: small)
    monkeypatch.setattr(execution, "numerics_on", lambda device, recipe: Numerics("cuda", "bf16"))
    found = Executor().settings(base, 100, config.recipe)
    assert [setting.device for setting in found] == [cards[n % 2] for n in range(workers)]
    assert {setting.threads for setting in found} == {max(1, cores // workers)}
    assert len(Executor(workers=1).settings(base, 100, config.recipe)) == 1


def test_unlike_gpus_do_not_train_one_run(
    config: SweepConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    base = setting_of(open_sweep(tmp_path / "run", config))
    cards = {"cuda:0": (8, 0), "cuda:1": (7, 5), "cuda:2": (9, 0)}
    monkeypatch.setattr(execution, "resolve_devices", lambda device: list(cards))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: cards[str(device)])
    for precision, used in (("auto", "bf16"), ("tf32", "tf32")):
        caplog.clear()
        recipe = replace(config.recipe, precision=precision)
        found = Executor(workers=4).settings(base, 4, recipe)
        assert [setting.device for setting in found] == ["cuda:0", "cuda:2"] * 2
        assert caplog.messages == [f"cuda:1 left out: not in {used}, as cuda:0"]
