"""The report of a sweep or of its slim models: one HTML file that needs nothing else."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2

from ..codec import plain
from ..files import write_text
from .console import BANDS
from .frontier import Frontier
from .frontier_figure import draw
from .frontier_table import FRONTIER_HEADS, frontier_rows
from .heat_map import heat_maps
from .measure import MEASURES, SPLITS, TITLES
from .progress import duration
from .run_folder import RunFolder
from .slim_model import SlimModel
from .subgroups import SubgroupChanges
from .verdicts import Judgement, Role, Spread

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 480, 190, 48, 24, 22


@dataclass(frozen=True)
class Chart:
    """A metric without each layer, in SVG user units: points are (x, y, layer, role, value)."""

    name: str
    ticks: tuple[tuple[float, str], ...]
    mean: float
    band_top: float
    band_height: float
    points: tuple[tuple[float, float, int, Role, str], ...]
    width: int = _WIDTH
    height: int = _HEIGHT


def write_report(
    path: Path,
    run: RunFolder,
    judgement: Judgement,
    *,
    notes: Sequence[str],
    subgroups: SubgroupChanges,
    models: Sequence[SlimModel] = (),
    frontier: Frontier | None = None,
) -> None:
    """Write the report; `models`, and the `frontier` some were found on, come first."""
    source = files(__package__).joinpath("report.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    environment.filters["times"] = _times
    macro = ["macro_auroc"] if judgement.baseline_macro_auroc is not None else []
    rows = run.rows()
    page = environment.from_string(source).render(
        title=f"{'Slim models' if models else 'Layer sweep'}: {run.record.family}",
        about=run.record,
        counts={split: len(rows[split].labels) for split in SPLITS},
        notes=[note.rstrip(".") for note in notes],
        judgement=judgement,
        models=list(models),
        picture="" if frontier is None else b64encode(draw(frontier)).decode(),
        frontier=[] if frontier is None else frontier_rows(frontier),
        frontier_heads=FRONTIER_HEADS,
        titles=TITLES,
        measures=[*MEASURES, *macro],
        metrics=MEASURES,
        charts=[chart(judgement, name) for name in MEASURES],
        bands=BANDS,
        **_comparison(judgement),
        subgroups=subgroups,
        heat_maps=heat_maps(subgroups),
        facts=_facts(run, judgement),
    )
    write_text(path, page)


def chart(judgement: Judgement, name: str) -> Chart:
    """Lay out one metric: the baseline as a line with a band of one sd, a point for each layer."""
    base = judgement.baseline[name]
    sd = base.sd or 0.0
    values = [verdict.evidence.metrics[name] for verdict in judgement.verdicts]
    low, high = min(*values, base.mean - sd), max(*values, base.mean + sd)
    margin = 0.08 * (high - low) or 0.01
    low, high = low - margin, high + margin

    def y(value: float) -> float:
        return round(_TOP + (high - value) / (high - low) * (_HEIGHT - _TOP - _BOTTOM), 1)

    step = (_WIDTH - _LEFT - 8) / len(values)
    return Chart(
        name=TITLES[name],
        ticks=tuple((y(v), f"{v:.4f}") for v in (low + margin, (low + high) / 2, high - margin)),
        mean=y(base.mean),
        band_top=y(base.mean + sd),
        band_height=round(max(y(base.mean - sd) - y(base.mean + sd), 1.0), 1),
        points=tuple(
            (round(_LEFT + step * (i + 0.5), 1), y(value), v.layer, v.role, f"{value:.4f}")
            for i, (v, value) in enumerate(zip(judgement.verdicts, values, strict=True))
        ),
    )


def _times(value: Spread, reference: Spread) -> str:
    share = value.mean / reference.mean if reference.mean else 1.0
    text = duration(value.mean) if value.mean >= 10 else f"{value.mean:.2f} s"
    return f"{text} ({share:.2f}x)"


def _comparison(judgement: Judgement) -> dict[str, str]:
    """Return in words what was compared, how, and over what sample."""
    found = [v.evidence.comparison for v in judgement.verdicts if v.evidence.comparison]
    if not found:
        return {"measure": "AUROC", "method": "none was possible", "sample": "none"}
    one = found[0]
    return {"measure": one.measure, "method": one.method, "sample": f"{one.units} {one.unit}s"}


def _facts(run: RunFolder, judgement: Judgement) -> list[tuple[str, str]]:
    identity = run.record.identity
    seeds = f"{identity.seeds} baseline, {identity.layer_seeds} a layer, {identity.seed} up"
    return [
        ("rules", _words(plain(judgement.rules))),
        ("recipe", _words(plain(identity.recipe))),
        ("seeds", seeds),
        ("model SHA-256", identity.model_fingerprint),
        ("data SHA-256", identity.data_fingerprint),
        ("licences", _words(plain(run.record.licences))),
        ("made with", _words(plain(run.record.environment))),
        ("made at", run.record.created),
    ]


def _words(value: Any) -> str:
    """Return a record in words: names and values, without what is not set."""
    if isinstance(value, Mapping):
        said = {name: _words(item) for name, item in value.items() if item not in (None, [])}
        return ", ".join(f"{name.replace('_', ' ')} {text}" for name, text in said.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
