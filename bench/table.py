"""The benchmark as a table: one row a model, plain values for TSV and text for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .measure import BATCHES
from .result import BenchResult, ModelResult

Value = str | int | float | bool | None

_MEGA = 1e6


def tsv(result: BenchResult) -> str:
    """Return tab-separated text with a header: times in ms, sizes in bytes, blanks for unknowns."""
    rows = [values(model, result) for model in result.models]
    lines = ["\t".join(rows[0]), *("\t".join(map(_cell, row.values())) for row in rows)]
    return "\n".join(lines) + "\n"


def values(model: ModelResult, result: BenchResult) -> dict[str, Value]:
    """Return every figure of one model by column name."""
    return {
        **_identity(model, result),
        **_speed(model, result),
        **_quality(model),
        **_against_baseline(model),
        "verdict": result.decision.reasons[model.subject.name],
    }


def _identity(model: ModelResult, result: BenchResult) -> dict[str, Value]:
    subject = model.subject
    return {
        "model": subject.name,
        "chosen": subject.name == result.decision.deploy,
        "baseline": model.comparison is None,
        "backend": subject.backend,
        "provider": model.measurement.provider,
        "precision": subject.precision,
        "layers": subject.layers,
        "parameters": subject.parameters,
        "size_bytes": subject.size,
        "fine_tune_seconds": subject.fine_tune_seconds,
    }


def _speed(model: ModelResult, result: BenchResult) -> dict[str, Value]:
    measured = model.measurement
    whole, alone = measured.latency, measured.latency_model
    ratio = measured.speed_up(result.baseline.measurement)
    return {
        "load_ms": measured.load_seconds * 1000,
        "first_call_ms": measured.first_seconds * 1000,
        "runs": whole.n,
        "p50_ms": whole.p50 * 1000,
        "p90_ms": whole.p90 * 1000,
        "p95_ms": whole.p95 * 1000,
        "p99_ms": None if whole.p99 is None else whole.p99 * 1000,
        "p99_runs_missing": whole.p99_missing,
        "iqr_over_median": whole.spread,
        "model_p50_ms": alone.p50 * 1000,
        "model_p95_ms": alone.p95 * 1000,
        "speed_up": ratio.median,
        "speed_up_low": ratio.low,
        "speed_up_high": ratio.high,
        **{f"windows_per_s_batch_{batch}": measured.throughput(batch) for batch in BATCHES},
        "variants_per_s_end_to_end": measured.end_to_end,
        "peak_memory_batch_1_bytes": measured.memory.peak_batch_1,
        "peak_memory_bytes": measured.memory.peak,
        "cuda_peak_bytes": measured.memory.cuda_peak,
    }


def _quality(model: ModelResult) -> dict[str, Value]:
    quality = model.quality
    metrics, predictive, groups = quality.metrics, quality.predictive, quality.by_group
    return {
        "n": metrics.n,
        "auroc": metrics.auroc,
        "auroc_low": quality.interval.low,
        "auroc_high": quality.interval.high,
        "macro_auroc": groups.macro_mean if groups else None,
        "threshold": metrics.threshold,
        "temperature": quality.temperature,
        "accuracy": metrics.accuracy,
        "f1": metrics.f1,
        "true_positive_rate": metrics.true_positive_rate,
        "specificity": metrics.specificity,
        "brier": quality.brier,
        "expected_calibration_error": quality.expected_calibration_error,
        **{
            f"sensitivity_at_{float(name):.0%}_specificity".replace("%", ""): point.sensitivity
            for name, point in quality.operating_points.items()
        },
        "prevalence": predictive.prevalence if predictive else None,
        "ppv": predictive.ppv if predictive else None,
        "npv": predictive.npv if predictive else None,
    }


def _against_baseline(model: ModelResult) -> dict[str, Value]:
    found = model.comparison
    names: dict[str, Callable[[Any], Value]] = {
        "auroc_difference": lambda c: c.difference,
        "difference_low": lambda c: c.low,
        "difference_high": lambda c: c.high,
        "difference_p": lambda c: c.p_value,
        "difference_method": lambda c: c.method,
        "margin": lambda c: c.noninferiority.margin,
        "lower_bound": lambda c: c.noninferiority.lower_bound,
        "noninferior": lambda c: c.noninferiority.passed,
        "macro_difference": lambda c: c.macro_difference,
        "flipped": lambda c: c.flipped,
    }
    return {name: None if found is None else get(found) for name, get in names.items()}


def speed_table(result: BenchResult) -> tuple[list[str], list[list[str]]]:
    """Return header and rows for people: latency, throughput, memory and cost."""
    header = [
        "model", "runs on", "layers", "p50, ms", "p90, ms", "p95, ms", "p99, ms", "runs",
        "p50 of the network alone, ms", "speed-up (range over rounds)",
        *(f"windows/s at batch {batch}, network alone" for batch in BATCHES),
        "variants/s, windows and tokens included", "first call, ms", "peak memory, MB",
        "size on disk, MB", "parameters, millions", "fine-tuning, s",
    ]  # fmt: skip
    return header, [_speed_row(model, result) for model in result.models]


def _speed_row(model: ModelResult, result: BenchResult) -> list[str]:
    found = values(model, result)
    measured = model.measurement
    tail = found["p99_ms"]
    fine_tuning = model.subject.fine_tune_seconds
    return [
        model.subject.name,
        f"{model.subject.backend} ({measured.provider.removesuffix('ExecutionProvider')})",
        str(model.subject.layers),
        *(_ms(found[name]) for name in ("p50_ms", "p90_ms", "p95_ms")),
        f"{measured.latency.p99_missing} runs missing" if tail is None else _ms(tail),
        str(found["runs"]),
        _ms(found["model_p50_ms"]),
        f"{found['speed_up']:.2f}x ({found['speed_up_low']:.2f} to {found['speed_up_high']:.2f})",
        *(_rate(measured.throughput(batch)) for batch in BATCHES),
        _rate(measured.end_to_end),
        _ms(found["first_call_ms"]),
        f"{measured.memory.peak / _MEGA:.0f}",
        f"{model.subject.size / _MEGA:.3g}",
        f"{model.subject.parameters / _MEGA:.3g}",
        "not recorded" if fine_tuning is None else f"{fine_tuning:.4g}",
    ]


def quality_table(result: BenchResult) -> tuple[list[str], list[list[str]]]:
    """Return header and rows for people: quality on test, and against the baseline."""
    grouped = result.baseline.quality.by_group is not None
    prevalence = result.settings.prevalence
    header = [
        "model", "AUROC (95 % interval)", *(["mean AUROC of groups"] if grouped else []),
        "difference to baseline (95 % interval)", "p of no difference",
        "one-sided 95 % lower bound", "non-inferior", "accuracy", "F1", "true-positive rate",
        "threshold", "sensitivity at 90 % specificity", "sensitivity at 95 % specificity",
        "Brier score", "expected calibration error", "calls flipped against the baseline",
        *([] if prevalence is None else [f"PPV at {prevalence:g}", f"NPV at {prevalence:g}"]),
    ]  # fmt: skip
    return header, [_quality_row(model, grouped=grouped) for model in result.models]


def _quality_row(model: ModelResult, *, grouped: bool) -> list[str]:
    quality = model.quality
    metrics, groups, predictive = quality.metrics, quality.by_group, quality.predictive
    middle = [f"{groups.macro_mean:.4f}" if groups else "-"] if grouped else []
    return [
        model.subject.name,
        f"{metrics.auroc:.4f} ({quality.interval.low:.4f} to {quality.interval.high:.4f})",
        *middle,
        *_comparison_cells(model),
        *(f"{v:.4f}" for v in (metrics.accuracy, metrics.f1, metrics.true_positive_rate)),
        f"{metrics.threshold:.4f}",
        *(f"{point.sensitivity:.4f}" for point in quality.operating_points.values()),
        f"{quality.brier:.4f}",
        f"{quality.expected_calibration_error:.4f}",
        str(model.comparison.flipped) if model.comparison else "-",
        *([_share(predictive.ppv), _share(predictive.npv)] if predictive else []),
    ]


def _comparison_cells(model: ModelResult) -> list[str]:
    found = model.comparison
    if found is None:
        return ["baseline", "-", "-", "-"]
    return [
        f"{found.difference:+.4f} ({found.low:+.4f} to {found.high:+.4f})",
        f"{found.p_value:.2g}",
        f"{found.noninferiority.lower_bound:+.4f}",
        "yes" if found.noninferiority.passed else "not shown",
    ]


def summary_table(result: BenchResult) -> str:
    """Return the few figures that fit a terminal, aligned."""
    header = ["model", "p50 ms", "p95 ms", "runs", "speed-up", "variants/s", "peak MB", "AUROC",
              "difference", "non-inferior"]  # fmt: skip
    rows = [_summary_row(model) for model in result.models]
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    return "\n".join(_aligned(row, widths) for row in [header, *rows])


def _summary_row(model: ModelResult) -> list[str]:
    measured, quality, found = model.measurement, model.quality, model.comparison
    interval = f"{quality.interval.low:.4f}-{quality.interval.high:.4f}"
    return [
        model.subject.name,
        _ms(measured.latency.p50 * 1000),
        _ms(measured.latency.p95 * 1000),
        str(measured.latency.n),
        f"{model.speed_up:.2f}x",
        _rate(measured.end_to_end),
        f"{measured.memory.peak / _MEGA:.0f}",
        f"{quality.metrics.auroc:.4f} ({interval})",
        "baseline" if found is None else f"{found.difference:+.4f}",
        "-" if found is None else ("yes" if found.noninferiority.passed else "not shown"),
    ]


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [row[0].ljust(widths[0])]
    cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
    return "  ".join(cells).rstrip()


def _cell(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.10g}" if isinstance(value, float) else str(value).replace("\t", " ")


def _ms(value: Any) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def _rate(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
