"""Where the time of our graph goes: each runtime's own profiler, on batches as we make them.

The wall time of a pass is split without remainder, in per cent:

- useful: the useful operations at the machine's best rate of matrix products;
- (a) matrix products: their time beyond what their operations need at that rate;
- (b) element-wise operators and moves, by kind: all of their time;
- (c) padding: the operations on padding, at that rate;
- (d) calls: what no operator accounts for.

Operators that runtimes fuse count where most of their arithmetic is: an activation fused into a
product is part of the product. Profiling costs some time itself; a pass without is printed too.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from math import prod
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from _arithmetic import useful_operations
from _common import show
from _contenders import Setting
from _windows import Batch, Tokenised, Workload

from genoslim.bench.latency import time_call
from genoslim.bundle.runner import GraphRunner
from genoslim.bundle.sessions import import_openvino

_REPEATS = 3
_PRODUCTS = "matrix products"
_KINDS = {
    _PRODUCTS: "MatMul FusedMatMul Gemm FusedGemm FullyConnected Einsum Attention"
    " MultiHeadAttention ScaledDotProductAttention",
    "activation (GELU, SiLU)": "Gelu FastGelu BiasGelu Erf QuickGelu Sigmoid Swish SwishCPU Tanh",
    "LayerNorm": "LayerNormalization SkipLayerNormalization MVN",
    "softmax": "Softmax",
    "adds and multiplications": "Add Mul Sub Div Neg Abs Eltwise Subgraph Multiply Subtract",
    "transposes and copies": "Transpose Reshape Concat Split Slice Unsqueeze Squeeze Expand Reorder"
    " StridedSlice Convert Cast Tile Broadcast",
    "look-ups": "Gather GatherElements Embedding",
}
_KIND_OF = {operator: kind for kind, names in _KINDS.items() for operator in names.split()}


class _Recording(GraphRunner):
    """Keeps the batches that the runtime makes."""

    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        self.__dict__.setdefault("batches", []).append((input_ids, attention_mask))
        return super().run(input_ids, attention_mask)


@dataclass(frozen=True)
class _Pass:
    """One pass over all batches: wall seconds, without profiling too, and those of each kind.

    `operations` are those of matrix products as the profiler's shapes tell, None if it tells none.
    """

    wall: float
    unprofiled: float
    kinds: Mapping[str, float]
    operations: int | None


def show_profile(setting: Setting, workload: Workload, best_rate: float) -> None:
    """Print the table of each runtime that is installed."""
    batches = _batches(setting, workload)
    profilers: dict[str, Callable[[Path, Sequence[Batch], int], _Pass]] = {
        "ONNX Runtime": _onnxruntime
    }
    if find_spec("openvino"):
        profilers["OpenVINO"] = _openvino
    for name, profiler in profilers.items():
        found = profiler(setting.exported, batches, setting.threads)
        _show(setting, workload, batches, found, f"ours, {name}", best_rate)
    _check_formula(setting, workload)


def _batches(setting: Setting, workload: Workload) -> list[Batch]:
    runner = _Recording(
        setting.exported, Tokenised(workload), device="cpu", threads=setting.threads
    )
    runner.logits(workload.windows, batch_size=workload.batch)
    found: list[Batch] = runner.__dict__["batches"]
    return found


def _show(
    setting: Setting,
    workload: Workload,
    batches: Sequence[Batch],
    found: _Pass,
    name: str,
    best_rate: float,
) -> None:
    padded = [ids.shape[1] for ids, _ in batches for _ in ids]
    executed = useful_operations(setting.model.config, padded)
    useful = useful_operations(setting.model.config, workload.lengths)
    products = found.kinds.get(_PRODUCTS, 0.0)
    seconds = {
        "useful arithmetic at the best rate": useful / best_rate,
        "(a) matrix products below it": products - executed / best_rate,
        **{f"(b) {kind}": found.kinds[kind] for kind in found.kinds if kind != _PRODUCTS},
        "(c) padding": (executed - useful) / best_rate,
        "(d) calls": found.wall - sum(found.kinds.values()),
    }
    show(
        f"{setting.name}, batch {workload.batch}, {name}: {len(batches)} batches,"
        f" {found.wall * 1000:.4g} ms ({found.unprofiled * 1000:.4g} ms without profiling),"
        f" products at {executed / max(products, 1e-9) / 1e9:.0f} GFLOP/s",
        ["", "ms", "share"],
        [[what, f"{t * 1000:.4g}", f"{t / found.wall:.1%}"] for what, t in seconds.items()],
    )


def _check_formula(setting: Setting, workload: Workload) -> None:
    """Compare the formula of _arithmetic.py with the shapes in ONNX Runtime's profile."""
    single = [workload.tokenizer.pad([row]) for row in workload.rows[:4]]
    counted = _onnxruntime(setting.exported, single, setting.threads).operations or 0
    formula = useful_operations(setting.model.config, workload.lengths[:4])
    print(f"operations counted in the graph / by formula: {counted / formula:.4f}")


def _repeated(run: Callable[[], Any]) -> float:
    """Return the mean seconds of a pass, after one that is not timed."""
    run()
    return mean(time_call(run) for _ in range(_REPEATS))


def _kinds(seconds: Mapping[str, float], passes: int) -> dict[str, float]:
    """Add up operators by kind, the largest first; unknown ones are named if they take 0.5 %."""
    kinds: Counter[str] = Counter()
    for operator, taken in seconds.items():
        small = taken < 0.005 * sum(seconds.values())
        kinds[_KIND_OF.get(operator, "others" if small else operator)] += taken / passes
    return dict((+kinds).most_common())


def _onnxruntime(graph: Path, batches: Sequence[Batch], threads: int) -> _Pass:
    with tempfile.TemporaryDirectory() as folder:
        plain = _session(graph, threads, None)
        unprofiled = _repeated(partial(_run_session, plain, batches))
        del plain
        session = _session(graph, threads, Path(folder) / "profile")
        wall = _repeated(partial(_run_session, session, batches))
        events = json.loads(Path(session.end_profiling()).read_text())
    runs = [event for event in events if event["name"] == "model_run"]
    start = runs[len(batches)]["ts"]  # the first pass warms up
    nodes = [
        event
        for event in events
        if event.get("cat") == "Node"
        and event["name"].endswith("_kernel_time")
        and event["ts"] >= start
    ]
    seconds: Counter[str] = Counter()
    for event in nodes:
        seconds[event["args"]["op_name"]] += event["dur"] / 1e6
    operations = sum(_operations(event["args"]) for event in nodes) // _REPEATS
    return _Pass(wall, unprofiled, _kinds(seconds, _REPEATS), operations)


def _session(graph: Path, threads: int, profile: Path | None) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if profile:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _run_session(session: Any, batches: Sequence[Batch]) -> None:
    for ids, mask in batches:
        session.run(None, {"input_ids": ids, "attention_mask": mask})


def _operations(event: Mapping[str, Any]) -> int:
    """Return the operations of a product from the shapes of its first operand and its result."""
    if _KIND_OF.get(event["op_name"]) != _PRODUCTS:
        return 0
    (left,) = event["input_type_shape"][0].values()
    (result,) = event["output_type_shape"][0].values()
    return int(2 * prod(result) * left[-1])


def _openvino(graph: Path, batches: Sequence[Batch], threads: int) -> _Pass:
    plain, profiled = (_request(graph, threads, count) for count in (False, True))
    unprofiled = _repeated(partial(_run_request, plain, batches))
    _run_request(profiled, batches)
    before = _totals(profiled, len(batches))
    wall = _repeated(partial(_run_request, profiled, batches))
    passes = _REPEATS + 1
    seconds = _totals(profiled, len(batches) * (passes + 1))
    seconds.subtract(before)
    return _Pass(wall, unprofiled, _kinds(seconds, passes), None)


def _request(graph: Path, threads: int, count: bool) -> Any:
    openvino = import_openvino()
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
        "NUM_STREAMS": "1",
        "PERF_COUNT": count,
    }
    return openvino.Core().compile_model(graph, "CPU", settings).create_infer_request()


def _run_request(request: Any, batches: Sequence[Batch]) -> None:
    for ids, mask in batches:
        request.infer({"input_ids": ids, "attention_mask": mask}, share_inputs=True)


def _totals(request: Any, runs: int) -> Counter[str]:
    """Return the seconds of each operator; OpenVINO tells the mean of all runs so far."""
    seconds: Counter[str] = Counter()
    for each in request.profiling_info:
        seconds[each.node_type] += each.real_time.total_seconds() * runs
    return seconds
