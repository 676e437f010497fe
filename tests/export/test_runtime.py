from __future__ import annotations

import os
import subprocess
import sys
import types

import numpy as np
import pytest

from genoslim.errors import GenoslimError, UsageError
from genoslim.export.bundle import Bundle
from genoslim.export.runtime import Runtime, available_threads, to_probabilities


@pytest.fixture
def runtime(bundle_folder) -> Runtime:
    return Runtime(Bundle.open(bundle_folder), device="cpu", threads=1)


def spy(runtime: Runtime) -> list[tuple[int, int]]:
    """Record the shape of every batch that runs."""
    shapes: list[tuple[int, int]] = []
    run = runtime.run

    def recording(input_ids, attention_mask):
        shapes.append(input_ids.shape)
        return run(input_ids, attention_mask)

    runtime.run = recording
    return shapes


def test_logits_come_in_input_order(runtime, sequences):
    together = runtime.logits(sequences)
    alone = np.concatenate([runtime.logits([sequence]) for sequence in sequences])
    assert together.shape == (len(sequences), 2)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("options", [{"batch_size": 1}, {"batch_size": 64}, {"batch_tokens": 1}])
def test_batching_changes_nothing(runtime, sequences, options):
    expected = runtime.logits(sequences)
    np.testing.assert_allclose(runtime.logits(sequences, **options), expected, atol=1e-5)


def test_equal_sequences_are_computed_once(runtime, sequences):
    shapes = spy(runtime)
    runtime.logits(sequences)
    assert sum(rows for rows, _ in shapes) == len(set(sequences)) < len(sequences)


def test_batches_keep_the_budget_and_near_equal_lengths(runtime, sequences):
    shapes = spy(runtime)
    runtime.logits(sequences, batch_tokens=200, batch_size=7)
    assert all(rows * tokens <= 200 and rows <= 7 for rows, tokens in shapes)
    tokens = sum(len(row) for row in runtime.tokenizer.encode(list(set(sequences))))
    assert sum(rows * length for rows, length in shapes) < 1.15 * tokens


def test_a_row_beyond_the_budget_runs_alone(runtime, dna):
    shapes = spy(runtime)
    runtime.logits([dna(60, 0), dna(60, 1)], batch_tokens=10)
    assert [rows for rows, _ in shapes] == [1, 1]


def test_no_sequences_give_no_rows(runtime):
    assert runtime.logits([]).shape == (0, 2)
    assert runtime.probabilities([]).shape == (0,)
    assert list(runtime.stream([])) == []


def test_probabilities_are_calibrated(runtime, sequences):
    logits = runtime.logits(sequences).astype(np.float64) / 2.0
    expected = np.exp(logits[:, 1]) / np.exp(logits).sum(axis=1)
    found = runtime.probabilities(sequences)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_stream_is_read_in_chunks(runtime, sequences):
    taken = 0

    def source():
        nonlocal taken
        for sequence in sequences:
            taken += 1
            yield sequence

    stream = runtime.stream(source(), chunk=10)
    next(stream)
    assert taken == 10
    rest = list(stream)
    np.testing.assert_allclose(rest, runtime.probabilities(sequences)[1:], atol=1e-6)


def test_huge_logits_overflow_to_nothing_but_0_and_1():
    logits = np.array([[1e30, -1e30], [-1e30, 1e30], [0, 0]], np.float32)
    np.testing.assert_array_equal(to_probabilities(logits, 0.01), [0, 1, 0.5])


@pytest.mark.parametrize(
    ("options", "message"),
    [({"batch_tokens": 0}, "expected at least 1"), ({"batch_size": 0}, "expected at least 1")],
)
def test_batches_of_nothing_are_refused(runtime, options, message):
    with pytest.raises(UsageError, match=message):
        runtime.logits(["ACGT"], **options)


def test_options_are_checked(bundle_folder):
    bundle = Bundle.open(bundle_folder)
    with pytest.raises(UsageError, match="device is 'tpu'"):
        Runtime(bundle, device="tpu")
    with pytest.raises(UsageError, match="threads is 0"):
        Runtime(bundle, threads=0)


def test_threads_are_those_the_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 4, 7}, raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert available_threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert available_threads() == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    assert available_threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "nonsense")
    assert available_threads() == 3


def test_the_provider_is_the_sessions(runtime):
    assert runtime.provider == "CPUExecutionProvider"


def fake_onnxruntime(listed: list[str], running: list[str]) -> types.ModuleType:
    """An onnxruntime that lists some providers and runs on others."""

    class Session:
        def __init__(self, *_: object, providers: list[str]) -> None:
            self.asked = providers

        def get_providers(self) -> list[str]:
            return running

        def get_outputs(self) -> list[object]:
            return [types.SimpleNamespace(shape=["batch", 2])]

    module = types.ModuleType("onnxruntime")
    module.__version__ = "1.0"
    module.InferenceSession = Session
    module.SessionOptions = types.SimpleNamespace
    module.get_available_providers = lambda: listed
    return module


def test_cuda_that_is_listed_but_does_not_load_is_refused(bundle_folder, monkeypatch):
    cuda, cpu = "CUDAExecutionProvider", "CPUExecutionProvider"
    monkeypatch.setitem(sys.modules, "onnxruntime", fake_onnxruntime([cuda, cpu], [cpu]))
    bundle = Bundle.open(bundle_folder)
    with pytest.raises(GenoslimError, match="device cuda: the session runs on CPUExecution"):
        Runtime(bundle, device="cuda")
    assert Runtime(bundle, device="auto").provider == cpu
    monkeypatch.setitem(sys.modules, "onnxruntime", fake_onnxruntime([cuda, cpu], [cuda, cpu]))
    assert Runtime(bundle, device="cuda").provider == cuda


def test_cuda_that_is_not_listed_is_refused(bundle_folder, monkeypatch):
    cpu = "CPUExecutionProvider"
    monkeypatch.setitem(sys.modules, "onnxruntime", fake_onnxruntime([cpu], [cpu]))
    with pytest.raises(GenoslimError, match="CUDA needs the extra `gpu`"):
        Runtime(Bundle.open(bundle_folder), device="cuda")


def test_without_onnxruntime_the_extra_is_named(bundle_folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(GenoslimError, match=r"pip install 'genoslim\[cpu\]'"):
        Runtime(Bundle.open(bundle_folder))


def test_a_graph_that_onnxruntime_cannot_load_is_named(bundle_folder, make_manifest):
    from genoslim.export.bundle import write_manifest

    (bundle_folder / "model.onnx").write_bytes(b"no graph")
    bundle = write_manifest(bundle_folder, make_manifest())
    with pytest.raises(GenoslimError, match=r"model\.onnx: onnxruntime .* cannot load it"):
        Runtime(bundle)


def test_scoring_needs_neither_torch_nor_transformers(bundle_folder):
    program = f"""
import sys
for name in ("torch", "transformers", "onnx", "onnxscript", "pyarrow", "sklearn", "optimum"):
    sys.modules[name] = None
from pathlib import Path
from genoslim.export.bundle import Bundle
from genoslim.export.runtime import Runtime
print(Runtime(Bundle.open(Path({str(bundle_folder)!r}))).probabilities(["ACGT"]).shape)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "(1,)\n", "")
