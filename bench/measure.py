"""The protocol of the timings: models take turns in rounds, so that drift hits all of them alike.

Each model lives in its own process; one works at a time. After the first call, which is kept
apart, and a warm-up come the rounds. In each, every model is timed at batch 1, at the batch sizes,
and end to end; the order of the models is turned by one from round to round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from .latency import LatencySummary, PairedRatio, paired_ratio, summarise
from .process import ModelProcess

BATCHES = (8, 64)
LEAST_RUNS = 20
"""Batch-1 calls of a model over all rounds, at least, however short the time."""

_WARM_UP, _LATENCY, _BATCH, _END_TO_END = 0.1, 0.4, 0.15, 0.2

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Round:
    """The raw times of one model in one round, in seconds.

    `model` and `whole` are batch-1 calls (the network alone; from variant to logits), pair by
    pair; `batches` the network alone by batch size; `end_to_end` passes over all timed variants.
    """

    model: tuple[float, ...]
    whole: tuple[float, ...]
    batches: dict[int, tuple[float, ...]]
    end_to_end: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes that a model's process held: before and after loading, and at most.

    `peak_batch_1` is the peak up to the end of the warm-up, `peak` that after the largest batch.
    `cuda_peak` is what torch had allocated on the device at most, None where that is not known.
    """

    source: str
    before_loading: int | None
    loaded: int | None
    peak_batch_1: int
    peak: int
    cuda_peak: int | None


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Everything timed of one model."""

    provider: str
    threads: int
    windows: int
    tokens_median: float
    tokens_max: int
    load_seconds: float
    first_seconds: float
    rounds: tuple[Round, ...]
    memory: Memory

    @property
    def latency(self) -> LatencySummary:
        """Batch 1, from variant to logits."""
        return summarise([time for part in self.rounds for time in part.whole])

    @property
    def latency_model(self) -> LatencySummary:
        """Batch 1, the network alone."""
        return summarise([time for part in self.rounds for time in part.model])

    def throughput(self, batch: int) -> float:
        """Return windows a second of the network alone, from the median time of a batch."""
        return batch / median(time for part in self.rounds for time in part.batches[batch])

    @property
    def end_to_end(self) -> float:
        """Variants a second with windows and tokens, from the median time of a pass."""
        return self.windows / median(time for part in self.rounds for time in part.end_to_end)

    def speed_up(self, baseline: Measurement) -> PairedRatio:
        """Return how much faster than the baseline at batch 1, round by round."""
        return paired_ratio(
            [median(part.whole) for part in baseline.rounds],
            [median(part.whole) for part in self.rounds],
        )

    def speed_up_end_to_end(self, baseline: Measurement) -> PairedRatio:
        """Return how much faster than the baseline over many variants, round by round."""
        return paired_ratio(
            [median(part.end_to_end) for part in baseline.rounds],
            [median(part.end_to_end) for part in self.rounds],
        )


def measure(
    processes: Sequence[ModelProcess], *, seconds: float, rounds: int, progress: Progress
) -> list[Measurement]:
    """Load every model and time it for about `seconds` (each step is made once at least)."""
    begun = [_begin(process, seconds, progress) for process in processes]
    taken: list[list[Round]] = [[] for _ in processes]
    for number in range(rounds):
        progress(f"round {number + 1} of {rounds}")
        for place in turns(len(processes), number):
            taken[place].append(_round(processes[place], seconds / rounds, rounds))
    return [
        _finish(process, facts, parts)
        for process, facts, parts in zip(processes, begun, taken, strict=True)
    ]


def turns(count: int, number: int) -> Iterator[int]:
    """Yield the places 0 to count - 1 in the order of one round: each is first in its turn."""
    return ((place + number) % count for place in range(count))


def _begin(process: ModelProcess, seconds: float, progress: Progress) -> dict[str, Any]:
    progress(f"loading {process.subject.name}")
    process.open()
    first = process.call("first")
    process.call("warm_up", seconds=seconds * _WARM_UP)
    return {"first": first, "memory": process.call("memory")}


def _round(process: ModelProcess, seconds: float, rounds: int) -> Round:
    least = -(-LEAST_RUNS // rounds)
    single = process.call("latency", seconds=seconds * _LATENCY, least=least)
    batches = {
        batch: _times(process.call("throughput", batch=batch, seconds=seconds * _BATCH))
        for batch in BATCHES
    }
    passes = process.call("end_to_end", seconds=seconds * _END_TO_END)
    return Round(
        model=_times(single["model"]),
        whole=_times(single["whole"]),
        batches=batches,
        end_to_end=_times(passes),
    )


def _times(seconds: Sequence[float]) -> tuple[float, ...]:
    """Return times to the nanosecond, which is what the clock can tell."""
    return tuple(round(time, 9) for time in seconds)


def _finish(process: ModelProcess, begun: dict[str, Any], rounds: list[Round]) -> Measurement:
    early, late = begun["memory"], process.call("memory")
    return Measurement(
        **process.call("describe"),
        first_seconds=begun["first"],
        rounds=tuple(rounds),
        memory=Memory(
            source=late["source"],
            before_loading=late["before_loading"],
            loaded=late["loaded"],
            peak_batch_1=early["peak"],
            peak=late["peak"],
            cuda_peak=late["cuda_peak"],
        ),
    )
