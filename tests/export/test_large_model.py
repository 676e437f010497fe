"""Weights beyond the 2 GiB that one protobuf holds: made at random, exported, checked, opened."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from genoslim.export.exporter import export_bundle
from genoslim.export.precision import convert
from genoslim.files import sha256
from genoslim.models.checkpoint import new_classifier, save

TINY = runpy.run_path(str(Path(__file__).parents[1] / "fixtures" / "tiny_checkpoints.py"))
WIDE = {"hidden_size": 2560, "num_attention_heads": 20, "intermediate_size": 10240}
LAYERS, WINDOW = 6, 24


def opened_alone(graph: Path, rows: list[np.ndarray]) -> np.ndarray:
    """Logits [n, 2] from onnxruntime with the graph and its weights, one window at a time."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(graph), options)
    feeds = ({"input_ids": row[None], "attention_mask": np.ones_like(row[None])} for row in rows)
    return np.concatenate([session.run(["logits"], feed)[0] for feed in feeds])


@pytest.mark.nightly
def test_more_than_two_gibibytes_of_weights(tmp_path):
    config = TINY["CONFIGS"]["dnabert2"] | WIDE | {"num_hidden_layers": LAYERS}
    data = TINY["some_data"](window_length=WINDOW)
    data.write(tmp_path / "data.parquet")
    record = TINY["training_record"](data, window_length=WINDOW, base_layers=LAYERS)
    tokenizer = TINY["tokenizer_of"]("dnabert2")
    save(new_classifier(config, seed=0), tokenizer, tmp_path / "checkpoint", training=record)

    source = (tmp_path / "checkpoint", tmp_path / "data.parquet")
    exact = export_bundle(source[0], tmp_path / "bundle", data=source[1], allow_chance=True).bundle
    weights = exact.manifest.files["model.onnx.data"]
    assert weights.size > 2**31
    assert weights.sha256 == sha256(tmp_path / "bundle" / "model.onnx.data")
    assert exact.graph.stat().st_size < 10**6
    assert exact.manifest.parity.passed
    assert exact.manifest.parity.max_logit_difference < 1e-4
    onnx.checker.check_model(exact.graph, full_check=True)

    quantised = tmp_path / "int8.onnx"
    convert(exact.graph, quantised, "int8")
    onnx.checker.check_model(quantised, full_check=True)
    assert quantised.stat().st_size < 0.3 * weights.size
    rows = tokenizer.encode(data.split("test").sequences[:40])
    expected, found = (opened_alone(graph, rows) for graph in (exact.graph, quantised))
    correlation = np.corrcoef(*(logits[:, 1] - logits[:, 0] for logits in (expected, found)))
    assert correlation[0, 1] > 0.9
