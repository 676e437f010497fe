from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from genoslim.bench.meter import MOST_CALLS, Meter
from genoslim.bench.process import ModelProcess
from genoslim.bench.subjects import open_subject
from genoslim.bench.worker import serve
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
    made = Meter(str(bundle), "onnxruntime", device="cpu", threads=1, workload=str(workload))
    with closing(made):
        yield made


def test_each_measurement_is_plain_and_complete(meter: Meter, data: LabelledData) -> None:
    assert meter.first() > 0
    assert meter.warm_up(0.0) == 3
    facts = meter.describe()
    assert facts["windows"] == len(set(data.sequences))
    assert facts["tokens_max"] >= facts["tokens_median"] > 0
    single = meter.latency(0.0, 7)
    assert len(single["model"]) == len(single["whole"]) == 7
    assert all(a < b for a, b in zip(single["model"], single["whole"], strict=True))
    assert len(meter.throughput(8, 0.0)) == len(meter.end_to_end(0.0)) == 1
    memory = meter.memory()
    assert memory["peak"] >= memory["loaded"]
    assert memory["cuda_peak"] is None
    json.dumps([facts, single, memory], allow_nan=False)


def test_a_batch_larger_than_the_workload_starts_over(meter: Meter) -> None:
    ids, mask = meter._batch(1000)
    assert ids.shape[0] == mask.shape[0] == 1000


def test_the_runs_of_a_round_are_limited(meter: Meter) -> None:
    assert len(meter.latency(60.0, 1)["model"]) == MOST_CALLS


def test_the_worker_answers_line_by_line(bundle: Path, workload: Path) -> None:
    opening = {
        "path": str(bundle),
        "backend": "onnxruntime",
        "device": "cpu",
        "threads": 1,
        "workload": str(workload),
    }
    requests = [
        {"call": "first", "with": {}},
        {"call": "open", "with": opening},
        {"call": "warm_up", "with": {"seconds": 0}},
        {"call": "__init__", "with": {}},
        {"call": "latency", "with": {"wrong": 1}},
        {"call": "open", "with": opening | {"device": "tpu"}},
    ]
    replies = [json.loads(line) for line in serve(map(json.dumps, requests))]
    assert "no model is open" in replies[0]["error"]
    assert replies[1:3] == [{"value": None}, {"value": 3}]
    assert "'__init__' is unknown" in replies[3]["error"]
    assert replies[4]["error"].startswith("TypeError")
    assert replies[5] == {
        "error": "device is 'tpu'; expected auto, cpu, cuda or tensorrt",
        "exit_code": 2,
    }


def test_a_model_in_its_own_process(
    bundle: Path, workload: Path, data: LabelledData, tmp_path: Path
) -> None:
    subject = open_subject(bundle, "slim")
    (tmp_path / "rows.json").write_text(json.dumps(data.sequences))
    with ModelProcess(subject, workload=workload, device="cpu", threads=1) as process:
        process.open()
        assert process.call("first") > 0
        target = tmp_path / "logits.npy"
        rows = process.call("logits", sequences=str(tmp_path / "rows.json"), target=str(target))
        assert rows == len(data)
        assert np.load(target).shape == (len(data), 2)


def test_what_fails_in_the_process_is_raised_here(bundle: Path, workload: Path) -> None:
    subject = open_subject(bundle, "slim")
    with (
        ModelProcess(subject, workload=workload, device="tpu", threads=1) as process,
        pytest.raises(GenoslimError, match="device is 'tpu'") as error,
    ):
        process.open()
    assert error.value.exit_code == 2
    assert str(bundle) in str(error.value)


def test_a_process_that_dies_is_one_clear_line(bundle: Path, workload: Path) -> None:
    subject = open_subject(bundle, "slim")
    with ModelProcess(subject, workload=workload, device="cpu", threads=1) as process:
        process._process.kill()
        process._process.wait()
        with pytest.raises(GenoslimError, match=r"process died: killed \(out of memory\?\)"):
            process.open()
