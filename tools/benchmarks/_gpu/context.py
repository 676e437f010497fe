"""What the steps share: the device, how much to measure, the prepared data; and their clocks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genoslim.bench.latency import summarise
from genoslim.models.precision import PRECISIONS, Precision

from .prepared import Prepared
from .record import Row, in_a_line


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is measured. `lengths` of attention and `tokens` of training are in tokens."""

    layers: tuple[int, ...] = (12, 3, 6, 9)
    lengths: tuple[int, ...] = (25, 32, 109, 112, 512, 1024, 2048)
    attention_tokens: int = 16384
    tokens: tuple[int, ...] = (128, 25, 512)
    batch: int = 32
    training_steps: int = 10
    frontier: tuple[tuple[int, int], ...] = ((512, 16), (2048, 4))
    batches: tuple[int, ...] = (8, 64, 256, 1024)
    window_tokens: int = 112
    latency_seconds: float = 1.2
    energy_seconds: float = 1.5
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    epochs: int = 4
    side_by_side: tuple[int, ...] = (1, 2, 4, 8)
    small: bool = False


SMALL = Sizes(
    layers=(3, 2),
    lengths=(9, 16),
    attention_tokens=64,
    tokens=(8,),
    batch=4,
    training_steps=3,
    frontier=((16, 2),),
    batches=(4,),
    window_tokens=16,
    latency_seconds=0.02,
    energy_seconds=0.02,
    seeds=(0,),
    epochs=1,
    side_by_side=(1,),
    small=True,
)


@dataclass(frozen=True)
class Context:
    """Where it runs, how much is measured, and on what."""

    device: torch.device
    sizes: Sizes
    prepared: Prepared
    source: Path

    @property
    def cuda(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.type == "cuda"

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """The precisions of torch that this device can compute in."""
        if not self.cuda:
            return ("fp32", "bf16")
        ampere = torch.cuda.get_device_capability(self.device) >= (8, 0)
        return PRECISIONS if ampere else ("fp32", "fp16")

    def synchronise(self) -> None:
        """Wait for the device."""
        if self.cuda:
            torch.cuda.synchronize(self.device)

    def seconds(self, call: Callable[[], Any]) -> float:
        """Return the wall-clock seconds of a call, the device's work included."""
        self.synchronise()
        started = time.perf_counter()
        call()
        self.synchronise()
        return time.perf_counter() - started

    def repeated(self, call: Callable[[], Any], *, seconds: float, most: int = 1000) -> list[float]:
        """Return the times of calls, one after the other until `seconds` are over, 3 at least."""
        times: list[float] = []
        while len(times) < 3 or (sum(times) < seconds and len(times) < most):
            times.append(self.seconds(call))
        return times

    @contextmanager
    def peak(self) -> Iterator[Callable[[], int | None]]:
        """Yield a function that tells the most memory torch held on the GPU since, in bytes."""
        if self.cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
        yield lambda: torch.cuda.max_memory_allocated(self.device) if self.cuda else None

    def attempt(self, row: Row, measure: Callable[[], Row]) -> Row:
        """Return the row with what was measured, or with the error that there was."""
        try:
            return row | measure()
        except Exception as error:  # of a driver, a kernel, a library
            return row | {"error": in_a_line(error)}


class StepClock:
    """Times of training steps, from the callback that a training calls after each.

    On a GPU by CUDA events, so that nothing waits for the device in between.
    """

    def __init__(self, context: Context) -> None:
        self._cuda = context.cuda
        self._marks: list[Any] = []
        self._synchronise = context.synchronise

    def __call__(self, step: int, total: int) -> None:
        """Mark the end of a step."""
        if not self._cuda:
            self._marks.append(time.perf_counter())
            return
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        self._marks.append(event)

    def seconds(self) -> list[float]:
        """Return the time between the ends of steps, one less than there were."""
        self._synchronise()
        pairs = zip(self._marks, self._marks[1:], strict=False)
        if self._cuda:
            return [before.elapsed_time(after) / 1000 for before, after in pairs]
        return [after - before for before, after in pairs]


def summary(times: Sequence[float]) -> Row:
    """Return the percentiles of times in ms: p99 only with 1,000 or more of them."""
    found = summarise(times)
    return {
        "n": found.n,
        "p50_ms": found.p50 * 1000,
        "p95_ms": found.p95 * 1000,
        "p99_ms": None if found.p99 is None else found.p99 * 1000,
        "spread": found.spread,
    }


def random_tokens(rows: int, tokens: int, vocabulary: int) -> Tensor:
    """Return random token ids int64 [rows, tokens], the same ones every time; none is special."""
    generator = torch.Generator().manual_seed(rows)
    return torch.randint(8, vocabulary, (rows, tokens), generator=generator)
