"""The exported graph, rewritten for speed, against reference outputs and the plain network."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from genoslim import models
from genoslim.bundle.runner import GraphRunner
from genoslim.data.genome import Genome
from genoslim.export.trace import trace
from genoslim.models.classifier import NativeClassifier
from genoslim.models.layers import remove_layers

FAMILIES = ("dnabert2", "nt_v1", "nt_v2")
SHIPPED = ("dnabert2", "nt", "nt_v2")
TOLERANCE = 2e-5


@pytest.fixture(params=FAMILIES)
def golden(request: pytest.FixtureRequest, real_data: Path) -> Path:
    return real_data / "golden" / f"{request.param}_tiny"


def run(graph: Path, arrays, prefix: str = "") -> np.ndarray:
    runner = GraphRunner(graph, None, device="cpu", threads=1)
    return runner.run(arrays[f"{prefix}input_ids"], arrays[f"{prefix}attention_mask"])


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_graphs_of_the_golden_models(golden, target, tmp_path):
    outputs = np.load(golden / "io.npz")
    model = models.load(golden, num_labels=3).eval()
    trace(model, tmp_path / "model.onnx", target=target)
    for batch in ("main", "widepad", "single", "long"):
        found = run(tmp_path / "model.onnx", outputs, f"{batch}.")
        np.testing.assert_allclose(found, outputs[f"{batch}.logits"], rtol=0, atol=TOLERANCE)


def test_graphs_of_pruned_golden_models(golden, tmp_path):
    outputs = np.load(golden / "pruned.npz")
    for name, dropped in {"drop1": [1], "drop0_2": [0, 2], "drop_last": [3]}.items():
        model = remove_layers(models.load(golden, num_labels=3).eval(), dropped)
        trace(model, tmp_path / f"{name}.onnx")
        found = run(tmp_path / f"{name}.onnx", outputs)
        np.testing.assert_allclose(found, outputs[f"{name}.logits"], rtol=0, atol=TOLERANCE)


@pytest.fixture(scope="module")
def windows(real_data) -> list[str]:
    """Real windows of 510 bp around every 400th SNV of a VCF, alternate allele in the middle."""
    folder = real_data / "vcf" / "1kgp_chr20_1mb"
    genome = Genome(folder / "z.fa")
    with gzip.open(folder / "z.vcf.gz", "rt") as stream:
        rows = [line.split("\t")[:5] for line in stream if line[0] != "#"]
    snvs = [(int(row[1]) - 1, row[4]) for row in rows if row[3] in "ACGT" and row[4] in "ACGT"]
    inside = [(at, base) for at, base in snvs if 255 <= at < 999_745][::400]
    cut = [(genome.fetch("z", at - 255, at + 255), base) for at, base in inside]
    return [text[:255] + base + text[256:] for text, base in cut]


@pytest.mark.parametrize("name", SHIPPED)
def test_graphs_on_real_batches(name, windows, tmp_path):
    """Against the plain network, every position of every layer computed."""
    model = models.load(f"shipped:{name}").eval()
    assert isinstance(model, NativeClassifier)
    tokenizer = models.load_tokenizer(f"shipped:{name}")
    trace(model, tmp_path / "model.onnx")
    runner = GraphRunner(tmp_path / "model.onnx", tokenizer, device="cpu", threads=1)
    rows = tokenizer.encode(windows)
    assert len(rows) >= 64
    for size in (1, 8, 64):
        for start in range(0, 64, size):
            ids, mask = tokenizer.pad(rows[start : start + size])
            with torch.inference_mode():
                hidden = model.last_hidden_state(torch.from_numpy(ids), torch.from_numpy(mask))
                expected = model.project(model.pool(hidden[:, 0]))
            np.testing.assert_allclose(runner.run(ids, mask), expected, rtol=0, atol=TOLERANCE)
