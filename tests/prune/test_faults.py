"""A full disk, damage, another process, data that went: one clear error, and the same call goes on.

The same by the command line, killed at any moment: `tests/equivalence`.
"""

from __future__ import annotations

import logging
import resource
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sweeps import assert_same_results

from genoslim.errors import GenoslimError
from genoslim.files import held
from genoslim.prune.execution import Executor
from genoslim.prune.plan import plan, requested_sweep
from genoslim.prune.run_folder import RunFolder
from genoslim.prune.search import SearchOptions
from genoslim.prune.slim_model import Pruned
from genoslim.prune.verbs import SweepResult, prune_layers, run_sweep

INLINE = Executor(workers=1, threads=1, device="cpu")


def _sweep(run: RunFolder, *, data: Path | None = None) -> SweepResult:
    about = run.record
    return run_sweep(
        about.model,
        data or about.data,
        output=run.folder,
        recipe=about.identity.recipe,
        executor=INLINE,
    )


def _prune(run: RunFolder, out: Path, *, data: Path | None = None) -> Pruned:
    search = SearchOptions(trainings=0)
    return prune_layers(run.folder, output=out, search=search, executor=INLINE, data=data)


@pytest.fixture
def unfinished(own_run: RunFolder) -> RunFolder:
    """A sweep of which a trial with weights and one without are to do."""
    for spec in (plan(own_run)[0], plan(own_run)[-1]):
        shutil.rmtree(own_run.trials.path(spec))
    return own_run


@contextmanager
def _full_disk(room: int) -> Iterator[None]:
    """Let no file grow beyond some bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("room", "what"), [(100, "spec.json"), (20_000, "checkpoint"), (3_000, "genoslim.json")]
)
def test_a_full_disk_is_told_and_the_sweep_goes_on(
    room: int, what: str, unfinished: RunFolder, finished: RunFolder
) -> None:
    spec = plan(unfinished)[0]
    place = unfinished.trials.path(spec) / ("checkpoint" if room > 100 else what)
    with _full_disk(room), pytest.raises(GenoslimError) as told:
        _sweep(unfinished)
    assert str(told.value) == (
        f"trial {spec.hash} ({spec.name}) failed: {place}: cannot be written: File too large;"
        " nothing of it is left: make room there. What is done stays done: run the command again"
    )
    assert not list(unfinished.folder.rglob(".tmp-*"))
    assert len(_sweep(unfinished).judgement.verdicts) == 3
    assert_same_results(unfinished, finished)


def test_data_that_is_gone_or_changed_is_told_and_may_be_elsewhere(
    unfinished: RunFolder, finished: RunFolder, tmp_path: Path
) -> None:
    data = Path(unfinished.record.data)
    elsewhere = tmp_path / "elsewhere.parquet"
    shutil.copy(data, elsewhere)
    record = unfinished.folder / "run.json"
    record.write_text(record.read_text().replace(data.name, "gone.parquet"))
    nothing = dict.fromkeys(("model", "data", "seed", "seeds", "layer_seeds", "adaptive"))
    with pytest.raises(GenoslimError, match=r"gone\.parquet: the run's data set is not there: put"):
        requested_sweep(unfinished.folder, recipe={}, **nothing)  # type: ignore[arg-type]
    _sweep(unfinished, data=elsewhere)
    assert_same_results(unfinished, finished)


def test_prune_tells_of_its_data_before_it_trains(
    finished: RunFolder, own_run: RunFolder, tmp_path: Path
) -> None:
    record, data = own_run.folder / "run.json", Path(own_run.record.data)
    record.write_text(record.read_text().replace(data.name, "gone.parquet"))
    moved, out = RunFolder(own_run.folder), tmp_path / "slim"
    with pytest.raises(GenoslimError, match=r"^/.*gone\.parquet: the run's data set is not there"):
        _prune(moved, out)
    other = tmp_path / "other.parquet"
    other.write_bytes(data.read_bytes()[:-1000])
    with pytest.raises(GenoslimError, match=r"^/.*other\.parquet: not a whole Parquet file"):
        _prune(moved, out, data=other)
    assert not list(out.glob("trials/*"))
    assert _prune(moved, out, data=data).models[0].name == "baseline"


def test_the_same_prune_twice_at_once_is_done_once(
    own_run: RunFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The second waits until the first has ended, and finds its models."""
    out = tmp_path / "slim"
    first = _prune(own_run, out)
    found: list[Pruned] = []
    second = threading.Thread(target=lambda: found.append(_prune(own_run, out)))
    with held(out) as mine, caplog.at_level(logging.INFO):
        assert mine
        second.start()
        _wait_for_a_waiting_one(caplog)
        assert not found
    second.join(60)
    assert found[0].models == first.models


def test_two_sweeps_of_other_things_cannot_share_a_folder_that_both_make(
    own_run: RunFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The second comes when the first has looked for a run and found none."""
    folder = tmp_path / "both"
    folder.mkdir()
    rows, record = own_run.rows(), own_run.record
    other = replace(record, identity=replace(record.identity, seed=7))
    errors: list[GenoslimError] = []

    def second() -> None:
        try:
            RunFolder.create(folder, other, rows)
        except GenoslimError as error:
            errors.append(error)

    late = threading.Thread(target=second)
    with held(folder), caplog.at_level(logging.INFO):
        late.start()
        _wait_for_a_waiting_one(caplog)
        shutil.copy(own_run.folder / "rows.npz", folder)
        shutil.copy(own_run.folder / "run.json", folder)
    late.join(30)
    assert RunFolder(folder).record == record
    assert "seed is 0 there and 7 here" in str(errors[0])


def _wait_for_a_waiting_one(caplog: pytest.LogCaptureFixture) -> None:
    """Return when another thread has said that it waits for a folder."""
    until = time.monotonic() + 30
    while not any("another genoslim works here; waiting" in m for m in caplog.messages):
        assert time.monotonic() < until
        time.sleep(0.02)
