"""Benchmark models against a baseline: speed, memory, quality, and which one to deploy."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from ..bundle.sessions import Backend, Device
from ..data.dataset import LabelledData, read_data
from ..data.leakage import Leakage, check_leakage
from ..errors import GenoslimError, UsageError
from ..files import atomic_folder, refuse_foreign, refuse_unwritable, write_text
from ..prune.measure import SPLITS, Sample, Split
from ..prune.subgroups import SUBGROUP_LIMIT
from ..stats.auroc import recurring
from ..stats.noninferiority import DEFAULT_MARGIN
from .backends import Logits, with_backend
from .checks import Checks, check
from .decision import Candidate, Decision, NonInferiority, decide
from .environment import describe_environment
from .evidence import Basis, Evidence, weigh
from .floors import FloorScores, bases_of, measure_floors
from .measure import Measurement, measure
from .meter import Meter
from .predictions import flipped_calls, write_predictions
from .process import ModelProcess
from .quality import Comparison, Scores, Splits, assess, calibrated, compare, rows_of
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
from .rule import Correction, FloorChoice, Rule
from .subjects import Subject, open_subjects
from .workload import write_workload

SplitLogits = dict[Split, Logits]
"""Logits [n, 2] of one model, by split."""


def benchmark(
    models: Sequence[str | Path],
    data: str | Path,
    *,
    output: str | Path,
    baseline: str | Path | None = None,
    margin: float = DEFAULT_MARGIN,
    correction: Correction = "holm",
    max_p95_ms: float | None = None,
    max_memory_mb: float | None = None,
    min_sensitivity: float | None = None,
    floors: FloorChoice = "auto",
    baseline_column: str | None = None,
    subgroup_limit: float = SUBGROUP_LIMIT,
    device: Device = "auto",
    backend: Backend = "auto",
    threads: int | None = None,
    seconds: float | None = None,
    quick: bool = False,
    prevalence: float | None = None,
    progress: Callable[[str], None] | None = None,
) -> BenchResult:
    """Measure speed, memory and quality of models, and say which one to deploy.

    Each model runs in a process of its own; docs/benchmarking.md says how time and quality are
    measured. That the gate did not pass is no error: `decision.passed` says it.

    Args:
        models: Bundles (run by ONNX Runtime or OpenVINO) and fine-tuned checkpoints (by torch).
        data: Labelled windows (Parquet), of the length and assembly that the models are for.
            Validation calibrates checkpoints, test gives the quality.
        output: The folder to write: `report.html`, `bench.json`, `bench.tsv`, a picture, the
            logits and the calls that change. It appears whole or not at all, in place of a former
            benchmark.
        baseline: What to compare with, among `models` or not; by default the first of them.
        margin: The AUROC that a model may lose and still count as non-inferior; to be fixed before
            any figure is seen.
        correction: For the number of models: Holm's, or `sequence`: one after the other from the
            slowest to the fastest, until one does not pass.
        max_p95_ms: Limit in milliseconds on the 95th percentile of latency, from one variant to its
            logits.
        max_memory_mb: Limit in megabytes (10^6 bytes) on the peak memory of a model's process.
        min_sensitivity: What the sensitivity at the model's own threshold must be shown to reach.
        floors: Simple models, the best of which on validation a model must be shown to beat:
            regressions of k-mers (`kmer`) and, with `all`, of embeddings of the base model before
            fine-tuning, where that is on this machine; `auto` is `all` if it takes minutes at most.
        baseline_column: A column of numbers in the data (`distance_to_tss`, or an annotation) that
            is a floor too.
        subgroup_limit: The AUROC that a model may lose in any subgroup of the test rows.
        device: Where to compute; `auto` is CUDA where that loads, else the CPU.
        backend: What runs bundles; `auto` is the faster exact one here.
        threads: Of each model; by default as many as the process may use.
        seconds: For the timings of one model; by default 20.
        quick: A first look: fewer rounds, and by default 3 seconds.
        prevalence: The share of positives in use, for PPV and NPV; without it there are none.
        progress: Called with each step in words.

    Returns:
        Every figure of every model, and the decision. The first of its `models` is the baseline.

    Raises:
        UsageError: options that do not exist or do not go together, a model named twice.
        GateError: a bundle is damaged.
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
    if seconds is None:
        seconds = QUICK_SECONDS if quick else SECONDS
    settings = Settings(
        margin=margin,
        correction=correction,
        max_p95_ms=max_p95_ms,
        max_memory_mb=max_memory_mb,
        min_sensitivity=min_sensitivity,
        floors=floors,
        baseline_column=baseline_column,
        subgroup_limit=subgroup_limit,
        device=device,
        backend=backend,
        threads=threads,
        seconds=seconds,
        rounds=QUICK_ROUNDS if quick else ROUNDS,
        prevalence=prevalence,
    )
    require_packages(floors)
    refuse_foreign(output, "benchmark", marker=RESULT, parts=OUTPUTS)
    refuse_unwritable(output)
    subjects = open_subjects(_baseline_first(list(map(Path, models)), baseline))
    labelled = read_data(data)
    for subject in subjects:
        subject.check_fits(labelled)
    if baseline_column is not None:
        labelled.numbers(baseline_column)
    splits = {name: _split(labelled, name, data) for name in SPLITS}
    subjects = [
        with_backend(subject, backend, device=device, threads=threads) for subject in subjects
    ]
    environment = describe_environment()
    facts = _facts(data, labelled, splits["test"])
    measured, logits = _measured(subjects, splits, settings, tell)
    tell("comparing")
    scores = [
        calibrated(subject, splits["validation"], found)
        for subject, found in zip(subjects, logits, strict=True)
    ]
    found_floors, of_floors = measure_floors(
        labelled,
        bases_of(subjects),
        choice=floors,
        column=baseline_column,
        cuda=not all(map(_on_cpu, measured)),
        threads=threads,
        progress=tell,
    )
    checks = check(labelled, splits, scores, found_floors, of_floors, settings)
    basis, evidence = _evidence(splits, scores, settings)
    decision = _decide(subjects, measured, evidence, checks, settings, basis)
    results = _results(
        subjects,
        measured,
        scores,
        evidence,
        checks,
        decision.tests,
        splits,
        labelled.fingerprint,
        prevalence,
    )
    result = BenchResult(
        folder=output,
        settings=settings,
        environment=environment,
        data=facts,
        basis=basis,
        floors=found_floors,
        models=tuple(results),
        decision=decision,
    )
    _write(result, splits, subjects, scores, of_floors)
    return result


def _measured(
    subjects: Sequence[Subject],
    splits: Splits,
    settings: Settings,
    progress: Callable[[str], None],
) -> tuple[list[Measurement], list[SplitLogits]]:
    """Time every model, then score both splits with it; each in its own process throughout."""
    with tempfile.TemporaryDirectory(prefix="genoslim-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        write_workload(splits["validation"].sequences, folder)
        processes = [
            stack.enter_context(
                ModelProcess(
                    subject, workload=folder, device=settings.device, threads=settings.threads
                )
            )
            for subject in subjects
        ]
        measured = measure(
            processes, seconds=settings.seconds, rounds=settings.rounds, progress=progress
        )
        logits = []
        for process in processes:
            progress(f"scoring the data with {process.subject.name}")
            logits.append(
                {
                    split: process.call(Meter.logits, rows.sequences)
                    for split, rows in splits.items()
                }
            )
            process.close()
        return measured, logits


def _evidence(splits: Splits, scores: Sequence[Scores], rule: Rule) -> tuple[Basis, list[Evidence]]:
    """Say what the test rows tell of each model, and how many independent ones there are."""
    sample = Sample.of(rows_of(splits), "test")
    probabilities = np.stack([one.probabilities for one in scores], axis=1)
    calls = np.stack([one.calls for one in scores], axis=1)
    return Basis.of(sample), weigh(sample, probabilities, rule=rule, calls=calls)


def _results(
    subjects: Sequence[Subject],
    measured: Sequence[Measurement],
    scores: Sequence[Scores],
    evidence: Sequence[Evidence],
    checks: Sequence[Checks],
    tests: Mapping[str, NonInferiority],
    splits: Splits,
    fingerprint: str,
    prevalence: float | None,
) -> list[ModelResult]:
    test, results = splits["test"], []
    for subject, measurement, own, found, checked in zip(
        subjects, measured, scores, evidence, checks, strict=True
    ):
        warnings = _warnings(subject, measurement, measured[0], fingerprint)
        results.append(
            ModelResult(
                subject=subject,
                measurement=measurement,
                quality=assess(splits, own, prevalence=prevalence),
                comparison=_comparison(test, scores[0], own, tests.get(subject.name)),
                evidence=found,
                floor=checked.floor,
                subgroups=checked.subgroups,
                speed_up=measurement.speed_up(measured[0]).median,
                warnings=tuple(filter(None, (*warnings, checked.subgroups.warning))),
            )
        )
    return results


def _comparison(
    test: LabelledData, baseline: Scores, own: Scores, decisive: NonInferiority | None
) -> Comparison | None:
    return None if decisive is None else compare(test, baseline, own, decisive=decisive)


def _warnings(
    subject: Subject, measurement: Measurement, baseline: Measurement, fingerprint: str
) -> list[str]:
    found = []
    if _on_cpu(measurement) != _on_cpu(baseline):
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


def _on_cpu(measurement: Measurement) -> bool:
    return measurement.provider in ("cpu", "CPU", "CPUExecutionProvider")


def _decide(
    subjects: Sequence[Subject],
    measured: Sequence[Measurement],
    evidence: Sequence[Evidence],
    checks: Sequence[Checks],
    rule: Rule,
    basis: Basis,
) -> Decision:
    candidates = [
        Candidate(
            name=subject.name,
            digest=subject.digest,
            baseline=found.loss is None,
            speed_up=measurement.speed_up(measured[0]).median,
            p95=measurement.latency.p95,
            memory=measurement.memory.peak,
            size=subject.size,
            evidence=found,
            objections=checked.objections,
            merits=checked.merits,
        )
        for subject, measurement, found, checked in zip(
            subjects, measured, evidence, checks, strict=True
        )
    ]
    return decide(candidates, rule=rule, basis=basis)


def _write(
    result: BenchResult,
    splits: Splits,
    subjects: Sequence[Subject],
    scores: Sequence[Scores],
    of_floors: FloorScores,
) -> None:
    """Write every output into one folder that appears whole."""
    with atomic_folder(result.folder) as folder:
        write_predictions(folder / PREDICTIONS, splits, subjects, scores, of_floors)
        write_text(folder / FLIPPED, flipped_calls(splits, subjects, scores))
        write_report(result, folder)


def _facts(path: Path, data: LabelledData, test: LabelledData) -> DataFacts:
    try:
        check_leakage(data)
        leakage = None
    except Leakage as error:
        leakage = str(error)
    return DataFacts(
        path=str(path),
        fingerprint=data.fingerprint,
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


def _split(data: LabelledData, name: Split, path: Path) -> LabelledData:
    try:
        rows = data.split(name)
    except GenoslimError as error:
        raise GenoslimError(f"{path}: {error}") from None
    positives = int(rows.labels.sum())
    if min(positives, len(rows) - positives) < 2:
        raise GenoslimError(
            f"{path}: split {name} has {positives} positive and {len(rows) - positives} negative"
            " rows; a comparison needs two of each at least"
        )
    return rows


def _baseline_first(models: list[Path], baseline: str | Path | None) -> list[Path]:
    if baseline is None:
        return models
    first = Path(baseline)
    return [first, *(path for path in models if path.resolve() != first.resolve())]
