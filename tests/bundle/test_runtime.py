from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from genoslim.bundle.bundle import Bundle, write_manifest
from genoslim.bundle.runner import random_windows
from genoslim.bundle.runtime import Runtime, to_probabilities
from genoslim.errors import UsageError


@pytest.fixture
def runtime(bundle_folder) -> Runtime:
    bundle = Bundle.open(bundle_folder)
    return Runtime(bundle, device="cpu", threads=1, backend="onnxruntime")


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
    with pytest.raises(UsageError, match="backend is 'torch'; expected auto, onnxruntime or openv"):
        Runtime(bundle, backend="torch")
    with pytest.raises(UsageError, match="threads is 0"):
        Runtime(bundle, threads=0)


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_tf32_is_of_fp32_bundles(bundle_folder, make_manifest, precision):
    bundle = write_manifest(bundle_folder, make_manifest(precision=precision))
    with pytest.raises(UsageError, match=f"tf32 is of fp32 bundles, this one is {precision}; drop"):
        Runtime(bundle, tf32=True)


def test_it_says_what_it_runs_on(runtime):
    found = (runtime.backend, runtime.provider, runtime.threads)
    assert found == ("onnxruntime", "CPUExecutionProvider", 1)


def test_the_default_budget_is_that_of_the_device(runtime, dna):
    shapes = spy(runtime)
    windows = [dna(60, seed) for seed in range(300)]
    runtime.logits(windows)
    budget = runtime.batch_tokens
    assert budget == 1024
    assert max(rows * tokens for rows, tokens in shapes) <= budget
    assert any(rows * tokens > budget / 2 for rows, tokens in shapes)


def test_warming_up_runs_a_full_batch_and_a_single_window(runtime):
    shapes = spy(runtime)
    runtime.warm_up(60)
    (full, tokens), single = shapes
    assert single == (1, tokens)
    assert full == 1024 // tokens > 1


def test_random_windows_are_the_same_every_time():
    windows = random_windows(30, 4)
    assert windows == random_windows(30, 4)
    assert len(set(windows)) == 4
    assert all(len(window) == 30 and set(window) <= set("ACGT") for window in windows)


def test_openvino_gives_the_same(bundle_folder, sequences, runtime):
    pytest.importorskip("openvino", reason="the extra openvino is not installed")
    bundle = Bundle.open(bundle_folder)
    other = Runtime(bundle, device="cpu", threads=1, backend="openvino")
    assert (other.backend, other.provider) == ("openvino", "CPU")
    np.testing.assert_allclose(other.logits(sequences), runtime.logits(sequences), atol=1e-5)


def test_scoring_needs_neither_torch_nor_transformers(bundle_folder):
    program = f"""
import sys
for name in ("torch", "transformers", "onnx", "onnxscript", "pyarrow", "sklearn", "optimum"):
    sys.modules[name] = None
from pathlib import Path
from genoslim.bundle.bundle import Bundle, write_manifest
from genoslim.bundle.runtime import Runtime
runtime = Runtime(Bundle.open(Path({str(bundle_folder)!r})), backend="onnxruntime")
print(runtime.probabilities(["ACGT"]).shape)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "(1,)\n", "")
