"""Which model to deploy: of those shown no worse than the baseline by the margin, the fastest."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..stats.estimate import told
from ..stats.multiplicity import fixed_sequence, holm
from .evidence import Basis, Evidence
from .rule import MEGA, Rule

_CHANCE = 0.5


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What the decision looks at. `speed_up` is against the baseline, `p95` in seconds.

    `memory` is the peak and `size` what lies on disk, in bytes. `same` says that it is the baseline
    in another form, so that there is nothing to test. `objections` are what else speaks
    against it: a floor that it is not shown to beat, a subgroup that it falls behind in; `merits`
    what speaks for it.
    """

    name: str
    digest: str
    baseline: bool
    speed_up: float
    p95: float
    memory: int
    size: int
    evidence: Evidence
    same: bool = False
    objections: tuple[str, ...] = ()
    merits: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class NonInferiority:
    """The test of "worse than the baseline by `margin` or more" within the family of all tested.

    `lower_bound` is that of the difference by itself, one-sided at `level`; `adjusted_p` is
    corrected for the number of models (None for one that was not tested, since it was out of the
    question before), and `passed` says whether it is at most 1 - `level`.
    """

    margin: float
    level: float
    lower_bound: float
    p_value: float
    adjusted_p: float | None
    passed: bool


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Which model to deploy (None: none), whether the gate passed, and why for each model.

    `tests` are by the name of each model but the baseline.
    """

    deploy: str | None
    passed: bool
    summary: str
    reasons: dict[str, str]
    tests: dict[str, NonInferiority] = field(default_factory=dict)


def decide(
    candidates: Sequence[Candidate],
    *,
    rule: Rule,
    basis: Basis,
    order: Sequence[str] | None = None,
    exploratory: bool = False,
) -> Decision:
    """Choose among `candidates`, the first of which is the baseline.

    Out of the question, whatever its figures on test, is what is over a limit on latency or memory,
    or a copy of a model named before. What is the baseline in another form has nothing to be tested
    for, and stands where the baseline stands. The others are tested as one family: with Holm's
    correction, or in a sequence fixed beforehand, `order` (of digests; by default from the slowest
    to the fastest). Eligible is what passes, is shown to be better than chance and has no other
    objection against it; nothing is where the baseline is no better than chance, or where there are
    too few rows or groups to decide. Of the eligible (the baseline is, unless a limit, chance or an
    objection speaks against it) the fastest at batch 1 is chosen; equally fast ones by size, then
    by the order they were named in. The gate passes if a model other than the baseline is eligible
    (the baseline in another form: if it is the fastest), or, when there is nothing but the baseline
    and copies of it, if the baseline is. An `exploratory` decision, by a rule made after figures
    were seen, says so.
    """
    out = {c.name: list(_limits(c, candidates[:n], rule)) for n, c in enumerate(candidates)}
    baseline, *others = candidates
    slowest_first = [c.digest for c in sorted(others, key=lambda c: c.speed_up)]
    different = [c for c in others if not c.same]
    tested = [c for c in different if not out[c.name]]
    tests = _tests(others, tested, rule, order or slowest_first)
    faults = {
        c.name: [
            *_against_chance(c, baseline),
            *filter(None, [_too_little([] if c.same else [c], basis)]),
            *_shown(c, tests, rule, len(tested)),
            *c.objections,
            *out[c.name],
        ]
        for c in candidates
    }
    eligible = [c for c in candidates if not faults[c.name]]
    best = min(eligible, key=lambda c: (-c.speed_up, c.size), default=None)
    alone = all(c.digest == baseline.digest for c in candidates)
    passed = any(alone or (not c.baseline and (not c.same or c is best)) for c in eligible)
    too_little = "" if alone else _too_little(different, basis)
    return Decision(
        deploy=best.name if best else None,
        passed=passed,
        summary=("exploratory: " if exploratory else "")
        + _summary(candidates, tests, best, passed, rule, too_little),
        reasons={c.name: _reason(c, faults[c.name], best) for c in candidates},
        tests=tests,
    )


def _limits(candidate: Candidate, earlier: Sequence[Candidate], rule: Rule) -> Iterator[str]:
    """Say what puts a candidate out of the question without a look at its figures on test."""
    twin = next((other.name for other in earlier if other.digest == candidate.digest), None)
    if twin is not None:
        yield f"a copy of {twin}"
    if rule.max_p95_ms is not None and candidate.p95 * 1000 > rule.max_p95_ms:
        yield (f"p95 of {candidate.p95 * 1000:.3g} ms is over the limit of {rule.max_p95_ms:g} ms")
    if rule.max_memory_mb is not None and candidate.memory / MEGA > rule.max_memory_mb:
        yield (
            f"peak memory of {candidate.memory / MEGA:.0f} MB is over the limit of"
            f" {rule.max_memory_mb:g} MB"
        )


def _tests(
    candidates: Sequence[Candidate],
    tested: Collection[Candidate],
    rule: Rule,
    order: Sequence[str],
) -> dict[str, NonInferiority]:
    """Return the test of each candidate, corrected for those that are tested."""
    line = sorted(tested, key=lambda c: order.index(c.digest))
    correct = holm if rule.correction == "holm" else fixed_sequence
    found = correct(np.array([c.evidence.p_value for c in line]))
    adjusted = {c.name: float(p) for c, p in zip(line, found, strict=True)}
    return {
        c.name: NonInferiority(
            margin=rule.margin,
            level=1 - rule.alpha,
            lower_bound=c.evidence.loss.lower_bound,
            p_value=c.evidence.p_value,
            adjusted_p=adjusted.get(c.name),
            passed=adjusted.get(c.name, 1.0) <= rule.alpha,
        )
        for c in candidates
        if c.evidence.loss is not None
    }


def _against_chance(candidate: Candidate, baseline: Candidate) -> Iterator[str]:
    """Say what speaks against models that may know nothing, and against their followers."""
    if candidate.evidence.low <= _CHANCE:
        yield (
            "not shown to be better than chance: the lower end of its AUROC's interval,"
            f" {candidate.evidence.low:.4f}, is not above {_CHANCE:g}"
        )
    elif baseline.evidence.low <= _CHANCE:
        yield "the baseline is not shown to be better than chance: nothing follows from it"


def _too_little(candidates: Sequence[Candidate], basis: Basis) -> str:
    """Say why nothing can be decided of some candidates, and what would be needed; "" where it can.

    Where nothing is asked, of the baseline alone, nothing is missing.
    """
    needed = [c.evidence.loss.needed for c in candidates if c.evidence.loss is not None]
    if not needed or not basis.refusal:
        return ""
    return (
        f"nothing can be decided: {basis.refusal}, and by the spread seen here a model that loses"
        f" nothing would be shown so with about {max(needed):,} {basis.unit}s"
    )


def _shown(
    candidate: Candidate, tests: dict[str, NonInferiority], rule: Rule, family: int
) -> Iterator[str]:
    """Say what a candidate was not shown to be."""
    sensitivity = candidate.evidence.sensitivity
    if sensitivity is not None and sensitivity.p_value > rule.alpha:
        yield (
            f"not shown to have a sensitivity of {sensitivity.least:g}: found"
            f" {sensitivity.sensitivity:.4f}, with a lower bound of {sensitivity.lower_bound:.4f}"
        )
    loss = candidate.evidence.loss
    if loss is None or candidate.same or tests[candidate.name].passed:
        return
    if loss.high < 0 and loss.p_value > rule.alpha:
        yield loss.verdict(False)
    elif loss.p_value > rule.alpha:
        yield (
            "not shown to be non-inferior: the lower bound of its AUROC difference,"
            f" {told(loss.lower_bound, loss.estimate)}, is not above {-rule.margin:g}"
        )
    elif candidate.evidence.p_value <= rule.alpha:
        yield from _corrected(candidate.evidence.p_value, tests[candidate.name], rule, family)


def _corrected(p_value: float, test: NonInferiority, rule: Rule, family: int) -> Iterator[str]:
    """Say how the correction for the number of models decided against a candidate."""
    if test.adjusted_p is None:
        return
    if rule.correction == "sequence":
        yield (
            "not tested: a slower model before it in the sequence was not shown to be non-inferior"
        )
    else:
        yield (
            f"not shown to be non-inferior among {family} models: p = {p_value:.2g} is"
            f" {test.adjusted_p:.2g} with Holm's correction, not at most {rule.alpha:g}"
        )


def _reason(candidate: Candidate, faults: list[str], best: Candidate | None) -> str:
    if faults:
        return "not chosen: " + "; ".join(faults)
    if best is None or candidate is best:
        return (
            "chosen: "
            + ("the baseline itself, and " if candidate.baseline else "")
            + f"the fastest eligible model, {candidate.speed_up:.2f}x the speed of the baseline"
            + "".join(f"; {merit}" for merit in candidate.merits)
        )
    if candidate.speed_up == best.speed_up:
        return f"not chosen: no faster than {best.name}, which is smaller or was named before"
    return (
        f"not chosen: slower, {candidate.speed_up:.2f}x against {best.speed_up:.2f}x of {best.name}"
    )


def _summary(
    candidates: Sequence[Candidate],
    tests: dict[str, NonInferiority],
    best: Candidate | None,
    passed: bool,
    rule: Rule,
    too_little: str,
) -> str:
    noninferior = f"non-inferior at a margin of {rule.margin:g}"
    if best is None:
        return f"deploy none: {too_little or _no_model(candidates, rule, noninferior)}"
    if best.same:
        limits = _limits_in_words(rule)
        return f"deploy {best.name}: the baseline's own weights in the fastest form{limits}"
    if passed and best.baseline:
        return f"deploy {best.name}: {_nothing_faster(candidates)}{_limits_in_words(rule)}"
    if passed:
        return f"deploy {best.name}: the fastest model {noninferior}{_limits_in_words(rule)}"
    return f"keep {best.name}: {too_little or _no_other(candidates[1:], tests, rule, noninferior)}"


def _nothing_faster(candidates: Sequence[Candidate]) -> str:
    """Say why the baseline is deployed where the gate passes."""
    if len(candidates) == 1:
        return "the only model, shown to be better than chance"
    return "the baseline, than which no model that may be deployed is faster"


def _no_model(candidates: Sequence[Candidate], rule: Rule, noninferior: str) -> str:
    """Say why nothing is deployed, not even the baseline."""
    baseline, *others = candidates
    if not baseline.objections or baseline.evidence.low <= _CHANCE:
        return f"no model is better than chance and {noninferior}{_limits_in_words(rule)}"
    return f"the baseline is {baseline.objections[0]}" + "; no other is eligible" * bool(others)


def _no_other(
    others: Sequence[Candidate], tests: dict[str, NonInferiority], rule: Rule, noninferior: str
) -> str:
    """Say why no other model takes the baseline's place."""
    barred = [c for c in others if c.objections and (c.same or tests[c.name].passed)]
    if barred:
        fastest = max(barred, key=lambda c: c.speed_up)
        stands = "the baseline in another form" if fastest.same else noninferior
        return f"{fastest.name} is {stands}, but {fastest.objections[0]}"
    if others and all(c.same for c in others):
        return f"none of its other forms is faster{_limits_in_words(rule)}"
    return (
        f"no other model is shown to be non-inferior to it at a margin of {rule.margin:g}"
        f"{_limits_in_words(rule)}"
    )


def _limits_in_words(rule: Rule) -> str:
    found = []
    if rule.max_p95_ms is not None:
        found.append(f"p95 within {rule.max_p95_ms:g} ms")
    if rule.max_memory_mb is not None:
        found.append(f"memory within {rule.max_memory_mb:g} MB")
    if rule.min_sensitivity is not None:
        found.append(f"a sensitivity of {rule.min_sensitivity:g}")
    return f" with {' and '.join(found)}" if found else ""
