"""Benchmark models against a baseline: speed, memory, quality, and which one to deploy."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.dataset import LabelledData
from ..data.splits import Leakage, check_leakage
from ..errors import GenoslimError
from ..files import atomic_folder, refuse_foreign
from ..stats.noninferiority import DEFAULT_MARGIN
from .backends import with_backend
from .decision import Candidate, Decision, decide
from .environment import describe_environment
from .measure import Measurement, measure
from .meter import Meter
from .process import ModelProcess
from .quality import Scores, calibrated, compare, judge, recurring
from .report import OUTPUTS, PREDICTIONS, RESULT, require_packages, write_report
from .result import BenchResult, DataFacts, ModelResult, Settings
from .subjects import Subject, open_subjects
from .workload import write_workload

SPLITS = ("validation", "test")


QUICK = {"seconds": 3.0, "rounds": 3}
"""The settings of a quick look."""


def run_bench(
    models: Sequence[Path],
    data: Path,
    out: Path,
    *,
    baseline: Path | None = None,
    margin: float = DEFAULT_MARGIN,
    max_p95_ms: float | None = None,
    device: str = "auto",
    backend: str = "auto",
    threads: int | None = None,
    seconds: float | None = None,
    quick: bool = False,
    prevalence: float | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> BenchResult:
    """Benchmark `models` on the labelled windows of `data` and write the folder `out`.

    `baseline` is the first model by default; one that is not among `models` is added. `out` is
    written whole or not at all: a former benchmark there is replaced, anything else refused. The
    result's `decision.passed` says whether the gate passed; that is left for the caller to act on.

    Raises UsageError for bad options; GenoslimError for what is no model, no data or does not fit
    together (window length, assembly, no test rows); GateError for a bundle that was changed.
    """
    chosen: dict[str, Any] = dict(QUICK) if quick else {}
    settings = Settings(
        margin=margin,
        max_p95_ms=max_p95_ms,
        device=device,
        backend=backend,
        threads=threads,
        prevalence=prevalence,
        **(chosen | ({"seconds": seconds} if seconds is not None else {})),
    )
    require_packages()
    refuse_foreign(out, "benchmark", marker=RESULT, parts=OUTPUTS)
    subjects = open_subjects(_baseline_first(models, baseline))
    labelled = LabelledData.read(data)
    for subject in subjects:
        subject.check_fits(labelled)
    splits = {name: _split(labelled, name, data) for name in SPLITS}
    subjects = [
        with_backend(subject, backend, device=device, threads=threads) for subject in subjects
    ]
    environment = describe_environment()
    facts = _facts(data, labelled, splits["test"])
    measured, logits = _run(subjects, splits, settings, progress)
    progress("comparing")
    scores = [
        calibrated(subject, splits["validation"], found)
        for subject, found in zip(subjects, logits, strict=True)
    ]
    results = _results(subjects, measured, scores, splits["test"], labelled.fingerprint, settings)
    result = BenchResult(
        folder=out,
        settings=settings,
        environment=environment,
        data=facts,
        models=tuple(results),
        decision=_decide(results, settings),
    )
    _write(result, logits, splits["test"])
    return result


def _run(
    subjects: Sequence[Subject],
    splits: dict[str, LabelledData],
    settings: Settings,
    progress: Callable[[str], None],
) -> tuple[list[Measurement], list[dict[str, NDArray[np.float32]]]]:
    """Time every model, then score both splits with it; each in its own process throughout."""
    with tempfile.TemporaryDirectory(prefix="genoslim-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        write_workload(splits["test"].sequences, folder)
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


def _results(
    subjects: Sequence[Subject],
    measured: Sequence[Measurement],
    scores: Sequence[Scores],
    test: LabelledData,
    fingerprint: str,
    settings: Settings,
) -> list[ModelResult]:
    results = []
    for place, (subject, measurement, own) in enumerate(
        zip(subjects, measured, scores, strict=True)
    ):
        first = place == 0
        results.append(
            ModelResult(
                subject=subject,
                measurement=measurement,
                quality=judge(test, own, prevalence=settings.prevalence),
                comparison=None if first else compare(test, scores[0], own, margin=settings.margin),
                speed_up=measurement.speed_up(measured[0]).median,
                warnings=tuple(_warnings(subject, measurement, measured[0], fingerprint)),
            )
        )
    return results


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


def _decide(results: Sequence[ModelResult], settings: Settings) -> Decision:
    candidates = [
        Candidate(
            name=result.subject.name,
            digest=result.subject.digest,
            baseline=result.comparison is None,
            speed_up=result.speed_up,
            p95=result.measurement.latency.p95,
            size=result.subject.size,
            auroc_low=result.quality.interval.low,
            lower_bound=result.comparison.noninferiority.lower_bound if result.comparison else 0.0,
            noninferior=result.comparison is None or result.comparison.noninferiority.passed,
        )
        for result in results
    ]
    return decide(candidates, margin=settings.margin, max_p95_ms=settings.max_p95_ms)


def _write(
    result: BenchResult, logits: Sequence[dict[str, NDArray[np.float32]]], test: LabelledData
) -> None:
    """Write every output into one folder that appears whole."""
    with atomic_folder(result.folder) as folder:
        arrays: dict[str, Any] = {
            "models": np.array([model.subject.name for model in result.models]),
            "test_labels": test.labels,
            "test_keys": test.keys,
        }
        for place, of_model in enumerate(logits):
            arrays |= {f"{split}_logits_{place}": found for split, found in of_model.items()}
        np.savez_compressed(folder / PREDICTIONS, **arrays)
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
        recurring=recurring(test),
        groups=len(set(test.groups.tolist()) - {""}),
    )


def _split(data: LabelledData, name: Any, path: Path) -> LabelledData:
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


def _baseline_first(models: Sequence[Path], baseline: Path | None) -> list[Path]:
    if baseline is None:
        return list(models)
    others = [path for path in models if path.resolve() != baseline.resolve()]
    return [baseline, *others]
