"""Benchmark models against a baseline: speed, memory, quality, and which one to deploy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..bundle.sessions import Backend, Device
from ..data.leakage import Leakage, check_leakage
from ..errors import UsageError
from ..files import atomic_folder, refuse_foreign, refuse_unwritable, write_text
from ..models.precision import Precision
from ..stats.auroc import recurring
from .backends import Logits
from .checks import Checks, check
from .cold_start import STARTS
from .command import command_of
from .costs import Costs, measure_costs
from .decision import Candidate, Decision, NonInferiority, decide
from .environment import describe_environment
from .evidence import Basis, Evidence, weigh
from .floors import Floors, FloorScores, bases_of, measure_floors
from .ledger import record_opening
from .measure import Measurement, measure
from .plan import PLAN, now, read_plan, write_plan
from .planning import on_validation, ordered
from .predictions import flipped_calls, write_predictions
from .prepare import Prepared, prepare, running, scored, scored_further, with_backends
from .process import ModelProcess
from .quality import Comparison, Scores, Splits, assess, calibrated, compare, margins_of
from .report import FLIPPED, OUTPUTS, PREDICTIONS, RESULT, require_packages, write_report
from .result import (
    QUICK_ROUNDS,
    QUICK_SECONDS,
    ROUNDS,
    SECONDS,
    BenchResult,
    DataFacts,
    ModelResult,
    Settings,
)
from .rule import Correction, FloorChoice, RuleOptions
from .sameness import Sameness, sameness
from .seeds import Seeds, design_of
from .standing import Standing, machine_of, paths_of, rule_of, seeds_of, standing_of
from .subjects import Subject


def benchmark(
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
    quick: bool = False,
    prevalence: float | None = None,
    price_per_hour: float | None = None,
    currency: str | None = None,
    plan: str | Path | None = None,
    exploratory: bool = False,
    progress: Callable[[str], None] | None = None,
) -> BenchResult:
    """Measure speed, memory and quality of models, and say which one to deploy.

    Each model runs in a process of its own; docs/benchmarking.md says how time and quality are
    measured. That the gate did not pass is no error: `decision.passed` says it.

    Args:
        models: Bundles (run by ONNX Runtime or OpenVINO) and fine-tuned checkpoints (by torch).
        data: Labelled windows (Parquet), of the length and assembly that the models are for.
            Validation calibrates checkpoints, test gives the quality.
        output: The folder to write: `report.html`, `report.md`, `bench.json`, `bench.tsv`, a
            picture, the plan, the logits and the calls that change. It appears whole or not at
            all, in place of a former benchmark.
        baseline: What to compare with, among `models` or not; by default the first of them.
        margin: The AUROC that a model may lose and still count as non-inferior, to be fixed before
            any figure is seen; by default 0.01.
        correction: For the number of models: `holm` (default), or `sequence`: one after the other
            from the slowest to the fastest, until one does not pass.
        max_p95_ms: Limit in milliseconds on the 95th percentile of latency, from one variant to its
            logits.
        max_memory_mb: Limit in megabytes (10^6 bytes) on the peak memory of a model's process.
        min_sensitivity: What the sensitivity at the model's own threshold must be shown to reach.
        floors: Simple models, the best of which on validation a model must be shown to beat:
            regressions of k-mers (`kmer`) and, with `all`, of embeddings of the base model before
            fine-tuning, where that is on this machine; `auto` (default) is `all` if it takes
            minutes at most.
        baseline_column: A column of numbers in the data (`distance_to_tss`, or an annotation) that
            is a floor too.
        subgroup_limit: The AUROC that a model may lose in any subgroup of the test rows; by default
            0.05.
        seeds: By the path of a model, those of its other fine-tuned seeds. The decision is then on
            the mean over seeds, paired by seed, and how much they vary is part of its error.
        device: Where to compute; `auto` is CUDA where that loads, else the CPU.
        backend: What runs bundles; `auto` is the faster exact one here.
        threads: Of each model; by default as many as the process may use.
        precision: What checkpoints are computed in, `fp32` (default), `tf32`, `bf16` or `fp16`; the
            weights are then of that type. Bundles have a precision of their own, but for `tf32`,
            which is for their float32 products too. `tf32` and `fp16` need CUDA.
        seconds: For the timings of one model; by default 20.
        quick: A first look: fewer rounds, by default 3 seconds, and no cold start.
        prevalence: The share of positives in use, for PPV and NPV; without it there are none.
        price_per_hour: What an hour of this machine costs, for the cost of a million variants and
            of a genome.
        currency: What it is paid in, such as `EUR`.
        plan: A plan that `plan_benchmark` sealed. It says which `models` there are (they may be
            empty), by which rule is decided, and where they run. Without one the rule is sealed
            here, before the test split is opened.
        exploratory: Whether to decide by a rule that was made after test figures of these models
            were seen; all that is written then says so.
        progress: Called with each step in words.

    Returns:
        Every figure of every model, and the decision. The first of its `models` is the baseline.

    Raises:
        UsageError: options that do not exist, do not go together or are not those of the plan, a
            model named twice.
        GateError: a bundle is damaged, a plan or a model was changed after it was sealed, or the
            rule was made after test figures of these models were seen.
        GenoslimError: what is no model or no data, or does not fit together; too few rows of a
            class in validation or test; a model's process died.

    Example:
        >>> from genoslim import benchmark
        >>> found = benchmark(["my-bundle"], "data.parquet", output="bench", quick=True)
        >>> found.baseline.subject.name
        'my-bundle'
        >>> found.baseline.speed_up
        1.0
    """
    if isinstance(models, str | Path):
        raise UsageError(f"models is one path, {models}; expected a list of them")
    output, data, tell = Path(output), Path(data), progress or (lambda _: None)
    given = None if plan is None else read_plan(Path(plan))
    rule = rule_of(
        given,
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
    if seconds is None:
        seconds = QUICK_SECONDS if quick else SECONDS
    settings = Settings(
        **vars(rule),
        **vars(
            machine_of(given, device=device, backend=backend, threads=threads, precision=precision)
        ),
        seconds=seconds,
        rounds=QUICK_ROUNDS if quick else ROUNDS,
        starts=0 if quick else STARTS,
        prevalence=prevalence,
        price_per_hour=price_per_hour,
        currency=currency,
    )
    require_packages(settings.floors)
    refuse_foreign(output, "benchmark", marker=RESULT, parts=OUTPUTS)
    refuse_unwritable(output)
    prepared = prepare(
        models or paths_of(given),
        data,
        baseline=baseline,
        column=settings.baseline_column,
        seeds=seeds or seeds_of(given),
    )
    standing = standing_of(prepared, rule, settings, given=given, exploratory=exploratory)
    command = command_of(
        prepared,
        settings,
        output,
        plan=None if plan is None else Path(plan),
        exploratory=exploratory,
    )
    return _run(with_backends(prepared, settings), settings, standing, output, command, tell)


def _run(
    prepared: Prepared,
    settings: Settings,
    standing: Standing,
    output: Path,
    command: str,
    tell: Callable[[str], None],
) -> BenchResult:
    """Time the models, seal the rule, open the test split and decide; each model in its process."""
    environment, facts = describe_environment(), _facts(prepared)
    with running(prepared.subjects, prepared, settings) as processes:
        measured = measure(
            processes, seconds=settings.seconds, rounds=settings.rounds, progress=tell
        )
        costs = _costs(processes, prepared, measured, settings, tell)
        validation = scored(processes, prepared, "validation", tell)
        if not standing.sealed:
            weighed = on_validation(prepared, validation, settings)
            standing = replace(standing, plan=ordered(standing.plan, measured, weighed, prepared))
        with atomic_folder(output) as folder:
            write_plan(folder / PLAN, standing.plan)
            record_opening(prepared.path, standing.plan, output)
            tell(f"opening the test split, by the rule sealed at {standing.plan.sealed_at}")
            scores = _scores(prepared, validation, scored(processes, prepared, "test", tell))
            for process in processes:
                process.close()
            further = scored_further(prepared, settings, tell)
            floors = _floors(prepared, settings, measured, tell)
            tell("comparing")
            models, basis, decision = _decided(
                prepared, settings, standing, measured, costs, scores, further, floors
            )
            result = BenchResult(
                folder=output,
                made_at=now(),
                command=command,
                settings=settings,
                environment=environment,
                data=facts,
                basis=basis,
                floors=floors.found,
                plan=standing.plan,
                exploratory=standing.exploratory,
                known_before=standing.known,
                models=tuple(models),
                decision=decision,
            )
            _write(folder, result, prepared, scores, further, floors.scores)
    return result


def _costs(
    processes: Sequence[ModelProcess],
    prepared: Prepared,
    measured: Sequence[Measurement],
    settings: Settings,
    tell: Callable[[str], None],
) -> list[Costs]:
    windows = [prepared.windows(subject, "validation")[0] for subject in prepared.subjects]
    return measure_costs(
        processes,
        measured,
        windows,
        settings,
        seconds=settings.seconds,
        starts=settings.starts,
        price_per_hour=settings.price_per_hour,
        progress=tell,
    )


def _scores(
    prepared: Prepared, validation: Sequence[Logits], test: Sequence[Logits]
) -> list[Scores]:
    return [
        calibrated(subject, prepared.splits["validation"], {"validation": one, "test": other})
        for subject, one, other in zip(prepared.subjects, validation, test, strict=True)
    ]


class _Floors(NamedTuple):
    """What simple models reach, and their scores."""

    found: Floors
    scores: FloorScores


def _floors(
    prepared: Prepared,
    settings: Settings,
    measured: Sequence[Measurement],
    tell: Callable[[str], None],
) -> _Floors:
    return _Floors(
        *measure_floors(
            prepared.data,
            bases_of(prepared.subjects),
            choice=settings.floors,
            column=settings.baseline_column,
            cuda=not all(one.on_cpu for one in measured),
            threads=settings.threads,
            progress=tell,
        )
    )


def _decided(
    prepared: Prepared,
    settings: Settings,
    standing: Standing,
    measured: Sequence[Measurement],
    costs: Sequence[Costs],
    scores: Sequence[Scores],
    further: Sequence[Logits],
    floors: _Floors,
) -> tuple[list[ModelResult], Basis, Decision]:
    """Weigh the models on the test split, decide, and say how good each is."""
    checks = check(prepared.data, prepared.splits, scores, floors.found, floors.scores, settings)
    sample = prepared.sample("test")
    runs = [one.margins for one in scores] + [margins_of(one) for one in further]
    calls = np.stack([one.calls for one in scores], axis=1)
    evidence = weigh(
        sample,
        np.stack(runs, axis=1),
        rule=settings,
        calls=calls,
        design=design_of(prepared.subjects, prepared.further),
    )
    basis = Basis.of(sample)
    twins = _sameness(prepared.subjects, scores)
    decision = decide(
        _candidates(prepared.subjects, measured, evidence, checks, twins),
        rule=settings,
        basis=basis,
        order=standing.plan.order,
        exploratory=standing.exploratory,
    )
    weighed = list(zip(evidence, checks, twins, strict=True))
    models = _results(
        prepared, measured, costs, scores, weighed, decision.tests, settings.prevalence
    )
    return models, basis, decision


def _results(
    prepared: Prepared,
    measured: Sequence[Measurement],
    costs: Sequence[Costs],
    scores: Sequence[Scores],
    weighed: Sequence[tuple[Evidence, Checks, Sameness | None]],
    tests: Mapping[str, NonInferiority],
    prevalence: float | None,
) -> list[ModelResult]:
    splits = prepared.splits
    results = []
    for subject, measurement, cost, own, (found, checked, twin) in zip(
        prepared.subjects, measured, costs, scores, weighed, strict=True
    ):
        fingerprint = prepared.data_for(subject).fingerprint
        warnings = _warnings(subject, measurement, measured[0], fingerprint)
        results.append(
            ModelResult(
                subject=subject,
                measurement=measurement,
                costs=cost,
                quality=assess(splits, own, prevalence=prevalence),
                comparison=_comparison(splits, scores[0], own, tests.get(subject.name)),
                evidence=found,
                sameness=twin,
                floor=checked.floor,
                subgroups=checked.subgroups,
                speed_up=measurement.speed_up(measured[0]).median,
                warnings=tuple(filter(None, (*warnings, checked.subgroups.warning))),
            )
        )
    return results


def _comparison(
    splits: Splits, baseline: Scores, own: Scores, decisive: NonInferiority | None
) -> Comparison | None:
    test = splits["test"]
    return None if decisive is None else compare(test, baseline, own, decisive=decisive)


def _warnings(
    subject: Subject, measurement: Measurement, baseline: Measurement, fingerprint: str
) -> list[str]:
    found = []
    if measurement.on_cpu != baseline.on_cpu:
        found.append(
            f"ran on {measurement.provider}, the baseline on {baseline.provider}: the speed-up is"
            " one of devices too (--device cpu puts both on the processor)"
        )
    latency = measurement.latency
    if latency.noisy:
        found.append(
            f"batch-1 times vary by {latency.spread:.0%} (IQR / median): a busy machine, or windows"
            " of unequal token counts"
        )
    if subject.trained_on is None:
        found.append("what it was trained on is not recorded: it may know the test rows")
    elif subject.trained_on != fingerprint:
        found.append(
            f"trained on other data ({subject.trained_on[:12]}) than this ({fingerprint[:12]}):"
            " it may know the test rows"
        )
    return found


def _candidates(
    subjects: Sequence[Subject],
    measured: Sequence[Measurement],
    evidence: Sequence[Evidence],
    checks: Sequence[Checks],
    twins: Sequence[Sameness | None],
) -> list[Candidate]:
    return [
        Candidate(
            name=subject.name,
            digest=subject.digest,
            baseline=found.loss is None,
            speed_up=measurement.speed_up(measured[0]).median,
            p95=measurement.latency.p95,
            memory=measurement.memory.peak,
            size=subject.size,
            evidence=found,
            same=bool(twin and twin.same),
            objections=checked.objections,
            merits=(*([str(twin)] if twin and twin.same else []), *checked.merits),
        )
        for subject, measurement, found, checked, twin in zip(
            subjects, measured, evidence, checks, twins, strict=True
        )
    ]


def _sameness(subjects: Sequence[Subject], scores: Sequence[Scores]) -> list[Sameness | None]:
    """Compare each model with the baseline, which itself is compared with nothing."""
    first, *others = zip(subjects, scores, strict=True)
    return [None, *(sameness(first[0], own, first[1], found) for own, found in others)]


def _write(
    folder: Path,
    result: BenchResult,
    prepared: Prepared,
    scores: Sequence[Scores],
    further: Sequence[Logits],
    of_floors: FloorScores,
) -> None:
    """Write every output but the plan, which is there."""
    splits, subjects = prepared.splits, prepared.subjects
    seeds = list(zip(prepared.further, further, strict=True))
    write_predictions(folder / PREDICTIONS, splits, subjects, scores, of_floors, seeds)
    write_text(folder / FLIPPED, flipped_calls(splits, subjects, scores))
    write_report(result, folder)


def _facts(prepared: Prepared) -> DataFacts:
    data, test = prepared.data, prepared.splits["test"]
    try:
        check_leakage(data)
        leakage = None
    except Leakage as error:
        leakage = str(error)
    return DataFacts(
        path=str(prepared.path),
        fingerprint=data.fingerprint,
        cuts={str(length): cut.fingerprint for length, cut in prepared.cuts.items()},
        source=data.metadata.source,
        assembly=data.metadata.assembly,
        licence=data.metadata.licence,
        window_length=data.metadata.window_length,
        splits=data.split_counts,
        test_positives=int(test.labels.sum()),
        leakage=leakage,
        recurring=recurring(test.keys),
        groups=len(set(test.groups.tolist()) - {""}),
    )
