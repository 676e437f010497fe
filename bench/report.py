"""The files of a benchmark: bench.json, bench.tsv, latency_auroc.png and report.html."""

from __future__ import annotations

import base64
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from .. import __version__
from ..errors import needs_extra
from ..files import write_json, write_text
from .figure import draw, draw_reliability
from .latency import runs_needed, runs_of_mlperf
from .measure import BATCHES
from .plan import PLAN
from .result import BenchResult, to_record
from .rule import FloorChoice
from .table import floor_table, quality_table, speed_table, standing_text, subgroup_table, tsv

RESULT, TABLE, PICTURE, REPORT_FILE = "bench.json", "bench.tsv", "latency_auroc.png", "report.html"
PREDICTIONS, FLIPPED = "predictions.npz", "flipped.tsv"
OUTPUTS = {RESULT, TABLE, PICTURE, REPORT_FILE, PREDICTIONS, FLIPPED, PLAN}


def require_packages(floors: FloorChoice) -> None:
    """Raise GenoslimError unless what draws, renders and fits is there: ask before measuring."""
    needed = {"matplotlib": "the report", "jinja2": "the report"}
    if floors != "none":
        needed["sklearn"] = "fitting floors (--floors none does without)"
    for name, what in needed.items():
        if find_spec(name) is None:
            raise needs_extra(what, name, "train")


def write_report(result: BenchResult, folder: Path) -> None:
    """Write the four files into `folder`."""
    picture = draw(result)
    (folder / PICTURE).write_bytes(picture)
    write_text(folder / TABLE, tsv(result))
    write_text(folder / REPORT_FILE, render(result, picture))
    write_json(folder / RESULT, to_record(result))


def render(result: BenchResult, picture: bytes) -> str:
    """Return the report as one HTML page that needs no other file; all values are escaped."""
    from jinja2 import Environment, StrictUndefined

    template = files(__package__).joinpath("report.html.j2").read_text(encoding="utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(template).render(
        result=result,
        picture=_embedded(picture),
        reliability=_embedded(draw_reliability(result)),
        standing=standing_text(result),
        speed=speed_table(result),
        quality=quality_table(result),
        restricted=_restricted(result),
        batches=" and ".join(map(str, BATCHES)),
        groups=_groups(result),
        floors=floor_table(result),
        subgroups=subgroup_table(result),
        calibration=_calibration(result),
        needed=runs_needed(0.99),
        mlperf=runs_of_mlperf(0.99),
        version=__version__,
    )


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


def _calibration(result: BenchResult) -> list[list[str]]:
    """Return one row a model: temperature, threshold and where they are from."""
    return [
        [
            model.subject.name,
            f"{model.quality.temperature:.4g}",
            f"{model.quality.metrics.threshold:.4f}",
            model.quality.fitted_by,
        ]
        for model in result.models
    ]


def _restricted(result: BenchResult) -> list[str]:
    """Return what must not be used commercially, with its licences."""
    found = [
        f"{model.subject.name} ({', '.join(model.subject.licences)})"
        for model in result.models
        if model.subject.non_commercial
    ]
    return found + [f"the data set ({result.data.licence})"] * result.data.non_commercial


def _embedded(picture: bytes) -> str:
    return base64.b64encode(picture).decode("ascii")
