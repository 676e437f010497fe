"""An exported checkpoint scores a VCF where torch cannot be imported, and agrees with torch."""

from __future__ import annotations

import os
import random
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from genoslim import Variant, open_bundle
from genoslim.bundle.bundle import Bundle
from genoslim.export.exporter import export_bundle
from genoslim.models.checkpoint import save

_TINY = runpy.run_path(str(Path(__file__).parents[1] / "fixtures" / "tiny_checkpoints.py"))
_WITHOUT_TORCH = """
import sys
sys.modules.update(torch=None, transformers=None, onnx=None)
from genoslim.cli import main
main(prog_name="genoslim")
"""
_WINDOW: int = _TINY["WINDOW"]


def _bundle(folder: Path) -> tuple[Bundle, torch.nn.Module]:
    data, model = _TINY["some_data"](), _TINY["tiny_classifier"]("dnabert2")
    data.write(folder / "data.parquet")
    record = _TINY["training_record"](data)
    save(model, _TINY["tokenizer_of"]("dnabert2"), folder / "checkpoint", training=record)
    export_bundle(
        folder / "checkpoint",
        folder / "bundle",
        data=folder / "data.parquet",
        threads=1,
        allow_chance=True,
    )
    return Bundle.open(folder / "bundle"), model


def _torch_probability(model: torch.nn.Module, window: str, temperature: float) -> float:
    (row,) = _TINY["tokenizer_of"]("dnabert2").encode([window])
    ids = torch.from_numpy(row)[None]
    with torch.inference_mode():
        logits = model.eval()(ids, torch.ones_like(ids))
    return float(torch.softmax(logits / temperature, dim=1)[0, 1])


def test_scores_of_an_exported_model_are_those_of_torch(tmp_path: Path) -> None:
    bundle, model = _bundle(tmp_path)
    sequence = "".join(random.Random(5).choices("ACGT", k=1000))
    (tmp_path / "ref.fa").write_text(f">1\n{sequence}\n")
    lines = ["##fileformat=VCFv4.3\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"]
    windows = []
    half = _WINDOW // 2
    padded = "N" * half + sequence + "N" * half
    for start in range(3, 1000, 11):
        alt = "A" if sequence[start] != "A" else "G"
        lines.append(f"1\t{start + 1}\t.\t{sequence[start]}\t{alt}\t.\t.\t.\n")
        windows.append(padded[start : start + half] + alt + padded[start + half + 1 :][: half - 1])
    done = subprocess.run(
        [
            *(sys.executable, "-c", _WITHOUT_TORCH, "score", "-m", str(bundle.folder)),
            *("-f", str(tmp_path / "ref.fa"), "-i", "-", "-o", str(tmp_path / "out.tsv")),
        ],
        input="".join(lines).encode(),
        capture_output=True,
        timeout=60,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    rows = [row.split("\t") for row in (tmp_path / "out.tsv").read_text().splitlines()[1:]]
    assert {row[7] for row in rows} == {"OK", "CONTIG_EDGE"}
    temperature = bundle.manifest.temperature
    expected = [_torch_probability(model, window, temperature) for window in windows]
    np.testing.assert_allclose([float(row[5]) for row in rows], expected, atol=1e-5)
    assert len({row[5] for row in rows}) > 50
    names = bundle.manifest.label_names
    assert [row[6] for row in rows] == [
        names[float(row[5]) >= bundle.manifest.threshold] for row in rows
    ]
    variants = [Variant(row[0], int(row[1]), row[3], row[4]) for row in rows]
    found = open_bundle(bundle.folder, threads=1).predict_variants(variants, tmp_path / "ref.fa")
    np.testing.assert_allclose(found.probabilities, [float(row[5]) for row in rows], atol=1e-6)
    assert [status.value for status in found.statuses] == [row[7] for row in rows]
    assert [found.label_names[call] for call in found.calls] == [row[6] for row in rows]
