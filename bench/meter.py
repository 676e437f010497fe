"""What is measured of one model, step by step, inside its own process."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..models.precision import Precision
from .backends import Ids, Logits, Runner, open_runner
from .gpus import gpu_memory
from .latency import time_call, until
from .memory import MemoryUse, memory_use
from .subjects import Subject
from .workload import Workload

_WAKE_SECONDS = 0.3
"""In which the clocks of a GPU that idled have risen."""

MOST_CALLS = 2000
"""Batch-1 calls in one round, at most: so many times are kept raw."""


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """What a model runs on, what loading it took, and the tokens of the timed windows."""

    provider: str
    threads: int
    load_seconds: float
    resident_before: int | None
    resident_after: int | None
    windows: int
    window_length: int
    tokens_median: float
    tokens_max: int


@dataclass(frozen=True, kw_only=True)
class CallTimes:
    """Times of batch-1 calls, pair by pair: the network alone, and from variant to logits."""

    model: list[float]
    whole: list[float]


class Meter:
    """One loaded model and the windows it is timed on.

    Times are in seconds, memory in bytes.
    """

    def __init__(
        self,
        subject: Subject,
        *,
        device: str,
        threads: int | None,
        workload: Path,
        precision: Precision = "fp32",
    ) -> None:
        self._before = memory_use()
        start = time.perf_counter()
        self._runner: Runner = open_runner(
            subject, device=device, threads=threads, precision=precision
        )
        self._load_seconds = time.perf_counter() - start
        self._after = memory_use()
        self._workload = Workload(workload)
        self._numbers = itertools.count()
        self._batches: dict[tuple[int, int], tuple[Ids, Ids]] = {}
        self._warm: set[tuple[int, ...]] = set()

    def close(self) -> None:
        """Close the files of the workload."""
        self._workload.close()

    def describe(self) -> LoadedModel:
        """Return what is known without timing anything more."""
        lengths = [len(row) for row in self._runner.tokenizer.encode(self._workload.windows())]
        return LoadedModel(
            provider=self._runner.provider,
            threads=self._runner.threads,
            load_seconds=self._load_seconds,
            resident_before=self._before.resident,
            resident_after=self._after.resident,
            windows=len(self._workload),
            window_length=self._workload.length,
            tokens_median=float(np.median(lengths)),
            tokens_max=max(lengths),
        )

    def on_gpu(self) -> bool:
        """Whether a GPU computes."""
        return self._runner.on_gpu

    def extend(self) -> None:
        """Take in the further variants of the workload, and run all once, untimed."""
        self._workload.extend()
        self._score_all()

    def first(self) -> float:
        """Return the time of the very first call after loading, from variant to logits."""
        model, rest = self._one(0)
        return model + rest

    def warm_up(self, seconds: float) -> int:
        """Run single windows, of each shape one and for `seconds`; returns how many."""
        rows = self._runner.tokenizer.encode(self._workload.windows())
        batches = [self._runner.pad([row]) for row in rows]
        shapes = {ids.shape: (ids, mask) for ids, mask in batches}
        tour = itertools.chain(shapes.values(), itertools.cycle(batches))
        steps = until(seconds, tour, least=len(shapes), clock=time.perf_counter)
        return sum(1 for ids, mask in steps if self._runner.run(ids, mask).size)

    def latency(self, seconds: float, least: int) -> CallTimes:
        """Time one variant at a time: the model alone, and all from variant to logits."""
        if self._runner.on_gpu:
            self._wake()
        model: list[float] = []
        whole: list[float] = []
        numbers = itertools.islice(self._numbers, MOST_CALLS)
        for number in until(seconds, numbers, least=least, clock=time.perf_counter):
            run, rest = self._one(number)
            model.append(run)
            whole.append(run + rest)
        return CallTimes(model=model, whole=whole)

    def tokens(self, batch: int, length: int) -> int:
        """Return the tokens of the longest row of a batch of windows of `length` bases."""
        ids, _ = self._batch(batch, length)
        return int(ids.shape[1])

    def throughput(self, batch: int, seconds: float, length: int | None = None) -> list[float]:
        """Time the model alone on one batch of windows of about the median token length.

        `length` is that of the windows in bases, by default their own. The first call on batches of
        this shape is not timed.
        """
        ids, mask = self._batch(batch, length or self._workload.length)
        if ids.shape not in self._warm:
            self._runner.run(ids, mask)
            self._warm.add(ids.shape)
        steps = until(seconds, itertools.repeat(None), clock=time.perf_counter)
        return [time_call(self._runner.run, ids, mask) for _ in steps]

    def end_to_end(self, seconds: float) -> list[float]:
        """Time all variants of the workload together: windows, tokens and model."""
        steps = until(seconds, itertools.repeat(None), clock=time.perf_counter)
        return [time_call(self._score_all) for _ in steps]

    def memory(self) -> MemoryUse:
        """Return what this process holds, and has held at most so far."""
        return memory_use()

    def cuda_peak(self) -> int | None:
        """Return torch's peak of allocated CUDA memory, None if torch uses no CUDA here."""
        torch = sys.modules.get("torch")
        if torch is None or not torch.cuda.is_initialized():
            return None
        return int(torch.cuda.max_memory_allocated())

    def gpu_memory(self) -> int | None:
        """Return what this process holds on GPUs; None on a CPU, and where that is not told."""
        return gpu_memory() if self._runner.on_gpu else None

    def logits(self, sequences: Sequence[str]) -> Logits:
        """Return the logits of any sequences, float32 [n, labels]."""
        return self._runner.logits(sequences)

    def _one(self, number: int) -> tuple[float, float]:
        """Score one variant; returns the seconds of the model, and those of all the rest."""
        tokenizer = self._runner.tokenizer
        start = time.perf_counter()
        ids, mask = self._runner.pad(tokenizer.encode([self._workload.window(number)]))
        ready = time.perf_counter()
        self._runner.run(ids, mask)
        return time.perf_counter() - ready, ready - start

    def _batch(self, size: int, length: int) -> tuple[Ids, Ids]:
        """Return `size` windows around the median token length, padded to the longest of them."""
        if (size, length) not in self._batches:
            windows = self._workload.windows_of(length)
            rows = sorted(self._runner.tokenizer.encode(windows), key=len)
            first = max(0, (len(rows) - size) // 2)
            chosen = [rows[(first + step) % len(rows)] for step in range(size)]
            self._batches[size, length] = self._runner.pad(chosen)
        return self._batches[size, length]

    def _wake(self) -> None:
        """Keep a GPU busy for a while: a call of one window would not raise its clocks."""
        ids, mask = self._batch(1, self._workload.length)
        for _ in until(_WAKE_SECONDS, itertools.repeat(None), clock=time.perf_counter):
            self._runner.run(ids, mask)

    def _score_all(self) -> None:
        self._runner.logits(self._workload.windows())
