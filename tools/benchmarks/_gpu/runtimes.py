"""Exported graphs on ONNX Runtime: CUDA, and TensorRT where it is installed.

The graphs are those of the small fine-tuned model that came with the data. The differences tell
whether a provider computes what the CPU did; the times, of one shape for each batch, what a call
costs at the least. TensorRT builds an engine for each of the two shapes, which is its first call.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genoslim.bundle.sessions import open_session

from .context import Context, summary
from .prepared import padded
from .record import LeftOut, Row

_CPU, _CUDA, _TENSORRT = (f"{name}ExecutionProvider" for name in ("CPU", "CUDA", "Tensorrt"))
_OURS = {_CPU: "cpu", _CUDA: "cuda"}
"""Providers that the package itself opens, and by which name."""

Run = Callable[[np.ndarray, np.ndarray], np.ndarray]


def measure(context: Context) -> Iterator[Row]:
    """Yield a row for each graph, provider and batch."""
    providers = _providers(context)
    with tempfile.TemporaryDirectory() as folder:
        for name in context.prepared.content["tuned"]["graphs"]:
            target, precision = name.split()
            graph = Path(folder) / f"{target}-{precision}.onnx"
            context.prepared.write_graph(target, precision, graph)
            for provider in providers:
                row: Row = {"graph": target, "precision": precision, "provider": provider}
                yield context.attempt(row, partial(_one, context, graph, precision, provider))


def _providers(context: Context) -> list[str]:
    """Return the providers to run on; LeftOut where there is none for the device."""
    try:
        import onnxruntime
    except ImportError:
        raise LeftOut("onnxruntime is not installed") from None
    listed = onnxruntime.get_available_providers()
    wanted = (_CUDA, _TENSORRT) if context.cuda else (_CPU,)
    if found := [name for name in wanted if name in listed]:
        return found
    raise LeftOut(f"onnxruntime has {', '.join(listed)}: onnxruntime-gpu is not installed")


def _one(context: Context, graph: Path, precision: str, provider: str) -> Row:
    """Return first call, latency at batch 1 and at 64, and the differences of logits."""
    run = _opened(graph, precision, provider)
    prepared = context.prepared
    test = prepared.split(prepared.tuned_family, "test", torch.device("cpu"))
    rows = torch.arange(min(64, len(test.tokens)))
    ids, mask = padded(test.tokens, rows)
    first = context.seconds(lambda: run(ids, mask))
    found = torch.from_numpy(np.asarray(run(ids, mask), np.float32))
    expected = prepared.tuned_logits("fp32")[rows]
    budget = context.sizes.latency_seconds
    single = context.repeated(lambda: run(ids[:1], mask[:1]), seconds=budget)
    many = context.repeated(lambda: run(ids, mask), seconds=budget / 4)
    return {
        "first_ms": first * 1000,
        "batch_1": summary(single[1:]),
        f"batch_{len(rows)}": summary(many),
        "largest_logit_difference": float((found - expected).abs().max()),
        "flipped": int((found.argmax(1) != expected.argmax(1)).sum()),
    }


def _opened(graph: Path, precision: str, provider: str) -> Run:
    if provider in _OURS:
        session = open_session(graph, backend="onnxruntime", device=_OURS[provider], threads=1)
        return session.run
    import onnxruntime

    options: dict[str, Any] = {"trt_fp16_enable": precision == "fp16"}
    providers = [(provider, options), (_CUDA, {"use_tf32": 0})]
    tensorrt = onnxruntime.InferenceSession(str(graph), providers=providers, enable_fallback=0)
    if tensorrt.get_providers()[0] != provider:
        raise RuntimeError(f"{provider} did not load")
    return lambda ids, mask: tensorrt.run(None, {"input_ids": ids, "attention_mask": mask})[0]
