from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from processes import children, gone

from genoslim.prune.plan import plan, setting_of, spec_of
from genoslim.prune.pool import Ended, InlinePool, Pool, ProcessPool
from genoslim.prune.run_folder import RunFolder
from genoslim.prune.runner import Setting
from genoslim.prune.trial import TrialSpec


@pytest.fixture
def setting(finished: RunFolder, tmp_path: Path) -> Setting:
    """The model and data of the shared sweep, with a folder of trials that is empty."""
    return setting_of(finished, trials=tmp_path / "trials")


def _silent(spec: TrialSpec, step: int, total: int) -> None:
    pass


def _processes(*settings: Setting) -> ProcessPool:
    return ProcessPool(settings, _silent)


@contextmanager
def _worker(pool: ProcessPool) -> Iterator[int]:
    """Yield the process of a pool of one; close the pool."""
    with closing(pool):
        (child,) = children(os.getpid())
        yield child


def _next(pool: Pool) -> Ended:
    ended: list[Ended] = []
    while not ended:
        ended = pool.wait()
    (one,) = ended
    return one


def _long(spec: TrialSpec) -> TrialSpec:
    return replace(spec, recipe=replace(spec.recipe, epochs=5000))


def test_an_inline_pool_runs_what_was_submitted_when_it_is_waited_for(
    finished: RunFolder, setting: Setting
) -> None:
    steps: list[tuple[str, int, int]] = []
    pool = InlinePool(setting, lambda spec, step, total: steps.append((spec.name, step, total)))
    assert pool.wait() == []
    spec = plan(finished)[3]
    pool.submit(spec, keep_weights=False)
    assert steps == []
    assert pool.wait() == [Ended(spec, "done")]
    assert pool.wait() == []
    assert steps == [("without layer 0, seed 0", step, 24) for step in range(1, 25)]
    pool.submit(spec, keep_weights=False)
    assert pool.wait() == [Ended(spec, "found")]


@pytest.mark.parametrize("make", [lambda s: InlinePool(s, _silent), _processes])
def test_a_trial_that_fails_leaves_its_slot_to_the_next(
    make: type[Pool], finished: RunFolder, setting: Setting
) -> None:
    pool = make(setting)
    with closing(pool):
        pool.submit(spec_of(finished, (0, 7), 0), keep_weights=False)
        failed = _next(pool)
        assert failed.outcome == "failed"
        assert "7" in failed.cause
        assert "Traceback" not in failed.cause
        pool.submit(plan(finished)[3], keep_weights=False)
        assert _next(pool).outcome == "done"
        assert pool.slots == 1


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"data_fingerprint": "0" * 64}, "the file was changed"),
        ({"model_fingerprint": "0" * 64}, "the model was changed"),
    ],
)
def test_changed_data_or_weights_stop_a_trial(
    finished: RunFolder, setting: Setting, changed: dict[str, str], words: str
) -> None:
    pool = InlinePool(replace(setting, **changed), _silent)  # type: ignore[arg-type]
    pool.submit(plan(finished)[0], keep_weights=False)
    ended = _next(pool)
    assert ended.outcome == "failed"
    assert words in ended.cause


def test_processes_tell_steps_and_what_they_log(
    finished: RunFolder, setting: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    steps: list[tuple[str, int, int]] = []
    pool = ProcessPool([setting], lambda spec, step, total: steps.append((spec.name, step, total)))
    spec = plan(finished)[3]
    damaged = setting.trials / spec.hash
    damaged.mkdir(parents=True)
    (damaged / "result.json").write_text("{}")
    with closing(pool), caplog.at_level(logging.WARNING):
        pool.submit(spec, keep_weights=False)
        assert _next(pool) == Ended(spec, "done")
    assert steps[0] == ("without layer 0, seed 0", 1, 24)
    (line,) = caplog.messages
    assert f"trial {spec.hash}" in line
    assert "is not whole and will run again" in line


@pytest.mark.parametrize("when", ["idle", "busy"])
def test_a_killed_worker_is_named_with_its_signal_and_its_slot_is_gone(
    when: str, finished: RunFolder, setting: Setting
) -> None:
    spec = _long(plan(finished)[3])
    with _worker(pool := _processes(setting)) as child:
        if when == "busy":
            pool.submit(spec, keep_weights=False)
        os.kill(child, signal.SIGKILL)
        if when == "idle":
            pool.submit(spec, keep_weights=False)
        ended = _next(pool)
    assert (ended.spec, ended.outcome) == (spec, "failed")
    assert ended.cause == "its process was ended by SIGKILL (out of memory?)"
    assert pool.slots == 0


def test_closing_ends_idle_and_busy_workers(finished: RunFolder, setting: Setting) -> None:
    pool = _processes(setting, setting)
    started = children(os.getpid())
    assert len(started) == pool.slots == 2
    pool.submit(_long(plan(finished)[3]), keep_weights=False)
    pool.close()
    assert gone(*started)
