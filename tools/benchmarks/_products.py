"""The machine's rate of matrix products, at a model's shapes, by the best of four libraries."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import product
from statistics import median
from typing import Any

import numpy as np
import torch
from _common import interleaved

from genoslim.bundle.sessions import import_openvino
from genoslim.models.classifier import NativeConfig

ROWS = (1024,)
"""Tokens at once: about what our batches hold on a CPU (512 and 4096 have the same best rates)."""

_REPEATS = 7
_PAUSE = 0.05  # threads of the library before may still wait actively for work


@dataclass(frozen=True)
class Rate:
    """A product [rows, inner] x [inner, columns] and how many operations a second it ran at."""

    library: str
    rows: int
    inner: int
    columns: int
    operations: float

    def __str__(self) -> str:
        shape = f"{self.rows}x{self.inner}x{self.columns}"
        return f"{self.operations / 1e9:.0f} GFLOP/s ({self.library}, {shape})"


def product_rates(config: NativeConfig, rows: Sequence[int], threads: int) -> list[Rate]:
    """Measure the products of a layer of the model on so many tokens; the fastest first."""
    width, inner = config.hidden_size, config.intermediate_size
    sides = [(width, columns) for columns in (width, 3 * width, inner, 2 * inner)]
    shapes = product(rows, [*sides, (inner, width)])
    rates = [rate for many, side in shapes for rate in _of_shape(many, *side, threads)]
    return sorted(rates, key=lambda rate: -rate.operations)


def best_by_library(rates: list[Rate]) -> dict[str, Rate]:
    """Return the fastest of each library."""
    best: dict[str, Rate] = {}
    for rate in rates:
        best.setdefault(rate.library, rate)
    return best


def _of_shape(rows: int, inner: int, columns: int, threads: int) -> Iterator[Rate]:
    generator = np.random.default_rng(0)
    left = generator.standard_normal((rows, inner), np.float32)
    right = generator.standard_normal((inner, columns), np.float32)
    calls: dict[str, Callable[[], Any]] = {
        "numpy": partial(np.matmul, left, right, out=np.empty((rows, columns), np.float32)),
        "torch": partial(torch.nn.functional.linear, *_tensors(left, right.T)),
        "ONNX Runtime": _onnxruntime(left, right, threads),
    }
    if find_spec("openvino"):
        calls["OpenVINO"] = _openvino(left, right, threads)
    for library, times in interleaved(calls, _REPEATS, before=partial(time.sleep, _PAUSE)).items():
        yield Rate(library, rows, inner, columns, 2 * rows * inner * columns / median(times))


def _tensors(left: np.ndarray, right: np.ndarray) -> list[torch.Tensor]:
    return [torch.from_numpy(np.ascontiguousarray(each)) for each in (left, right)]


def _graph(right: np.ndarray) -> bytes:
    """Return an ONNX model of one product with a constant."""
    from onnx import TensorProto, helper, numpy_helper

    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", size])
        for name, size in zip("xy", right.shape, strict=True)
    ]
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    weights = [numpy_helper.from_array(right, "w")]
    graph = helper.make_graph([node], "g", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    serialised: bytes = model.SerializeToString()
    return serialised


def _onnxruntime(left: np.ndarray, right: np.ndarray, threads: int) -> Callable[[], Any]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    providers = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(_graph(right), options, providers=providers)
    return partial(session.run, ["y"], {"x": left})


def _openvino(left: np.ndarray, right: np.ndarray, threads: int) -> Callable[[], Any]:
    openvino = import_openvino()
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    core = openvino.Core()
    request = core.compile_model(core.read_model(_graph(right)), "CPU", settings)
    request = request.create_infer_request()
    return partial(request.infer, {"x": left}, share_inputs=True, share_outputs=True)
