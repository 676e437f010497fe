"""The protocol of the timings: in interleaved rounds, so that drift hits all models alike.

Each model lives in its own process; one works at a time. After the first call, which is kept
apart, and a warm-up come the rounds. In each, every model is timed at batch 1, at the batch sizes,
and end to end; the order of the models is rotated by one from round to round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from .latency import LatencySummary, PairedRatio, Range, paired_ratio, summarise
from .memory import MemoryUse
from .meter import Meter
from .process import ModelProcess

BATCHES = (8, 64)
LEAST_RUNS = 20
"""Batch-1 calls of a model over all rounds, at least, however short the time."""

_WARM_UP, _LATENCY, _BATCH, _END_TO_END = 0.1, 0.4, 0.15, 0.2


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
    `cuda_peak` is what torch had allocated on the device at most, `gpu` what the process held there
    at the end as NVML tells it, CUDA's own included (ONNX Runtime gives nothing back before); None
    on a CPU and where they are not known.
    """

    source: str
    before_loading: int | None
    loaded: int | None
    peak_batch_1: int
    peak: int
    cuda_peak: int | None
    gpu: int | None = None


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Everything timed of one model, on `windows` windows of `window_length` bases."""

    provider: str
    threads: int
    windows: int
    window_length: int
    tokens_median: float
    tokens_max: int
    load_seconds: float
    first_seconds: float
    rounds: tuple[Round, ...]
    memory: Memory

    @property
    def on_cpu(self) -> bool:
        """Whether the processor computed it."""
        return self.provider in ("cpu", "CPU", "CPUExecutionProvider")

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

    @property
    def end_to_end_by_round(self) -> Range:
        """The same by round."""
        return Range.of([self.windows / median(part.end_to_end) for part in self.rounds])

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
    processes: Sequence[ModelProcess],
    *,
    seconds: float,
    rounds: int,
    progress: Callable[[str], None],
) -> list[Measurement]:
    """Load every model and time it for about `seconds` (each step is made once at least)."""
    begun = [_begin(process, seconds, progress) for process in processes]
    if all(one.on_gpu for one in begun):
        for process in processes:
            process.call(Meter.extend)
    taken: list[list[Round]] = [[] for _ in processes]
    for number in range(rounds):
        progress(f"round {number + 1} of {rounds}")
        for place in rotation(len(processes), number):
            taken[place].append(_round(processes[place], seconds / rounds, rounds))
    return [
        _finish(process, facts, parts)
        for process, facts, parts in zip(processes, begun, taken, strict=True)
    ]


def rotation(count: int, shift: int) -> Iterator[int]:
    """Yield the places 0 to count - 1, beginning at `shift`: in `count` rounds each is first."""
    return ((place + shift) % count for place in range(count))


@dataclass(frozen=True)
class _Begun:
    """What is known of a model before its first round."""

    first_seconds: float
    memory: MemoryUse
    on_gpu: bool


def _begin(process: ModelProcess, seconds: float, progress: Callable[[str], None]) -> _Begun:
    progress(f"loading {process.subject.name}")
    first = process.call(Meter.first)
    process.call(Meter.warm_up, seconds=seconds * _WARM_UP)
    return _Begun(first, process.call(Meter.memory), process.call(Meter.on_gpu))


def _round(process: ModelProcess, seconds: float, rounds: int) -> Round:
    least = -(-LEAST_RUNS // rounds)
    single = process.call(Meter.latency, seconds=seconds * _LATENCY, least=least)
    batches = {
        batch: _times(process.call(Meter.throughput, batch=batch, seconds=seconds * _BATCH))
        for batch in BATCHES
    }
    passes = process.call(Meter.end_to_end, seconds=seconds * _END_TO_END)
    return Round(
        model=_times(single.model),
        whole=_times(single.whole),
        batches=batches,
        end_to_end=_times(passes),
    )


def _times(seconds: Sequence[float]) -> tuple[float, ...]:
    """Return times to the nanosecond, which is what the clock can tell."""
    return tuple(round(time, 9) for time in seconds)


def _finish(process: ModelProcess, begun: _Begun, rounds: list[Round]) -> Measurement:
    loaded, late = process.call(Meter.describe), process.call(Meter.memory)
    return Measurement(
        provider=loaded.provider,
        threads=loaded.threads,
        windows=loaded.windows,
        window_length=loaded.window_length,
        tokens_median=loaded.tokens_median,
        tokens_max=loaded.tokens_max,
        load_seconds=loaded.load_seconds,
        first_seconds=begun.first_seconds,
        rounds=tuple(rounds),
        memory=Memory(
            source=late.source,
            before_loading=loaded.resident_before,
            loaded=loaded.resident_after,
            peak_batch_1=begun.memory.peak,
            peak=late.peak,
            cuda_peak=process.call(Meter.cuda_peak),
            gpu=process.call(Meter.gpu_memory),
        ),
    )
