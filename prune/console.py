"""What sweep, estimate, prune and show say on a terminal: results as text. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING

from ..tables import table
from .measure import MEASURES, TITLES
from .verdicts import Evidence, Judgement, Spread

if TYPE_CHECKING:
    from .estimates import LayerEstimates
    from .plan import PlannedTrial
    from .slim_model import SlimModel


BANDS = {
    "": "",
    "unfavourable": "held",
    "neutral": "WORSE",
    "cornerstone": "WORSE by far",
    "undecided": "undecided",
}
"""What the paper's rule for layers says of a whole model."""


def judgement_text(judgement: Judgement) -> str:
    """Return the baseline and one line a layer, under a line that names split and rule.

    Below stand what the tests rest on, and where a seed's luck explains a verdict.
    """
    grouped = judgement.baseline_macro_auroc is not None
    names = [*MEASURES, *(["macro_auroc"] if grouped else [])]
    rows = [["baseline", "", *_means(judgement), "", ""]]
    if any(spread.sd is not None for spread in judgement.baseline.values()):
        rows.append(["\u00b1 sd", "", *_deviations(judgement), "", ""])
    for verdict in judgement.verdicts:
        found = verdict.evidence
        values = [found.metrics[name] for name in MEASURES]
        values_and_macro = [*values, found.macro_auroc] if grouped else values
        cells = [_decimal(value) for value in values_and_macro]
        rows.append([str(verdict.layer), verdict.role, *cells, _tested(found), _stability(found)])
    titles = (TITLES[name].replace("macro ", "macro\n") for name in names)
    heads = ["layer", "role", *titles, "tested", "stable"]
    rules = judgement.rules
    title = f"without each layer, {rules.split} split, rule {rules.rule}:"
    remarks = (fill(remark, 80, subsequent_indent="  ") for remark in _remarks(judgement))
    return "\n".join([title, table(heads, rows), *remarks])


def _tested(evidence: Evidence) -> str:
    """Return what the tests found, or how many seeds are left where some collapsed."""
    if evidence.usable_seeds < evidence.planned_seeds:
        return f"{evidence.usable_seeds} of {evidence.planned_seeds} seeds"
    return evidence.finding


def _stability(evidence: Evidence) -> str:
    return "" if evidence.stability is None else f"{evidence.stability:.0%}"


def _remarks(judgement: Judgement) -> Iterator[str]:
    if judgement.unjudged:
        yield f"NO LAYER IS JUDGED: {judgement.unjudged}"
    if judgement.baseline_collapsed_seeds:
        seeds = ", ".join(map(str, judgement.baseline_collapsed_seeds))
        yield f"baseline: seed {seeds} collapsed and does not count"
    yield from judgement.notes
    for verdict in judgement.verdicts:
        if verdict.evidence.luck:
            yield f"layer {verdict.layer}: {verdict.evidence.luck}"


def _means(judgement: Judgement) -> list[str]:
    means = [_decimal(judgement.baseline[name].mean) for name in MEASURES]
    macro = judgement.baseline_macro_auroc
    return means if macro is None else [*means, _decimal(macro)]


def _deviations(judgement: Judgement) -> list[str]:
    found = [_decimal(judgement.baseline[name].sd) for name in MEASURES]
    return found if judgement.baseline_macro_auroc is None else [*found, ""]


def _decimal(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def models_text(models: Sequence[SlimModel]) -> str:
    """Return a column a model, the baseline first: quality on both splits, times."""
    base = models[0]
    measures = [name for name in (*MEASURES, "macro_auroc") if name in base.test]
    nothing = ["" for _ in models]
    rows = [
        ["layers", *(str(len(model.kept)) for model in models)],
        ["seeds", *(model.seeds_in_words for model in models)],
        ["on validation", *nothing],
        *(
            ["  " + TITLES[m], *(_spread(one.validation.get(m)) for one in models)]
            for m in measures
        ),
        ["  paper's bands", *(BANDS[model.bands] for model in models)],
        ["  tested", *(model.evidence.finding if model.evidence else "" for model in models)],
        ["on test", *nothing],
        *_figures(measures, [model.test for model in models]),
        ["fine-tuning", *(_times(m.fine_tune_seconds, base.fine_tune_seconds) for m in models)],
        ["evaluation", *(_times(m.evaluation_seconds, base.evaluation_seconds) for m in models)],
    ]
    if any(model.same_as for model in models):
        rows.append(["the same as", *(_in_words(model.same_as or "") for model in models)])
    return "mean \u00b1 sd over seeds, without sd where seeds collapsed:\n" + table(
        ["", *(_in_words(model.name) for model in models)], rows
    )


def _figures(measures: Sequence[str], models: Sequence[Mapping[str, Spread]]) -> list[list[str]]:
    """Return a row a metric, a cell a model."""
    return [["  " + TITLES[m], *(_spread(model.get(m)) for model in models)] for m in measures]


def _in_words(name: str) -> str:
    """Return a model's name so that it folds between its words."""
    return name.replace("_", " ")


def _spread(value: Spread | None) -> str:
    return "" if value is None else str(value)


def _times(value: Spread, reference: Spread) -> str:
    share = f" ({value.mean / reference.mean:.2f}x)" if reference.mean else ""
    return f"{value.mean:.2f} s{share}"


def estimates_text(estimates: LayerEstimates) -> str:
    """Return one line a method: what it took, ranking and, with a sweep, agreement with it."""
    heads = ["method", "passes", "s", "least important first"]
    rows = [
        [one.method, str(one.passes), f"{one.seconds:.2f}", " ".join(map(str, one.order))]
        for one in estimates.methods
    ]
    ranking = table(heads, rows)
    return ranking if estimates.lost is None else f"{ranking}\n\n{_agreement_text(estimates)}"


def _agreement_text(estimates: LayerEstimates) -> str:
    """Return one line a method: agreement with the sweep, whose own with itself stands below."""
    rows = []
    for one in estimates.methods:
        found = estimates.agreement(one)
        interval = "" if found.low is None else f"{found.low:+.2f} to {found.high:+.2f}"
        correlations = [_correlation(found.spearman), interval, _correlation(found.kendall)]
        rows.append([one.method, *correlations, f"{found.least:.2f}", f"{found.roles:.2f}"])
    heads = ["with the sweep", "Spearman", "95 % interval", "Kendall", "least third", "roles"]
    ceiling = "one seed a layer: how well the sweep agrees with itself is not known"
    if estimates.ceiling is not None:
        ceiling = f"Spearman of one seed of the sweep with the others: {estimates.ceiling:+.2f}"
    return f"{table(heads, rows)}\n{ceiling}"


def _correlation(value: float | None) -> str:
    return "none" if value is None else f"{value:+.2f}"


def plan_text(trials: Sequence[PlannedTrial]) -> str:
    """Return one line a trial, tab-separated: hash, dropped layers, seed, state."""
    return "\n".join(
        f"{trial.spec.hash}\t{','.join(map(str, trial.spec.dropped)) or '-'}"
        f"\t{trial.spec.seed}\t{trial.state}"
        for trial in trials
    )
