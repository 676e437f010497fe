"""OpenVINO on the plain graph, with whichever of its plain settings is fastest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from _common import interleaved
from _windows import Batch

from genoslim.bundle.sessions import import_openvino

SETTINGS: dict[str, dict[str, str]] = {
    "LATENCY hint": {"PERFORMANCE_HINT": "LATENCY"},
    "THROUGHPUT hint": {"PERFORMANCE_HINT": "THROUGHPUT"},
    "1 stream": {"NUM_STREAMS": "1"},
    "2 streams": {"NUM_STREAMS": "2"},
}
_REPEATS = 2


class OpenVinoPeer:
    """One graph, compiled with every setting."""

    def __init__(self, graph: Path, threads: int) -> None:
        openvino = import_openvino()
        common = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
        core = openvino.Core()
        model = core.read_model(graph)
        self._queues: dict[str, Any] = {
            name: openvino.AsyncInferQueue(core.compile_model(model, "CPU", common | setting))
            for name, setting in SETTINGS.items()
        }

    def best(self, batches: Sequence[Batch]) -> tuple[Callable[[], np.ndarray], str]:
        """Return a call that scores the batches with the fastest setting, and its name."""
        calls = {name: partial(_score, queue, batches) for name, queue in self._queues.items()}
        times = interleaved(calls, _REPEATS)
        name = min(times, key=lambda name: min(times[name]))
        return calls[name], name


def _score(queue: Any, batches: Sequence[Batch]) -> np.ndarray:
    """Hand all batches to the queue, which runs as many at once as it has streams for."""
    found: list[np.ndarray] = [np.empty(0)] * len(batches)

    def keep(request: Any, place: int) -> None:
        found[place] = request.get_output_tensor(0).data.copy()

    queue.set_callback(keep)
    for place, (ids, mask) in enumerate(batches):
        queue.start_async({"input_ids": ids, "attention_mask": mask}, place, share_inputs=True)
    queue.wait_all()
    return np.concatenate(found)
