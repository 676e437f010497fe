"""What a reader must know besides the figures of a sweep and of its slim models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..codec import plain
from ..models.licences import is_non_commercial
from .frontier import Frontier
from .run_folder import RunFolder
from .slim_model import SlimModel
from .verdicts import Evidence, Judgement, Rules


def notes_on(
    run: RunFolder,
    judgement: Judgement,
    models: Sequence[SlimModel],
    frontier: Frontier | None,
) -> tuple[str, ...]:
    """Return what a reader must know besides the figures, the gravest first."""
    notes = [*_alarms(judgement, models), *judgement.notes]
    notes += [f"{m.name} is identical to {m.same_as}: {m.reason}" for m in models if m.same_as]
    notes += [f"{m.name}: {m.reason}" for m in models if " rule `" in m.reason and not m.same_as]
    for model in models:
        lost = [str(seed.seed) for seed in model.seeds if seed.collapsed]
        if lost and model.usable_seeds:
            notes.append(f"{model.name}: seed {', '.join(lost)} collapsed and does not count")
    told = any(m.name == "smallest_noninferior" and m.same_as for m in models)
    if frontier is not None and not told:
        notes.append(f"smallest_noninferior: {frontier.reason}")
    return (*notes, *caveats(run, judgement.rules))


def _alarms(judgement: Judgement, models: Sequence[SlimModel]) -> Iterator[str]:
    """Say loudly what no one should overlook."""
    if judgement.unjudged:
        yield f"NO LAYER IS JUDGED: {judgement.unjudged}"
    for model in models:
        if not model.usable_seeds:
            yield f"{model.name}: EVERY seed collapsed: its figures are those of chance"
        elif model.best_seed is None:
            yield (
                f"{model.name}: only {model.seeds_in_words} seeds is usable: a survivor chooses"
                " nothing, and no checkpoint is kept"
            )
        elif model.evidence is not None and model.bands != "unfavourable":
            yield _worse(model, model.evidence, judgement)


def _worse(model: SlimModel, evidence: Evidence, judgement: Judgement) -> str:
    """Say that a model is worse than the baseline by the paper's own bands."""
    held, band = set(evidence.held) - set(evidence.worse), judgement.baseline["auroc"]
    against = f" (AUROC {evidence.metrics['auroc']:.4f} against {band})"
    return (
        f"{model.name} IS WORSE than the baseline by the paper's own bands: on validation"
        f" {len(held)} of 4 metrics stay within one sd"
        + (against if judgement.rules.split == "validation" else "")
    )


def caveats(run: RunFolder, rules: Rules) -> tuple[str, ...]:
    """Return the warnings that come with a run: selection on test, licences, what eQTLs say."""
    found = []
    if rules.split == "test":
        found.append(
            "Layers were selected on the test split: figures on test are optimistic for the models"
            " chosen by it"
        )
    for what, licence in plain(run.record.licences).items():
        if is_non_commercial(licence):
            found.append(f"The licence of the {what} is {licence}: no commercial use")
        elif licence in ("", "unknown"):
            found.append(f"The licence of the {what} is not known: find out before use")
    if "eqtl" in run.record.data_metadata.source.lower():
        found.append(
            "The labels say whether a variant causes a change of expression (eQTL). That is not"
            " pathogenicity, and a score is no evidence for PP3 or BP4"
        )
    return tuple(found)
