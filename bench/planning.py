"""The verb `plan_benchmark`; what timings and validation tell for a plan."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..bundle.sessions import Backend, Device
from ..errors import UsageError
from ..files import refuse_new_at_root, refuse_unwritable
from ..models.precision import Precision
from .backends import Logits
from .evidence import Basis, Evidence, Loss, weigh
from .ledger import openings, refuse_afterthought, seen_before
from .measure import Measurement, measure
from .plan import BenchPlan, PlannedModel, now, write_plan
from .prepare import Prepared, prepare, running, scored, with_backends
from .quality import margins_of
from .result import QUICK_ROUNDS, QUICK_SECONDS
from .rule import Correction, FloorChoice, Rule, RuleOptions, within
from .seeds import Seeds
from .standing import draft_plan, machine_of, rule_of


def plan_benchmark(
    models: Sequence[str | Path],
    data: str | Path,
    *,
    output: str | Path,
    baseline: str | Path | None = None,
    margin: float | None = None,
    correction: Correction | None = None,
    max_p95_ms: float | None = None,
    max_memory_mb: float | None = None,
    min_sensitivity: float | None = None,
    floors: FloorChoice | None = None,
    baseline_column: str | None = None,
    subgroup_limit: float | None = None,
    seeds: Seeds | None = None,
    device: Device = "auto",
    backend: Backend = "auto",
    threads: int | None = None,
    precision: Precision | None = None,
    seconds: float | None = None,
    progress: Callable[[str], None] | None = None,
) -> BenchPlan:
    """Seal what a benchmark will decide by, before the test split is opened.

    Models are timed and scored on validation alone; `benchmark(plan=...)` follows the plan.

    Args:
        models: Bundles and fine-tuned checkpoints, as for `benchmark`.
        data: Labelled windows (Parquet).
        output: The file to write (JSON). A plan that is there is not replaced.
        baseline: What to compare with; by default the first of `models`.
        margin: The AUROC that a model may lose; by default 0.01.
        correction: For the number of models: `holm` (default), or `sequence`: one after the other
            from the slowest to the fastest, until one does not pass.
        max_p95_ms: Limit in milliseconds on the 95th percentile of latency.
        max_memory_mb: Limit in megabytes (10^6 bytes) on the peak memory of a model's process.
        min_sensitivity: What the sensitivity at the model's own threshold must be shown to reach.
        floors: Simple models to be beaten: `kmer`, `all`, `none` or `auto` (default).
        baseline_column: A column of numbers in the data that is a floor too.
        subgroup_limit: The AUROC that a model may lose in any subgroup; by default 0.05.
        seeds: By the path of a model, those of its other seeds, as for `benchmark`.
        device: Where to compute.
        backend: What runs bundles.
        threads: Of each model; by default as many as the process may use.
        precision: Of checkpoints, as for `benchmark`.
        seconds: For the timings of one model, which give the order; by default 3.
        progress: Called with each step in words.

    Returns:
        The plan as it was written.

    Raises:
        UsageError: options that do not exist or do not go together; `output` is there.
        GateError: a bundle is damaged, or test figures of these models were seen before, by another
            rule.
        GenoslimError: as `benchmark`.

    Example:
        >>> from genoslim import plan_benchmark
        >>> plan = plan_benchmark(
        ...     ["my-bundle"], "data.parquet", output="plan.json", margin=0.02, seconds=0.1
        ... )
        >>> plan.rule.margin, plan.candidates
        (0.02, ())
    """
    output, data, tell = Path(output), Path(data), progress or (lambda _: None)
    rule = rule_of(
        None,
        RuleOptions(
            margin=margin,
            correction=correction,
            max_p95_ms=max_p95_ms,
            max_memory_mb=max_memory_mb,
            min_sensitivity=min_sensitivity,
            floors=floors,
            baseline_column=baseline_column,
            subgroup_limit=subgroup_limit,
        ),
    )
    _refuse_replacing(output)
    seconds = QUICK_SECONDS if seconds is None else seconds
    within("seconds", seconds, 0, math.inf)
    machine = machine_of(None, device=device, backend=backend, threads=threads, precision=precision)
    prepared = prepare(models, data, baseline=baseline, column=baseline_column, seeds=seeds or {})
    draft = draft_plan(prepared, rule, machine)
    if seen := seen_before(draft, openings(data, draft.test_rows)):
        refuse_afterthought(draft, seen)
    prepared = with_backends(prepared, machine)
    with running(prepared.subjects, prepared, machine) as processes:
        measured = measure(processes, seconds=seconds, rounds=QUICK_ROUNDS, progress=tell)
        logits = scored(processes, prepared, "validation", tell)
    plan = ordered(draft, measured, on_validation(prepared, logits, rule), prepared)
    write_plan(output, plan)
    return plan


def ordered(
    draft: BenchPlan,
    measured: Sequence[Measurement],
    evidence: Sequence[Evidence],
    prepared: Prepared,
) -> BenchPlan:
    """Return a plan with what timings and validation tell, the slowest candidate first.

    `measured` and `evidence` (on validation) are in the order of the models.
    """
    comparable = Basis.of(prepared.sample("validation")).unit == draft.basis.unit
    told = [
        _told(model, time, found.loss, comparable=comparable)
        for model, time, found in zip(
            (draft.baseline, *draft.candidates), measured, evidence, strict=True
        )
    ]
    slowest_first = sorted(told[1:], key=lambda model: -(model.p50_ms or 0.0))
    return replace(draft, sealed_at=now(), baseline=told[0], candidates=tuple(slowest_first))


def _told(
    model: PlannedModel, time: Measurement, loss: Loss | None, *, comparable: bool
) -> PlannedModel:
    known = replace(model, p50_ms=round(time.latency.p50 * 1000, 6))
    if loss is None:
        return known
    needed = loss.needed if comparable else None
    return replace(known, validation_difference=loss.difference, units_needed=needed)


def on_validation(prepared: Prepared, logits: Sequence[Logits], rule: Rule) -> list[Evidence]:
    """Weigh the models on validation at the error of the hardest step among so many."""
    others = max(len(prepared.subjects) - 1, 1)
    hardest = rule.alpha / (others if rule.correction == "holm" else 1)
    return weigh(
        prepared.sample("validation"),
        np.stack([margins_of(found) for found in logits], axis=1),
        rule=replace(rule, alpha=hardest, min_sensitivity=None),
    )


def _refuse_replacing(path: Path) -> None:
    if path.exists():
        raise UsageError(f"{path}: is there already; a plan is not replaced: name another file")
    refuse_new_at_root(path)
    refuse_unwritable(path)
