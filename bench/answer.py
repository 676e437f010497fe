"""The answer that a page begins with: what to deploy, why, how sure, and what would change it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..stats.estimate import told
from .result import BenchResult, ModelResult
from .table import count, units_text

_MOST = 3
"""Faster models of which the answer says what stands against them."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A decision in words.

    Attributes:
        headline: What to deploy.
        reason: Why.
        confidence: How sure that is, a sentence each.
        changes: What would change it.
        machine: What it was measured on.
    """

    headline: str
    reason: str
    confidence: tuple[str, ...]
    changes: tuple[str, ...]
    machine: str


def answer(result: BenchResult) -> Answer:
    """Return what there is to say of a decision first."""
    headline, _, reason = result.decision.summary.removeprefix("exploratory: ").partition(": ")
    return Answer(
        headline=_sentence(headline),
        reason=_sentence(reason),
        confidence=tuple(_confidence(result)),
        changes=tuple(_changes(result)),
        machine=_machine(result),
    )


def _deployed(result: BenchResult) -> ModelResult | None:
    return next((m for m in result.models if m.subject.name == result.decision.deploy), None)


def _confidence(result: BenchResult) -> Iterator[str]:
    """Say how sure the answer is."""
    if result.exploratory:
        yield "Not at all: the rule was made after test figures of these models had been seen"
    chosen = _deployed(result)
    if result.basis.refusal and not (chosen and chosen.same):
        yield f"Nothing is shown either way: {result.basis.refusal}"
    if chosen is not None and chosen.comparison is not None:
        yield from _shown(chosen, result)
    else:
        yield from _not_shown(result)
    yield f"It rests on the {units_text(result.basis)}, {_seeds(result)}"


def _shown(model: ModelResult, result: BenchResult) -> Iterator[str]:
    loss, found = model.evidence.loss, model.comparison
    if loss is None or found is None:
        return
    test = found.noninferiority
    if model.same:
        yield f"It is {model.sameness}; there is no loss to be tested"
    else:
        share = f"{result.settings.alpha:.0%}"
        kept = f"a wrong model is deployed in at most {share} of such decisions"
        if result.exploratory:
            kept = "which holds for no rule that was made afterwards"
        yield (
            f"Its {result.basis.measure} less the baseline's is {loss.estimate}; that it loses"
            f" {test.margin:g} or more is refuted (p = {test.adjusted_p:.2g}, corrected for the"
            f" number of models; {kept})"
        )
    if model.floor is not None:
        yield f"It is {model.floor}"


def _not_shown(result: BenchResult) -> Iterator[str]:
    """Say of every candidate what is shown, where none is deployed."""
    for model in result.models:
        if model.evidence.loss is not None:
            yield (
                f"{model.subject.name}: {result.basis.measure} less the baseline's"
                f" {model.evidence.loss.estimate}; {model.verdict}"
            )


def _seeds(result: BenchResult) -> str:
    most = max(model.evidence.seeds for model in result.models)
    if most > 1:
        return f"on means over {count(most, 'seed')} of training"
    return "and on one seed of training each: another may differ by more"


def _changes(result: BenchResult) -> Iterator[str]:
    """Say what would have to be otherwise for another answer."""
    yield from _more_data(result)
    chosen = _deployed(result)
    loss = None if chosen is None or chosen.same else chosen.evidence.loss
    if chosen is not None and loss is not None and loss.lower_bound < 0:
        bound = told(-loss.lower_bound, loss.estimate)
        yield (
            f"A margin below about {bound}: no smaller loss of {chosen.subject.name} is ruled out,"
            " even without a correction for the number of models"
        )
    limit = result.settings.max_p95_ms
    if chosen is not None and limit is not None:
        p95 = chosen.measurement.latency.p95 * 1000
        yield f"A limit on p95 below {p95:.3g} ms, which {chosen.subject.name} has (now {limit:g})"
    yield from _objections(result, chosen)


def _more_data(result: BenchResult) -> Iterator[str]:
    """Say how many units would show that a faster model loses nothing, where they are missing."""
    needed = [
        (model.evidence.loss.needed, model.subject.name)
        for model in result.models
        if model.evidence.loss is not None
        and model.comparison is not None
        and not model.same
        and (result.basis.refusal or not model.comparison.noninferiority.passed)
        and model.evidence.loss.high >= 0
    ]
    unit = result.basis.unit
    for units, name in sorted(needed):
        if units > result.basis.units:
            yield (
                f"About {units:,} test {unit}s in place of {result.basis.units:,}: by the spread"
                f" seen here {name}, if it loses nothing, would be shown so with probability 0.8"
            )


def _objections(result: BenchResult, chosen: ModelResult | None) -> Iterator[str]:
    """Say what stands against the fastest of those that are faster than the one chosen."""
    speed = 0.0 if chosen is None else chosen.speed_up
    faster = [one for one in result.models if one.speed_up > speed and one is not chosen]
    for model in sorted(faster, key=lambda one: -one.speed_up)[:_MOST]:
        reasons = result.decision.reasons[model.subject.name].removeprefix("not chosen: ")
        first, *others = reasons.split("; ")
        more = f" (and {count(len(others), 'other reason')}, below)" if others else ""
        yield f"What stands against {model.subject.name} ({model.speed_up:.2f}x): {first}{more}"


def _machine(result: BenchResult) -> str:
    place, first = result.environment, result.baseline.measurement
    measured = [model.measurement for model in result.models]
    providers = sorted({one.provider.removesuffix("ExecutionProvider").upper() for one in measured})
    threads = sorted({one.threads for one in measured})
    lengths = sorted({one.window_length for one in measured}, reverse=True)
    return (
        f"{place.processor}, {count(place.cores, 'usable core')},"
        f" {' or '.join(count(one, 'thread') for one in threads)} on {', '.join(providers)};"
        f" timed on {first.windows:,} windows of {' or '.join(map(str, lengths))} bp"
    )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
