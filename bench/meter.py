"""What is measured of one model, step by step, inside its own process."""

from __future__ import annotations

import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .backends import Runner, open_runner
from .latency import time_call, until
from .memory import memory_use
from .subjects import Backend
from .workload import Workload

LEAST_CALLS = 3
"""Warm-up calls, at least; the shortest and the longest windows are among them."""


MOST_CALLS = 2000
"""Batch-1 calls in one round, at most: so many times are kept raw."""


class Meter:
    """One loaded model and the windows it is timed on; close it when done.

    Times are in seconds, memory in bytes. Every method returns plain JSON values.
    """

    def __init__(
        self, path: str, backend: Backend, *, device: str, threads: int | None, workload: str
    ) -> None:
        self._started = memory_use()
        start = time.perf_counter()
        self._runner: Runner = open_runner(Path(path), backend, device=device, threads=threads)
        self._load_seconds = time.perf_counter() - start
        self._loaded = memory_use()
        self._workload = Workload(Path(workload))
        self._numbers = itertools.count()
        self._batches: dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}

    def close(self) -> None:
        """Close the files of the workload."""
        self._workload.close()

    def describe(self) -> dict[str, Any]:
        """Return what it runs on, how long loading took, and the tokens of the timed windows."""
        lengths = [len(row) for row in self._runner.tokenizer.encode(self._workload.windows())]
        return {
            "provider": self._runner.provider,
            "threads": self._runner.threads,
            "load_seconds": self._load_seconds,
            "windows": len(self._workload),
            "tokens_median": float(np.median(lengths)),
            "tokens_max": max(lengths),
        }

    def first(self) -> float:
        """Return the time of the very first call after loading, from variant to logits."""
        model, rest = self._one(0)
        return model + rest

    def warm_up(self, seconds: float) -> int:
        """Run until `seconds` have passed, all window lengths mixed; returns the calls made."""
        windows = self._workload.windows()
        rows = sorted(self._runner.tokenizer.encode(windows), key=len)
        tour = itertools.cycle([rows[0], rows[-1], *rows[1:-1]])
        steps = until(seconds, tour, least=LEAST_CALLS, clock=time.perf_counter)
        return sum(1 for row in steps if self._runner.run(*self._runner.tokenizer.pad([row])).size)

    def latency(self, seconds: float, least: int) -> dict[str, list[float]]:
        """Time one variant at a time: the model alone, and all from variant to logits."""
        model: list[float] = []
        whole: list[float] = []
        numbers = itertools.islice(self._numbers, MOST_CALLS)
        for number in until(seconds, numbers, least=least, clock=time.perf_counter):
            run, rest = self._one(number)
            model.append(run)
            whole.append(run + rest)
        return {"model": model, "whole": whole}

    def throughput(self, batch: int, seconds: float) -> list[float]:
        """Time the model alone on one batch of windows of about the median token length."""
        ids, mask = self._batch(batch)
        steps = until(seconds, itertools.repeat(None), clock=time.perf_counter)
        return [time_call(self._runner.run, ids, mask) for _ in steps]

    def end_to_end(self, seconds: float) -> list[float]:
        """Time all variants of the workload together: windows, tokens and model."""
        steps = until(seconds, itertools.repeat(None), clock=time.perf_counter)
        return [time_call(self._score_all) for _ in steps]

    def memory(self) -> dict[str, Any]:
        """Return what this process holds at most so far; on CUDA, torch's own count beside it."""
        now = memory_use()
        return {
            "source": now.source,
            "before_loading": self._started.resident,
            "loaded": self._loaded.resident,
            "peak": now.peak,
            "cuda_peak": cuda_peak(),
        }

    def logits(self, sequences: str, target: str) -> int:
        """Score the sequences of a JSON file and save float32 [n, labels] as .npy; returns n."""
        wanted: list[str] = json.loads(Path(sequences).read_text(encoding="utf-8"))
        found = self._runner.logits(wanted)
        np.save(target, found)
        return len(found)

    def _one(self, number: int) -> tuple[float, float]:
        """Score one variant; returns the seconds of the model, and those of all the rest."""
        tokenizer = self._runner.tokenizer
        start = time.perf_counter()
        ids, mask = tokenizer.pad(tokenizer.encode([self._workload.window(number)]))
        ready = time.perf_counter()
        self._runner.run(ids, mask)
        return time.perf_counter() - ready, ready - start

    def _batch(self, size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return `size` windows around the median token length, padded to the longest of them."""
        if size not in self._batches:
            rows = sorted(self._runner.tokenizer.encode(self._workload.windows()), key=len)
            first = max(0, (len(rows) - size) // 2)
            chosen = [rows[(first + step) % len(rows)] for step in range(size)]
            self._batches[size] = self._runner.tokenizer.pad(chosen)
        return self._batches[size]

    def _score_all(self) -> None:
        self._runner.logits(self._workload.windows())


def cuda_peak() -> int | None:
    """Return torch's peak of allocated CUDA memory in bytes, None if torch uses no CUDA here."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    return int(torch.cuda.max_memory_allocated())
