"""Throughput against batch size and window length: the network alone, in rotated rounds.

Batches of 1, 8 and 64 windows of the model's own length are timed in the main rounds; what is
timed here are the further points, those that are neither too slow nor too large for this machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from ..errors import GenoslimError
from ..workers import DeadWorkerError
from .gpus import free_gpu_memory
from .measure import BATCHES, Measurement, rotation
from .memory import available_memory
from .meter import Meter
from .process import ModelProcess

LARGE_BATCHES = (256, 1024)
LENGTH_BATCH = BATCHES[0]
"""Windows a batch on the curve over window lengths."""
FACTORS = (0.25, 0.5, 2.0, 4.0)
"""Window lengths, as shares of the model's own, which is on both curves."""
SHORTEST = 6
"""Bases of a window, at least: one token of 6-mers."""
MOST_TOKENS = 131_072
"""Of a batch, padding included."""

_SHARE = 0.25
"""Of the seconds of a model's timings, for all further points together."""
_LONGEST_CALL = 0.05
"""Of the same, for one batch, which is run twice and once a round."""


@dataclass(frozen=True, kw_only=True)
class ThroughputPoint:
    """Windows a second at one batch size and window length (bases).

    `windows_per_second` is from the median time of `calls` calls, `low` and `high` the least and
    the greatest of those of the rounds; `tokens` are the batch's longest row.
    """

    batch: int
    window_length: int
    tokens: int
    windows_per_second: float
    low: float
    high: float
    calls: int

    @classmethod
    def of(
        cls, rounds: Sequence[Sequence[float]], *, batch: int, window_length: int, tokens: int
    ) -> ThroughputPoint:
        """Sum up the seconds of calls, by round."""
        rates = [batch / median(times) for times in rounds]
        every = [time for times in rounds for time in times]
        return cls(
            batch=batch,
            window_length=window_length,
            tokens=tokens,
            windows_per_second=batch / median(every),
            low=min(rates),
            high=max(rates),
            calls=len(every),
        )


@dataclass(frozen=True, kw_only=True)
class ThroughputCurves:
    """Throughput over batch sizes (at the model's window length) and over window lengths.

    Both in ascending order; the point at `LENGTH_BATCH` windows of the model's own length is on
    both. `left_out` says of each point that was not measured why.
    """

    by_batch: tuple[ThroughputPoint, ...]
    by_length: tuple[ThroughputPoint, ...]
    left_out: tuple[str, ...]


def measure_curves(
    processes: Sequence[ModelProcess],
    measured: Sequence[Measurement],
    *,
    seconds: float,
    progress: Callable[[str], None],
) -> list[ThroughputCurves]:
    """Time the further points of each model, in as many rounds as the rest, and join the known.

    `seconds` is the time for a model's timings, of which this takes about a quarter more, and
    about twice as much where every batch is nearly too slow. A process that dies of a point is
    started anew, without that point.
    """
    progress("throughput by batch and window length")
    plans = [_Plan.of(*each, seconds=seconds) for each in zip(processes, measured, strict=True)]
    rounds = len(measured[0].rounds)
    taken: list[dict[_Shape, list[list[float]]]]
    taken = [{shape: [] for shape in plan.shapes} for plan in plans]
    lost: list[list[str]] = [[] for _ in plans]
    for number in range(rounds):
        for place in rotation(len(processes), number):
            share = seconds * _SHARE / (rounds * max(len(taken[place]), 1))
            for shape in list(taken[place]):
                try:
                    taken[place][shape].append(shape.time(processes[place], share))
                except DeadWorkerError as error:
                    del taken[place][shape]
                    lost[place].append(f"{shape}: {error}")
                    _start_anew(processes[place], measured[place])
    return [_joined(*each) for each in zip(measured, plans, taken, lost, strict=True)]


def _start_anew(process: ModelProcess, measured: Measurement) -> None:
    """Start a process that died again, with the windows it had, each shape of them run once."""
    process.restart()
    if process.call(Meter.describe).windows < measured.windows:
        process.call(Meter.extend)
    process.call(Meter.warm_up, seconds=0.0)


@dataclass(frozen=True)
class _Shape:
    """A batch to time: so many windows of so many bases, the longest row of so many tokens."""

    batch: int
    length: int
    tokens: int

    @classmethod
    def of(cls, process: ModelProcess, batch: int, length: int) -> _Shape:
        return cls(batch, length, process.call(Meter.tokens, batch, length))

    def work(self, other: _Shape) -> float:
        """Return how many times another's work it is at most: attention grows by the square."""
        ratio = self.batch * self.tokens / (other.batch * other.tokens)
        return ratio * max(1.0, self.tokens / other.tokens)

    def time(self, process: ModelProcess, seconds: float) -> list[float]:
        return process.call(Meter.throughput, batch=self.batch, seconds=seconds, length=self.length)

    def point(self, rounds: Sequence[Sequence[float]]) -> ThroughputPoint:
        return ThroughputPoint.of(
            rounds, batch=self.batch, window_length=self.length, tokens=self.tokens
        )

    def __str__(self) -> str:
        return f"batch {self.batch} of {self.length} bp"


@dataclass(frozen=True)
class _Plan:
    """What was timed of a model before, by batch size, and what is to be timed yet."""

    known: tuple[_Shape, ...]
    shapes: tuple[_Shape, ...]
    left_out: tuple[str, ...]

    @classmethod
    def of(cls, process: ModelProcess, measured: Measurement, *, seconds: float) -> _Plan:
        """Choose the points that this machine can do in the time; each is run once here."""
        own = measured.window_length
        known = tuple(_Shape.of(process, batch, own) for batch in (1, *BATCHES))
        shapes, left_out = [], []
        lengths = [length for factor in FACTORS if (length := round(own * factor)) >= SHORTEST]
        large = ((batch, own) for batch in LARGE_BATCHES)
        other = ((LENGTH_BATCH, each) for each in lengths)
        for batch, length in [*large, *other]:
            try:
                shape = _Shape.of(process, batch, length)
                why = _too_slow(shape, known[-1], measured, seconds)
                if why := why or _too_large(shape.work(known[-1]), process, measured):
                    left_out.append(f"{shape}: {why}")
                    continue
                shape.time(process, 0.0)
            except GenoslimError as error:  # too many tokens for the network, or for the memory
                left_out.append(f"batch {batch} of {length} bp: {error}")
                if isinstance(error, DeadWorkerError):
                    _start_anew(process, measured)
            else:
                shapes.append(shape)
        return cls(known, tuple(shapes), tuple(left_out))


def _too_slow(shape: _Shape, known: _Shape, measured: Measurement, seconds: float) -> str:
    """Say why a batch is not run here, from what the largest `known` one took; "" if it is."""
    if (tokens := shape.batch * shape.tokens) > MOST_TOKENS:
        return f"{tokens:,} tokens, more than {MOST_TOKENS:,}"
    times = shape.work(known)
    one, limit = times * known.batch / measured.throughput(known.batch), seconds * _LONGEST_CALL
    if one > limit:
        return f"would take about {one:.2g} s, more than {limit:.2g} s (--seconds raises that)"
    return ""


def _too_large(times: float, process: ModelProcess, measured: Measurement) -> str:
    """Say which memory a batch of so many `times` the largest known one's work would fill."""
    memory, weights = measured.memory, process.subject.size
    on_card = memory.gpu if memory.cuda_peak is None else memory.cuda_peak
    own = None if memory.loaded is None else memory.peak - memory.loaded
    card = None if measured.on_cpu or on_card is None else max(0, on_card - weights)
    for held, free, where in (
        (own, available_memory(), "are free"),
        (card, free_gpu_memory(), "are free on the GPU"),
    ):
        if held is not None and free is not None and times * held > free / 2:
            needed = f"{times * held / 1e6:.0f} MB of the {free / 1e6:.0f}"
            return f"would need up to {needed} that {where}"
    return ""


def _joined(
    measured: Measurement,
    plan: _Plan,
    taken: Mapping[_Shape, Sequence[Sequence[float]]],
    lost: Sequence[str],
) -> ThroughputCurves:
    single, *larger = plan.known
    known = [single.point([part.model for part in measured.rounds])]
    known += [
        shape.point([part.batches[shape.batch] for part in measured.rounds]) for shape in larger
    ]
    further = [shape.point(rounds) for shape, rounds in taken.items()]
    own = measured.window_length
    by_length = [point for point in (*known, *further) if point.batch == LENGTH_BATCH]
    return ThroughputCurves(
        by_batch=tuple(point for point in (*known, *further) if point.window_length == own),
        by_length=tuple(sorted(by_length, key=lambda point: point.window_length)),
        left_out=(*plan.left_out, *lost),
    )
