"""An exported bundle gives torch's numbers, whoever opens it."""

from __future__ import annotations

import logging
import os
import re
import runpy
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch.nn import functional

from genoslim.bundle.bundle import Bundle
from genoslim.bundle.runner import GraphRunner
from genoslim.bundle.runtime import Runtime
from genoslim.errors import GateError
from genoslim.export import exporter
from genoslim.export.exporter import export_bundle
from genoslim.export.trace import trace
from genoslim.export.verify import measure_parity, parity_windows
from genoslim.models import dnabert2, load
from genoslim.models.checkpoint import save

ROOT = Path(__file__).parents[2]
TINY = runpy.run_path(str(ROOT / "tests" / "fixtures" / "tiny_checkpoints.py"))


@pytest.fixture(scope="module")
def data():
    return TINY["some_data"]()


@pytest.fixture(scope="module")
def data_file(data, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("data") / "windows.parquet"
    data.write(path)
    return path


def write_checkpoint(family: str, data, folder: Path) -> Path:
    if family == "hf:bert":
        return TINY["write_bert"](folder / "checkpoint", data)
    model, tokenizer = TINY["tiny_classifier"](family), TINY["tokenizer_of"](family)
    save(model, tokenizer, folder / "checkpoint", training=TINY["training_record"](data))
    return folder / "checkpoint"


@pytest.fixture(scope="module", params=[*TINY["FAMILIES"], "hf:bert"])
def pair(request, data, data_file, tmp_path_factory) -> tuple[Path, Bundle]:
    """A checkpoint of each family and its bundle."""
    folder = tmp_path_factory.mktemp("pair")
    checkpoint = write_checkpoint(request.param, data, folder)
    return checkpoint, export_bundle(
        checkpoint, folder / "bundle", data=data_file, threads=1, allow_chance=True
    ).bundle


@pytest.fixture(scope="module")
def windows(data) -> list[str]:
    """Real windows of mixed lengths: one base, runs of N, N at the ends, and 90 cut ones."""
    first = data.sequences[0]
    odd = ["A", "N", "NNNNNN" + first[:40], first[:20] + "N" * 9 + first[20:], first[:31] + "NN"]
    return odd + parity_windows(data.sequences[20:], count=90)


def torch_logits(checkpoint: Path, rows: list[np.ndarray]) -> np.ndarray:
    model = load(checkpoint).eval()
    with torch.inference_mode():
        ids = [torch.from_numpy(row)[None] for row in rows]
        return torch.cat([model(row, torch.ones_like(row)) for row in ids]).numpy()


@pytest.mark.parametrize("batch_size", [1, 8, 64])
def test_graph_and_torch_agree_under_any_padding(pair, windows, batch_size):
    checkpoint, bundle = pair
    runtime = Runtime(bundle, threads=1)
    rows = runtime.tokenizer.encode(windows)
    expected = torch_logits(checkpoint, rows)
    assert np.ptp(expected, axis=0).min() > 0.01  # the model tells windows apart
    starts = range(0, len(rows), batch_size)
    batches = [runtime.tokenizer.pad(rows[start : start + batch_size]) for start in starts]
    found = np.concatenate([runtime.run(*batch) for batch in batches])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_the_runtime_and_torch_agree(pair, windows):
    checkpoint, bundle = pair
    runtime = Runtime(bundle, threads=1)
    expected = torch_logits(checkpoint, runtime.tokenizer.encode(windows))
    for options in ({}, {"batch_size": 1}, {"batch_size": 64, "batch_tokens": 10**6}):
        found = runtime.logits(windows, **options)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_what_padding_holds_does_not_matter(pair, windows):
    runtime = Runtime(pair[1], threads=1)
    input_ids, mask = runtime.tokenizer.pad(runtime.tokenizer.encode(windows[5:13]))
    assert (mask == 0).any()
    other = np.where(mask == 1, input_ids, 7)
    np.testing.assert_allclose(
        runtime.run(other, mask), runtime.run(input_ids, mask), rtol=0, atol=1e-5
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning:optimum", "ignore::FutureWarning:optimum")
def test_it_opens_in_optimum_without_genoslim(pair, windows):
    logging.getLogger("optimum").setLevel(logging.ERROR)
    ort = pytest.importorskip("optimum.onnxruntime")
    from transformers import AutoConfig, AutoTokenizer

    _, bundle = pair
    config = AutoConfig.from_pretrained(bundle.folder)
    assert config.id2label == {0: "neutral", 1: "causal"}
    assert config.num_hidden_layers == 3
    tokenizer = AutoTokenizer.from_pretrained(bundle.folder)
    model = ort.ORTModelForSequenceClassification.from_pretrained(bundle.folder)
    inputs = tokenizer(windows, padding=True, return_tensors="pt")
    assert set(inputs) == {"input_ids", "attention_mask"}
    found = model(**inputs).logits.numpy()
    expected = Runtime(bundle, threads=1).logits(windows)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_it_is_valid_onnx_of_standard_operators(pair):
    """Types and shapes of every node are consistent, and no runtime's own operator is needed."""
    path = pair[1].graph
    onnx.checker.check_model(str(path), full_check=True)
    model = onnx.load(path)
    assert [opset.domain for opset in model.opset_import] == [""]
    assert {node.domain for node in model.graph.node} == {""}


def test_the_example_of_the_documentation_needs_three_packages(pair, windows):
    """docs/bundle.md's example, run where torch, transformers and genoslim cannot be imported."""
    text = (ROOT / "docs" / "bundle.md").read_text()
    example = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    assert len(example.strip().splitlines()) <= 20
    blocked = "import sys\nfor name in ('torch', 'transformers', 'genoslim', 'onnx'):\n"
    program = blocked + "    sys.modules[name] = None\n" + example
    _, bundle = pair
    done = subprocess.run(
        [sys.executable, "-c", program, str(bundle.folder), *windows],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONWARNINGS": "error"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    expected = Runtime(bundle, threads=1).probabilities(windows)
    np.testing.assert_allclose([float(line[0]) for line in lines], expected, atol=1e-4)
    threshold, names = bundle.manifest.threshold, bundle.manifest.label_names
    calls = [names[int(probability >= threshold)] for probability in expected]
    assert [line[1] for line in lines] == calls


def test_weights_in_a_file_of_their_own(data, data_file, tmp_path, monkeypatch, windows):
    """As for models above 2 GB, with the limit lowered: listed, hashed, loaded, torch's numbers."""
    monkeypatch.setattr(
        exporter, "trace", lambda *args, **options: trace(*args, **options, external_bytes=0)
    )
    checkpoint = write_checkpoint("nt_v1", data, tmp_path)
    bundle = export_bundle(
        checkpoint, tmp_path / "bundle", data=data_file, threads=1, allow_chance=True
    ).bundle
    assert bundle.manifest.files["model.onnx.data"].size > bundle.graph.stat().st_size
    runtime = Runtime(bundle, threads=1)
    expected = torch_logits(checkpoint, runtime.tokenizer.encode(windows))
    np.testing.assert_allclose(runtime.logits(windows), expected, rtol=0, atol=1e-5)
    os.truncate(tmp_path / "bundle" / "model.onnx.data", 100)
    with pytest.raises(GateError, match=r"model\.onnx\.data: 100 bytes"):
        Bundle.open(tmp_path / "bundle")


def wrong_gelu(model, monkeypatch) -> None:
    for block in model.blocks:
        block.mlp.gated_layers.activation = partial(functional.gelu, approximate="tanh")


def no_padding_mask(model, monkeypatch) -> None:
    monkeypatch.setattr(
        dnabert2, "padding_bias", lambda mask, dtype: 0 * mask[:, None, None, :].to(dtype)
    )


@pytest.mark.parametrize(
    ("mistake", "shows_alone"),
    [(wrong_gelu, True), (no_padding_mask, False)],
)
def test_small_real_mistakes_are_found(mistake, shows_alone, data, tmp_path, monkeypatch):
    """The gate is fine enough for the mistakes that exporters make, padded batches included."""
    right, wrong = (TINY["tiny_classifier"]("dnabert2") for _ in range(2))
    with monkeypatch.context() as patched:
        mistake(wrong, patched)
        trace(wrong, tmp_path / "model.onnx")
    runner = GraphRunner(tmp_path / "model.onnx", TINY["tokenizer_of"]("dnabert2"), threads=1)
    windows = parity_windows(data.sequences)
    report = measure_parity(right, runner, windows, temperature=1.0, threshold=0.5)
    assert not report.passed
    alone, *padded = report.cases[:3]
    assert (alone.max_logit_difference > report.logit_tolerance) == shows_alone
    assert all(case.max_logit_difference > report.logit_tolerance for case in padded)
