"""What sweep, estimate, prune and show say on a terminal: results as text. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..tables import table
from .measure import MEASURES, TITLES
from .verdicts import Judgement, Spread

if TYPE_CHECKING:
    from .estimates import LayerEstimates
    from .plan import PlannedTrial
    from .slim_model import SlimModel


def judgement_text(judgement: Judgement) -> str:
    """Return the baseline and one line a layer, under a line that names split and rule."""
    grouped = judgement.baseline_macro_auroc is not None
    names = [*MEASURES, *(["macro_auroc"] if grouped else [])]
    rows = [["baseline", "", *_means(judgement), ""]]
    if any(spread.sd is not None for spread in judgement.baseline.values()):
        rows.append(["\u00b1 sd", "", *_deviations(judgement), ""])
    for verdict in judgement.verdicts:
        found = verdict.evidence
        values = [found.metrics[name] for name in MEASURES]
        values_and_macro = [*values, found.macro_auroc] if grouped else values
        cells = [_decimal(value) for value in values_and_macro]
        rows.append([str(verdict.layer), verdict.role, *cells, found.finding])
    titles = (TITLES[name].replace("macro ", "macro\n") for name in names)
    heads = ["layer", "role", *titles, "tested"]
    rules = judgement.rules
    return f"without each layer, {rules.split} split, rule {rules.rule}:\n" + table(heads, rows)


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
    """Return a column a model, the baseline first: quality on test, times against the baseline."""
    base = models[0]
    measures = [name for name in (*MEASURES, "macro_auroc") if name in base.test]
    rows = [
        ["layers", *(str(len(model.kept)) for model in models)],
        *(
            [TITLES[name], *(_spread(model.test.get(name)) for model in models)]
            for name in measures
        ),
        ["fine-tuning", *(_times(m.fine_tune_seconds, base.fine_tune_seconds) for m in models)],
        ["evaluation", *(_times(m.evaluation_seconds, base.evaluation_seconds) for m in models)],
    ]
    if any(model.same_as for model in models):
        rows.append(["the same as", *(_in_words(model.same_as or "") for model in models)])
    seeds = len(base.test["auroc"].values)
    return f"test split, mean \u00b1 sd over {seeds} seed{'s' * (seeds > 1)}:\n" + table(
        ["", *(_in_words(model.name) for model in models)], rows
    )


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
