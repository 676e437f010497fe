"""Forward passes of random DNABERT-2 networks: torch, ONNX Runtime and, if installed, OpenVINO.

python benchmarks/inference.py [--smoke] [--widths 768] [--depths 12 6] [--batches 1 8]
                               [--tokens 128] [--threads N] [--repeats N]

Repeats take turns, so that a busy machine slows all alike; ratios are medians over the turns.
"""

from __future__ import annotations

import itertools
import math
import tempfile
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from _common import (
    HEADER,
    VOCABULARY,
    arguments,
    compared,
    interleaved,
    random_classifier,
    show,
    show_machine,
)
from torch import Tensor

from genoslim.export.runtime import GraphRunner
from genoslim.export.trace import trace
from genoslim.models.classifier import Classifier

Graph = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Logits from token ids and attention mask."""

_FUSED = "torch.nn.functional.scaled_dot_product_attention"


def main() -> None:
    """Measure every width, depth, batch size and number of tokens."""
    options = arguments(__doc__ or "", widths=(768,), depths=(12, 6), batches=(1, 8), tokens=(128,))
    if options.smoke:
        options.widths, options.depths, options.batches, options.tokens = [64], [2], [1, 4], [16]
    show_machine(options.threads)
    for width, depth in itertools.product(options.widths, options.depths):
        model = random_classifier(width=width, layers=depth)
        with tempfile.TemporaryDirectory() as folder:
            graphs = _exported(model, Path(folder), options.threads)
            for batch, tokens in itertools.product(options.batches, options.tokens):
                times = interleaved(_calls(model, graphs, batch, tokens), options.repeats)
                title = f"{depth} layers x {width} wide, {batch} x {tokens} tokens"
                show(title, HEADER, compared(times, batch, "windows"))


def eager_attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, **_: Any
) -> Tensor:
    """Attention written out: softmax(Q K' / sqrt(d) + mask) V."""
    scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    return torch.softmax(scores if attn_mask is None else scores + attn_mask, dim=-1) @ value


def _exported(model: Classifier, folder: Path, threads: int) -> dict[str, Graph]:
    """Export once; return each runtime's call on that graph."""
    path = folder / "model.onnx"
    trace(model, path)
    no_tokenizer: Any = None  # only `run` is called
    graphs: dict[str, Graph] = {
        "ONNX Runtime": GraphRunner(path, no_tokenizer, device="cpu", threads=threads).run
    }
    if find_spec("openvino"):
        graphs["OpenVINO"] = _openvino(path, threads)
    return graphs


def _openvino(path: Path, threads: int) -> Graph:
    import openvino

    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(path, "CPU", settings)

    def run(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return np.asarray(compiled({"input_ids": ids, "attention_mask": mask})[0])

    return run


def _calls(
    model: Classifier, graphs: dict[str, Graph], batch: int, tokens: int
) -> dict[str, Callable[[], np.ndarray]]:
    ids = np.random.default_rng(0).integers(5, VOCABULARY, (batch, tokens))
    mask = np.ones_like(ids)

    def fused() -> np.ndarray:
        with torch.inference_mode():
            return model(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()

    def eager() -> np.ndarray:
        with mock.patch(_FUSED, eager_attention):
            return fused()

    calls: dict[str, Callable[[], np.ndarray]] = {
        "torch, eager attention": eager,
        "torch, fused attention": fused,
        **{name: partial(run, ids, mask) for name, run in graphs.items()},
    }
    for name, call in calls.items():
        np.testing.assert_allclose(call(), fused(), atol=1e-4, err_msg=name)
    return calls


if __name__ == "__main__":
    main()
