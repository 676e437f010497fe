"""Compare the backends on one bundle: their speed, and how far their logits differ.

`choice.py` has it done in a process of its own.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np

from ..errors import GenoslimError
from ..models.tokenizer import SequenceTokenizer
from .manifest import GRAPH
from .runner import GraphRunner, random_windows
from .sessions import BACKENDS, ChosenBackend

__all__ = ["ADVANTAGE", "TOLERANCE", "BackendComparison", "compare_backends"]

TOLERANCE = 1e-4
"""What the logits of the two may differ by."""

ADVANTAGE = 1.03
"""How much faster OpenVINO must be to be taken: it loads slower and holds more memory."""

_SECONDS, _LEAST_ROUNDS, _MOST_ROUNDS = 1.5, 3, 20
_PASS, _PAUSE = 0.1, 0.05
_PARTS = 4


@dataclass(frozen=True, kw_only=True)
class BackendComparison:
    """Both backends on the same windows: windows a second, and how far their logits differ."""

    onnxruntime: float
    openvino: float
    difference: float

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 <= value < math.inf:
                raise GenoslimError(f"{name} is {value!r}; expected a number, 0 or more")

    @property
    def exact(self) -> bool:
        """Whether the logits agree."""
        return self.difference <= TOLERANCE

    @property
    def faster(self) -> ChosenBackend:
        """The backend to take if both are exact."""
        return BACKENDS[self.openvino >= ADVANTAGE * self.onnxruntime]


def compare_backends(folder: Path, length: int, threads: int) -> BackendComparison:
    """Time both backends, interleaved, on the same random windows of `length` bases.

    The windows fill two batches as the runtime makes them. Logits are compared on these and on one
    padded batch of windows cut to all, 3/4, 1/2 and 1/4 of their length.
    """
    tokenizer = SequenceTokenizer.from_folder(folder)
    runners = [
        GraphRunner(folder / GRAPH, tokenizer, device="cpu", threads=threads, backend=backend)
        for backend in BACKENDS
    ]
    for runner in runners:
        runner.warm_up(length)
    (row,) = tokenizer.encode(random_windows(length, 1))
    windows = random_windows(length, 2 * max(_PARTS, runners[0].batch_tokens // len(row)))
    rates = [len(windows) / seconds for seconds in _times(runners, windows)]
    return BackendComparison(
        **dict(zip(BACKENDS, rates, strict=True)), difference=_difference(runners, windows)
    )


def _times(runners: Sequence[GraphRunner], windows: Sequence[str]) -> list[float]:
    """Return the median seconds of each for all windows; another one begins every round."""
    times: dict[GraphRunner, list[float]] = {runner: [] for runner in runners}
    begun = time.perf_counter()
    for number in range(_MOST_ROUNDS):
        if number >= _LEAST_ROUNDS and time.perf_counter() - begun > _SECONDS:
            break
        for runner in runners[:: 1 if number % 2 else -1]:
            times[runner] += _passes(runner, windows)
    return [median(own) for own in times.values()]


def _passes(runner: GraphRunner, windows: Sequence[str]) -> list[float]:
    """Return the seconds of one pass after another.

    Threads wait for their next work with a busy loop: without the pause, those of the other
    backend would still take the cores (at 64 wide, half of OpenVINO's speed).
    """
    time.sleep(_PAUSE)
    found: list[float] = []
    while sum(found) < _PASS:
        start = time.perf_counter()
        runner.logits(windows)
        found.append(time.perf_counter() - start)
    return found


def _difference(runners: Sequence[GraphRunner], windows: Sequence[str]) -> float:
    """Return the largest difference of any logit; the largest number there is for a NaN."""
    cut = [
        window[: max(1, len(window) * (_PARTS - place % _PARTS) // _PARTS)]
        for place, window in enumerate(windows[: len(windows) // 2])
    ]
    tokenizer = runners[0].tokenizer
    padded = tokenizer.pad(tokenizer.encode(cut))
    first, second = (
        np.concatenate([runner.logits(windows), runner.run(*padded)]) for runner in runners
    )
    largest = float(np.finfo(np.float32).max)
    return float(np.nan_to_num(np.abs(first - second), nan=largest, posinf=largest).max())
