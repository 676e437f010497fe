"""What a model costs in use, beside its latency: throughput, cold start, energy, hours, money."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .cold_start import ColdStart, measure_cold_starts
from .curves import ThroughputCurves, measure_curves
from .energy import WINDOWS, Counters, Energy, open_counters
from .latency import Range
from .measure import Measurement, rotation
from .meter import Meter
from .process import ModelProcess
from .projection import Projection, project
from .rule import Machine

_SHARE = 0.25
"""Of the seconds of a model's timings, for its energy."""


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What a model costs in use.

    `cold_start` is None where it was not measured (with `--quick`), `energy` where no counter can
    be read; `energy_absent` says why. `projections` are for a million variants and for a genome.
    """

    throughput: ThroughputCurves
    cold_start: ColdStart | None
    energy: Energy | None
    energy_absent: str
    projections: tuple[Projection, ...]


def measure_costs(
    processes: Sequence[ModelProcess],
    measured: Sequence[Measurement],
    windows: Sequence[str],
    machine: Machine,
    *,
    seconds: float,
    starts: int,
    price_per_hour: float | None,
    progress: Callable[[str], None],
) -> list[Costs]:
    """Measure what each model costs; `windows` has one of each model's, for its `starts`."""
    curves = measure_curves(processes, measured, seconds=seconds, progress=progress)
    counters = [open_counters(gpu=not one.on_cpu) for one in measured]
    energies = measure_energy(processes, measured, counters, seconds=seconds, progress=progress)
    subjects = [process.subject for process in processes]
    begun: Sequence[ColdStart | None] = [None] * len(subjects)
    if starts:
        begun = measure_cold_starts(subjects, windows, machine, starts=starts, progress=progress)
    return [
        Costs(
            throughput=curve,
            cold_start=start,
            energy=energy,
            energy_absent=own.absent,
            projections=project(one.end_to_end_by_round, price_per_hour=price_per_hour),
        )
        for one, curve, start, energy, own in zip(
            measured, curves, begun, energies, counters, strict=True
        )
    ]


def measure_energy(
    processes: Sequence[ModelProcess],
    measured: Sequence[Measurement],
    counters: Sequence[Counters],
    *,
    seconds: float,
    progress: Callable[[str], None],
) -> list[Energy | None]:
    """Meter passes over all timed windows, in rounds; None for a model without counters."""
    rounds = len(measured[0].rounds)
    taken: list[list[float]] = [[] for _ in processes]
    if any(own.found for own in counters):
        progress("energy")
    for number in range(rounds):
        for place in rotation(len(processes), number):
            if counters[place].found:
                with counters[place].metered() as energy:
                    passes = processes[place].call(
                        Meter.end_to_end, seconds=seconds * _SHARE / rounds
                    )
                windows = len(passes) * measured[place].windows
                taken[place].append(energy.joules / windows * WINDOWS)
    return [_energy(*each) for each in zip(taken, counters, strict=True)]


def _energy(joules: Sequence[float], counters: Counters) -> Energy | None:
    sources = tuple(counter.name for counter in counters.found)
    return Energy(joules=Range.of(joules), sources=sources) if joules else None
