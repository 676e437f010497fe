"""By which plan a benchmark decides: a sealed one, the one of before, or a new one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from .. import __version__
from ..bundle.sessions import Backend, Device
from ..errors import GateError, UsageError, listed
from ..models.precision import Precision
from .evidence import Basis
from .ledger import effective, figures_known, openings, refuse_afterthought, seen_before
from .plan import BenchPlan, PlannedModel, PlannedSeed, now
from .prepare import Prepared
from .rule import Machine, Rule, RuleOptions


@dataclass(frozen=True, kw_only=True)
class Standing:
    """By which plan a benchmark decides, and what was known when it was made.

    `sealed` is False for a plan whose candidates are put into order and sealed once they are timed.
    `known` are the models whose own test figures were known.
    """

    plan: BenchPlan
    sealed: bool
    exploratory: bool
    known: tuple[str, ...]


def standing_of(
    prepared: Prepared,
    rule: Rule,
    machine: Machine,
    *,
    given: BenchPlan | None,
    exploratory: bool,
) -> Standing:
    """Return the plan to decide by: the given one, one of the same terms as before, or a new one.

    Raises GateError, unless `exploratory`, for a rule that is made after test figures of these
    models were seen, and for a plan of other models or data than these.
    """
    draft = draft_plan(prepared, rule, machine)
    if given is not None:
        _refuse_unplanned(given, draft)
    known = openings(prepared.path, draft.test_rows)
    plan = effective(given or draft, known)
    seen = seen_before(plan, known)
    if seen is not None and not exploratory:
        refuse_afterthought(plan, seen)
    return Standing(
        plan=plan,
        sealed=plan is not draft,
        exploratory=exploratory,
        known=tuple(
            subject.name
            for subject in prepared.subjects
            if figures_known(subject, prepared.data_for(subject).fingerprint)
        ),
    )


def _refuse_unplanned(plan: BenchPlan, draft: BenchPlan) -> None:
    """Raise GateError where a plan is for other data or models, or these were changed since."""
    if plan.data_fingerprint != draft.data_fingerprint:
        raise GateError(
            f"{draft.data}: fingerprint {draft.data_fingerprint[:12]}, the plan is for"
            f" {plan.data_fingerprint[:12]}: it was changed, or is another data set"
        )
    planned = {model.digest: model for model in plan.candidates}
    if draft.baseline.digest != plan.baseline.digest:
        raise GateError(f"{draft.baseline.path}: not the baseline of the plan, or changed since")
    if added := [model.path for model in draft.candidates if model.digest not in planned]:
        raise GateError(f"{listed(added)}: not in the plan, or changed since it was sealed")
    sealed, here = ({seed.digest: seed.path for seed in one.seeds} for one in (plan, draft))
    if strange := sealed.keys() ^ here.keys():
        paths = sorted((sealed | here)[digest] for digest in strange)
        raise GateError(f"{listed(paths)}: a seed in the plan or here alone, or changed since")
    if missing := set(planned) - set(draft.order):
        paths = [planned[digest].path for digest in missing]
        raise GateError(f"{listed(sorted(paths))}: in the plan, but not among the models named")


def rule_of(plan: BenchPlan | None, asked: RuleOptions) -> Rule:
    """Return the rule asked for, None being the default; UsageError where a plan says otherwise."""
    if plan is None:
        return Rule(**{**vars(Rule()), **{k: v for k, v in asked.items() if v is not None}})
    for name, value in asked.items():
        _refuse_other(name, value, getattr(plan.rule, name))
    return plan.rule


def machine_of(
    plan: BenchPlan | None,
    *,
    device: Device,
    backend: Backend,
    threads: int | None,
    precision: Precision | None,
) -> Machine:
    """Return where models run; UsageError where a plan says otherwise."""
    if plan is None:
        return Machine(
            device=device, backend=backend, threads=threads, precision=precision or "fp32"
        )
    _refuse_other("device", None if device == "auto" else device, plan.machine.device)
    _refuse_other("backend", None if backend == "auto" else backend, plan.machine.backend)
    _refuse_other("threads", threads, plan.machine.threads)
    _refuse_other("precision", precision, plan.machine.precision)
    return plan.machine


def _refuse_other(name: str, value: object, planned: object) -> None:
    """Raise UsageError for a value that is given and is not the planned one."""
    if value not in (None, planned):
        raise UsageError(
            f"{name.replace('_', '-')} is {value}, but the plan says {planned}: leave it out, or"
            " make another plan"
        )


def paths_of(plan: BenchPlan | None) -> list[str]:
    """Return where the models of a plan were, the baseline first; nothing without a plan."""
    return [] if plan is None else [model.path for model in (plan.baseline, *plan.candidates)]


def seeds_of(plan: BenchPlan | None) -> dict[str | Path, Sequence[str]]:
    """Return where the further seeds of a plan's models were; nothing without a plan."""
    models = [] if plan is None else [plan.baseline, *plan.candidates]
    return {model.path: [seed.path for seed in model.seeds] for model in models if model.seeds}


def draft_plan(prepared: Prepared, rule: Rule, machine: Machine) -> BenchPlan:
    """Return a plan for what is to be benchmarked, its candidates in the order they were named."""
    baseline, *others = (
        PlannedModel(
            name=subject.name,
            path=str(subject.path),
            digest=subject.digest,
            seeds=tuple(
                PlannedSeed(path=str(one.subject.path), digest=one.subject.digest)
                for one in prepared.further
                if one.place == place
            ),
        )
        for place, subject in enumerate(prepared.subjects)
    )
    return BenchPlan(
        sealed_at=now(),
        genoslim=__version__,
        data=str(prepared.path),
        data_fingerprint=prepared.data.fingerprint,
        test_rows=prepared.test_rows,
        basis=Basis.of(prepared.sample("test")),
        baseline=baseline,
        candidates=tuple(others),
        rule=rule,
        machine=Machine(**{each.name: getattr(machine, each.name) for each in fields(Machine)}),
    )
