"""The files of a benchmark: bench.json, bench.tsv, latency_auroc.png, report.html and report.md."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from ..data.simulate import ASSEMBLY as SIMULATED
from ..errors import GenoslimError, needs_extra
from ..files import write_json, write_text
from ..pages.page import render
from ..pages.plots import Plot, png
from ..prune.frontier import FRONTIER_FILE, Frontier
from ..prune.frontier_plots import frontier_plots
from .answer import answer
from .gpus import Gpu
from .latency import runs_needed, runs_of_mlperf
from .measure import BATCHES
from .plan import PLAN
from .plots import bench_plots, latency_auroc
from .result import BenchResult, to_record
from .rule import FloorChoice
from .table import (
    floor_table,
    model_table,
    quality_table,
    speed_table,
    standing_lines,
    subgroup_table,
    tsv,
)
from .trace import HEADS, PREDICTIONS_TRACE

_LOG = logging.getLogger(__name__)

RESULT, TABLE, PICTURE = "bench.json", "bench.tsv", "latency_auroc.png"
REPORT_FILE, MARKDOWN = "report.html", "report.md"
PREDICTIONS, FLIPPED = "predictions.npz", "flipped.tsv"
OUTPUTS = {RESULT, TABLE, PICTURE, REPORT_FILE, MARKDOWN, PREDICTIONS, FLIPPED, PLAN}
SCHEMA = "docs/schemas/bench.schema.json"


def require_packages(floors: FloorChoice) -> None:
    """Raise GenoslimError unless what draws, renders and fits is there: ask before measuring."""
    needed = {"vl_convert": "the report", "jinja2": "the report"}
    if floors != "none":
        needed["sklearn"] = "fitting floors (--floors none does without)"
    for name, what in needed.items():
        if find_spec(name) is None:
            raise needs_extra(what, name, "train")


def write_report(result: BenchResult, folder: Path) -> None:
    """Write the five files into `folder`."""
    (folder / PICTURE).write_bytes(png(latency_auroc(result)))
    write_text(folder / TABLE, tsv(result))
    plots = [*bench_plots(result), *_frontier(result)]
    write_text(folder / REPORT_FILE, _rendered("bench/report.html.j2", result, plots))
    write_text(folder / MARKDOWN, _rendered("bench/report.md.j2", result))
    write_json(folder / RESULT, to_record(result))


def _rendered(template: str, result: BenchResult, plots: Sequence[Plot] = ()) -> str:
    return render(
        template,
        plots=plots,
        result=result,
        answer=answer(result),
        simulated=result.data.assembly == SIMULATED,
        standing="; ".join(standing_lines(result)),
        summary=model_table(result),
        speed=speed_table(result),
        quality=quality_table(result),
        restricted=_restricted(result),
        batches=" and ".join(map(str, BATCHES)),
        groups=_groups(result),
        floors=floor_table(result),
        subgroups=subgroup_table(result),
        environment=_environment(result),
        trace_heads=HEADS,
        trace=PREDICTIONS_TRACE,
        schema=SCHEMA,
        needed=runs_needed(0.99),
        mlperf=runs_of_mlperf(0.99),
    )


def _frontier(result: BenchResult) -> list[Plot]:
    """Return the plots of the frontier that goes with the models: that beside their folders."""
    folders = dict.fromkeys(model.subject.path.resolve().parent for model in result.models)
    for path in (folder / FRONTIER_FILE for folder in folders):
        if path.is_file():
            try:
                return list(frontier_plots(Frontier.read(path), str(path)))
            except GenoslimError as error:
                _LOG.warning("the page has no frontier: %s", error)
    return []


def _environment(result: BenchResult) -> str:
    """Return the machine, the versions and the providers in words."""
    place = result.environment
    memory = "memory unknown" if place.memory is None else f"{place.memory / 2**30:.1f} GiB"
    versions = (f"{name} {version}" for name, version in place.versions.items())
    parts = [
        place.processor,
        f"{place.cores} usable cores ({', '.join(place.features) or 'no known vector features'})",
        memory,
        *map(_gpu, place.gpus),
        place.system,
        f"Python {place.python}",
        *versions,
    ]
    threads = ", ".join(str(model.measurement.threads) for model in result.models)
    providers = ", ".join(place.providers) or "none"
    return f"{', '.join(parts)}; threads: {threads}; ONNX Runtime providers that load: {providers}."


def _gpu(card: Gpu) -> str:
    memory = "memory unknown" if card.memory is None else f"{card.memory / 2**30:.0f} GiB"
    return f"{card.name} ({memory}, driver {card.driver})"


class _Groups(NamedTuple):
    """A table of the AUROC within each group, and the groups without one."""

    header: list[str]
    rows: list[list[str]]
    skipped: tuple[str, ...]


def _groups(result: BenchResult) -> _Groups | None:
    """Return the AUROC of each group by model, None without groups."""
    first = result.baseline.quality.by_group
    if first is None:
        return None
    names = [model.subject.name for model in result.models]
    found = [model.quality.by_group for model in result.models]
    rows = [
        [name, *(f"{of.per_group[name]:.4f}" if of else "-" for of in found)]
        for name in first.per_group
    ]
    return _Groups(["group", *names], rows, first.skipped)


def _restricted(result: BenchResult) -> list[str]:
    """Return what must not be used commercially, with its licences."""
    found = [
        f"{model.subject.name} ({', '.join(model.subject.licences)})"
        for model in result.models
        if model.subject.non_commercial
    ]
    return found + [f"the data set ({result.data.licence})"] * result.data.non_commercial
