from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from genoslim.bench.meter import MOST_CALLS, Meter
from genoslim.bench.process import ModelProcess
from genoslim.bench.subjects import open_subject
from genoslim.bench.workload import write_workload
from genoslim.data.dataset import LabelledData
from genoslim.errors import GenoslimError


@pytest.fixture(scope="module")
def workload(data: LabelledData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workload")
    write_workload(data.sequences, folder)
    return folder


@pytest.fixture
def meter(bundle: Path, workload: Path) -> Iterator[Meter]:
    made = Meter(open_subject(bundle, "slim"), device="cpu", threads=1, workload=workload)
    with closing(made):
        yield made


def test_each_measurement_is_complete(meter: Meter, data: LabelledData) -> None:
    assert meter.first() > 0
    lengths = set(map(len, meter._runner.tokenizer.encode(data.sequences)))
    assert meter.warm_up(0.0) == len(lengths)
    loaded = meter.describe()
    assert loaded.windows == len(set(data.sequences))
    assert loaded.tokens_max >= loaded.tokens_median > 0
    single = meter.latency(0.0, 7)
    assert len(single.model) == len(single.whole) == 7
    assert all(a < b for a, b in zip(single.model, single.whole, strict=True))
    assert len(meter.throughput(8, 0.0)) == len(meter.end_to_end(0.0)) == 1
    assert meter.memory().peak >= (loaded.resident_after or 0) > 0
    assert meter.cuda_peak() is meter.gpu_memory() is None


def test_on_a_gpu_shapes_are_warm_and_windows_many(
    meter: Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As far as a CPU tells: lengths are multiples of 16, and a shape runs before it is timed."""
    shapes: list[tuple[int, ...]] = []
    run = meter._runner.run
    monkeypatch.setattr(meter._runner, "on_gpu", True)
    monkeypatch.setattr(meter._runner, "_multiple", 16)
    monkeypatch.setattr(meter._runner, "run", lambda *a: shapes.append(a[0].shape) or run(*a))
    monkeypatch.setattr("genoslim.bench.meter._WAKE_SECONDS", 0.01)
    before = meter.describe().windows
    meter.extend()
    assert meter.describe().windows > 10 * before
    meter.warm_up(0.0)
    warm, own = set(shapes), len(shapes)
    meter.latency(0.0, 50)
    assert set(shapes[own:]) <= warm
    assert len(shapes) > own + 50
    for _ in range(2):
        meter.throughput(8, 0.0)
    assert [shape[0] for shape in shapes[-3:]] == [8, 8, 8]
    assert all(tokens % 16 == 0 for _, tokens in shapes)


def test_a_batch_larger_than_the_workload_starts_over(meter: Meter) -> None:
    ids, mask = meter._batch(1000, 60)
    assert ids.shape[0] == mask.shape[0] == 1000


def test_the_runs_of_a_round_are_limited(meter: Meter) -> None:
    assert len(meter.latency(60.0, 1).model) == MOST_CALLS


def test_a_model_in_its_own_process(bundle: Path, workload: Path, data: LabelledData) -> None:
    subject = open_subject(bundle, "slim")
    with ModelProcess(subject, workload=workload, device="cpu", threads=1) as process:
        assert process.call(Meter.first) > 0
        assert process.call(Meter.logits, data.sequences).shape == (len(data), 2)


def test_a_timed_load_reads_no_hash_again(
    bundle: Path, workload: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = open_subject(bundle, "slim")
    monkeypatch.setattr("genoslim.bundle.bundle.sha256", None)
    with closing(Meter(subject, device="cpu", threads=1, workload=workload)) as meter:
        assert meter.describe().load_seconds > 0


def test_what_fails_in_the_process_is_raised_here(bundle: Path, workload: Path) -> None:
    subject = open_subject(bundle, "slim")
    with (
        ModelProcess(subject, workload=workload, device="tpu", threads=1) as process,
        pytest.raises(GenoslimError, match="device is 'tpu'") as error,
    ):
        process.call(Meter.first)
    assert error.value.exit_code == 2
    assert str(bundle) in str(error.value)


def test_a_process_that_dies_is_one_clear_line(bundle: Path, workload: Path) -> None:
    subject = open_subject(bundle, "slim")
    with ModelProcess(subject, workload=workload, device="cpu", threads=1) as process:
        os.kill(process._worker.pid, signal.SIGKILL)
        with pytest.raises(GenoslimError, match=r"slim: its process was ended by SIGKILL \(out of"):
            process.call(Meter.first)
