"""The page of a sweep or of its slim models: one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..codec import plain
from ..data.simulate import ASSEMBLY as SIMULATED
from ..files import write_text
from ..pages.page import render
from ..pages.plots import Plot
from .console import BANDS
from .frontier import Frontier
from .frontier_plots import frontier_plots
from .frontier_table import FRONTIER_HEADS, frontier_rows
from .heat_map import HEADS, change_rows, layer_map
from .layer_plots import layer_plots
from .measure import MEASURES, SPLITS, TITLES, Split
from .progress import duration
from .run_folder import RunFolder
from .slim_model import SlimModel
from .subgroups import SubgroupChanges
from .verdicts import Evidence, Judgement, Spread

_CUTS = {
    "fixed": "a probability of 0.5",
    "youden": "each trial's threshold: the maximum of Youden's J on its validation rows",
}
"""Where probabilities are cut into calls, by `Measuring.threshold`."""


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
    """Write the page; `models`, and the `frontier` some were found on, come first."""
    macro = ["macro_auroc"] if judgement.baseline_macro_auroc is not None else []
    rows = run.rows()
    page = render(
        "prune/report.html.j2",
        plots=_plots(judgement, subgroups, frontier),
        simulated=run.record.data_metadata.assembly == SIMULATED,
        title=f"{'Slim models' if models else 'Layer sweep'}: {run.record.family}",
        about=run.record,
        counts={split: len(rows[split].labels) for split in SPLITS},
        notes=[note.rstrip(".") for note in notes],
        judgement=judgement,
        models=list(models),
        model_tables={split: _models(models, split, macro) for split in SPLITS},
        frontier=[] if frontier is None else frontier_rows(frontier),
        frontier_heads=FRONTIER_HEADS,
        metrics=MEASURES,
        cut=_CUTS[judgement.rules.measuring.threshold],
        verdicts=_verdicts(judgement, macro),
        **_comparison(judgement),
        subgroups=subgroups,
        changes=change_rows(subgroups),
        change_heads=HEADS,
        facts=_facts(run, judgement),
    )
    write_text(path, page)


def _plots(
    judgement: Judgement, subgroups: SubgroupChanges, frontier: Frontier | None
) -> list[Plot]:
    of_subgroups = layer_map(subgroups)
    return [
        *(() if frontier is None else frontier_plots(frontier)),
        *layer_plots(judgement),
        *([] if of_subgroups is None else [of_subgroups]),
    ]


def _models(
    models: Sequence[SlimModel], split: Split, macro: Sequence[str]
) -> tuple[list[str], list[list[str]]]:
    """Return heads and rows of the models on a split."""
    names = [*MEASURES, *macro]
    last = ["paper's bands", "tested"] if split == "validation" else ["fine-tuning", "evaluation"]
    heads = ["model", "layers", "seeds", "parameters", *(TITLES[name] for name in names), *last]
    return heads, [
        [
            _named(model),
            str(len(model.kept)),
            model.seeds_in_words,
            f"{model.parameters:,}",
            *(_kept_whole(spreads.get(name)) for name in names),
            *_last(model, models[0], split),
        ]
        for model in models
        for spreads in (model.validation if split == "validation" else model.test,)
    ]


def _kept_whole(spread: Spread | None) -> str:
    """Return mean and sd as text that is not folded between them."""
    return str(spread or "").replace(" ", "\u00a0")


def _named(model: SlimModel) -> str:
    name = model.name.replace("_", " ")
    return f"{name} (= {model.same_as.replace('_', ' ')})" if model.same_as else name


def _last(model: SlimModel, baseline: SlimModel, split: Split) -> list[str]:
    if split == "validation":
        return [BANDS[model.bands], model.evidence.finding if model.evidence else ""]
    return [
        _times(model.fine_tune_seconds, baseline.fine_tune_seconds),
        _times(model.evaluation_seconds, baseline.evaluation_seconds),
    ]


def _verdicts(judgement: Judgement, macro: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Return heads and rows of the verdicts, the baseline first."""
    names = [*MEASURES, *macro]
    tested = ["\u0394 AUROC", "from", "to", "p", "finding", "stable"]
    heads = ["layer", "role", *(TITLES[name] for name in names), *tested]
    mean = judgement.baseline_macro_auroc
    of_baseline = [_kept_whole(judgement.baseline[name]) for name in MEASURES]
    of_baseline += [] if mean is None else [f"{mean:.4f}"]
    found = [
        [
            str(verdict.layer),
            verdict.role,
            *_metrics(verdict.evidence, macro),
            *_tested(verdict.evidence),
        ]
        for verdict in judgement.verdicts
    ]
    return heads, [["none", "baseline", *of_baseline, *[""] * len(tested)], *found]


def _metrics(evidence: Evidence, macro: Sequence[str]) -> list[str]:
    values = [f"{evidence.metrics[name]:.4f}" for name in MEASURES]
    mean = evidence.macro_auroc
    return [*values, *("" if mean is None else f"{mean:.4f}" for _ in macro)]


def _tested(evidence: Evidence) -> list[str]:
    """Return what was found by comparison, how many seeds it is of if not of all, and stability."""
    found, lost = evidence.comparison, evidence.usable_seeds < evidence.planned_seeds
    seeds = f" ({evidence.usable_seeds} of {evidence.planned_seeds} seeds)" if lost else ""
    stable = "" if evidence.stability is None else f"{evidence.stability:.0%}"
    figures = [""] * 4
    if found is not None:
        figures = [f"{value:+.4f}" for value in (found.difference, found.low, found.high)]
        figures.append(f"{found.p_different:.2g}")
    return [*figures, evidence.finding + seeds, stable]


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
