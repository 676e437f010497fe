"""What models cost, as figures for the tables: training, throughput, cold start, energy, hours."""

from __future__ import annotations

from collections.abc import Iterator

from ..models.record import TrainingCost
from ..tables import table
from .cold_start import ColdStart
from .costs import Costs
from .curves import LARGE_BATCHES, ThroughputPoint
from .figures import Figures, Value, rate
from .latency import Range
from .projection import GENOME, MILLION, Projection
from .result import BenchResult, ModelResult

_NAMES = {MILLION: "a million variants", GENOME: "a genome (4.5 million variants)"}
_SHORT = {MILLION: "million", GENOME: "genome"}
_PARTS = {
    "interpreter": "the interpreter",
    "imports": "imports",
    "load": "loading",
    "first": "the first prediction",
}


def cost_values(model: ModelResult, result: BenchResult) -> dict[str, Value]:
    """Return every figure of what a model costs by column name; None for what is not known."""
    costs = model.costs
    return {
        **_training_values(model, result.baseline),
        **_batch_values(costs),
        **_range_values("cold_start_s", costs.cold_start.total if costs.cold_start else None),
        **{f"cold_start_{part}_s": _part(costs.cold_start, part) for part in _PARTS},
        **_range_values("joules_per_1000_windows", costs.energy.joules if costs.energy else None),
        **{
            name: value
            for one in costs.projections
            for what, found in (("hours", one.hours), ("cost", one.cost))
            for name, value in _range_values(f"{what}_{_SHORT[one.variants]}", found).items()
        },
        "currency": result.settings.currency,
    }


def _training_values(model: ModelResult, baseline: ModelResult) -> dict[str, Value]:
    cost = model.subject.training
    return {
        "fine_tune_seconds": model.subject.fine_tune_seconds,
        "fine_tune_speed_up": training_speed_up(cost, baseline.subject.training),
        "fine_tune_epochs": cost.epochs if cost else None,
        "fine_tune_best_epoch": cost.best_epoch if cost else None,
        "fine_tune_converged_epoch": cost.converged_epoch if cost else None,
        "fine_tune_sequences_per_s": cost.sequences_per_second if cost else None,
        "fine_tune_device": cost.device if cost else None,
        "fine_tune_threads": cost.threads if cost else None,
    }


def _batch_values(costs: Costs) -> dict[str, Value]:
    found = {point.batch: point.windows_per_second for point in costs.throughput.by_batch}
    return {f"windows_per_s_batch_{batch}": found.get(batch) for batch in (1, *LARGE_BATCHES)}


def _range_values(name: str, found: Range | None) -> dict[str, Value]:
    return {
        name: found.median if found else None,
        f"{name}_low": found.low if found else None,
        f"{name}_high": found.high if found else None,
    }


def _part(start: ColdStart | None, part: str) -> float | None:
    found: Range | None = getattr(start, part, None)
    return found.median if found else None


def training_speed_up(own: TrainingCost | None, other: TrainingCost | None) -> float | None:
    """Return how many times as many sequences a second one training did as another.

    None unless both are on record, from the same processor, GPU, threads and precision. Records of
    before the processor was noted do not tell.
    """
    if own is None or other is None or own.processor is None or _setting(own) != _setting(other):
        return None
    return own.sequences_per_second / other.sequences_per_second


def _setting(cost: TrainingCost) -> tuple[str | int | None, ...]:
    device = cost.device.partition(":")[0]
    return device, cost.processor, cost.gpu, cost.threads, cost.precision


def cost_figures(model: ModelResult, result: BenchResult) -> Figures:
    """Return what a model costs for people."""
    costs = model.costs
    return {
        **dict(_training_figures(model, result.baseline)),
        **dict(_throughput_figures(costs)),
        **dict(_start_figures(costs.cold_start)),
        "J for 1,000 windows": _energy(costs),
        **{
            name: (figure, "costs.projections")
            for one in costs.projections
            for name, figure in _projected(one, result.settings.currency)
        },
    }


_Named = Iterator[tuple[str, tuple[str, str]]]


def _training_figures(model: ModelResult, baseline: ModelResult) -> _Named:
    seconds, cost = model.subject.fine_tune_seconds, model.subject.training
    key = "subject.training"
    told = "not recorded" if seconds is None else f"{seconds:.4g}"
    yield "fine-tuning, s", (told, "subject.fine_tune_seconds")
    if cost is None:
        return
    ratio = training_speed_up(cost, baseline.subject.training)
    speed_up = "" if ratio is None else f", {ratio:.2f}x the baseline's"
    told = f"{rate(cost.sequences_per_second)} ({cost.device}, threads: {cost.threads}){speed_up}"
    yield "fine-tuning, sequences/s", (told, f"{key}.sequences_per_second")
    yield "fine-tuning, epochs", (f"{cost.epochs:g}", f"{key}.epochs")
    yield (
        "fine-tuning, epochs to the lowest validation loss",
        (_epochs(cost.best_epoch), f"{key}.best_epoch"),
    )
    yield (
        f"fine-tuning, epochs to within {cost.tolerance:.0%} of it (converged)",
        (_epochs(cost.converged_epoch), f"{key}.converged_epoch"),
    )


def _epochs(epochs: float | None) -> str:
    return "-" if epochs is None else f"{epochs:g}"


def _throughput_figures(costs: Costs) -> _Named:
    curves = costs.throughput
    for point in curves.by_batch:
        if point.batch in LARGE_BATCHES:
            name = f"windows/s at batch {point.batch}, network alone"
            yield name, (_point(point), "costs.throughput.by_batch")
    for point in curves.by_length:
        name = f"windows/s at batch {point.batch} of {point.window_length} bp, network alone"
        yield name, (_point(point), "costs.throughput.by_length")


def _point(point: ThroughputPoint) -> str:
    return f"{rate(point.windows_per_second)} ({rate(point.low)} to {rate(point.high)})"


def _start_figures(start: ColdStart | None) -> _Named:
    key = "costs.cold_start"
    if start is None:
        yield "cold start to the first prediction, s", ("not measured (--quick)", key)
        return
    yield "cold start to the first prediction, s", (spread(start.total), f"{key}.total")
    for part, name in _PARTS.items():
        yield f"of that {name}, s", (spread(getattr(start, part)), f"{key}.{part}")


def _energy(costs: Costs) -> tuple[str, str]:
    if costs.energy is None:
        return costs.energy_absent, "costs.energy_absent"
    sources = ", ".join(costs.energy.sources)
    return f"{spread(costs.energy.joules)}: {sources}", "costs.energy.joules"


def _projected(one: Projection, currency: str | None) -> Iterator[tuple[str, str]]:
    yield f"hours for {_NAMES[one.variants]}", spread(one.hours)
    if one.cost is not None:
        yield f"{currency or 'cost'} for {_NAMES[one.variants]}", spread(one.cost)


def cost_table(result: BenchResult) -> str:
    """Return what fits a terminal of what the models cost, aligned."""
    priced = result.settings.price_per_hour is not None
    heads = ["model", "trained s", "epochs", "start s", "J/1k"]
    heads += ["h/million", "h/genome", *([f"{result.settings.currency or 'cost'}/genome"] * priced)]
    return table(heads, [_cost_row(model) for model in result.models])


def _cost_row(model: ModelResult) -> list[str]:
    costs, cost = model.costs, model.subject.training
    seconds = model.subject.fine_tune_seconds
    genome = costs.projections[-1]
    return [
        model.subject.name,
        "" if seconds is None else f"{seconds:.4g}",
        _epochs(cost.converged_epoch) if cost else "",
        short(costs.cold_start.total) if costs.cold_start else "",
        short(costs.energy.joules) if costs.energy else "",
        *(short(one.hours) for one in costs.projections),
        *([short(genome.cost)] if genome.cost else []),
    ]


def spread(found: Range) -> str:
    """Return a median with the least and the greatest value."""
    return f"{found.median:.3g} ({found.low:.3g} to {found.high:.3g})"


def short(found: Range) -> str:
    """Return the median alone."""
    return f"{found.median:.3g}"
