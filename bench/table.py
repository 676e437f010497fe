"""The benchmark as a table: one row a model, plain values for TSV and text for people."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from textwrap import fill

from ..bundle.manifest import PrecisionLoss
from ..stats.estimate import Estimate, decimals, told
from ..tables import table
from .cost_table import cost_figures, cost_values
from .evidence import Basis, Evidence
from .figures import Figures, Value, rate
from .measure import BATCHES
from .plan import BenchPlan
from .quality import CalibrationErrors, Comparison, Quality, sensitivity_at, specificity_for
from .result import BenchResult, ModelResult
from .subgroups import SubgroupAurocs

Rows = tuple[list[str], list[list[str]]]
"""Header and rows."""

KEY = "key"
"""The head of the column of keys."""

_MEGA = 1e6

_CALLS = {
    "accuracy": "accuracy, cut at the threshold",
    "f1": "F1, cut at the threshold",
    "mcc": "MCC, cut at the threshold",
    "true_positive_rate": "true-positive rate, cut at the threshold",
    "specificity": "specificity, cut at the threshold",
}
"""What the table calls the estimates of a model's own calls."""


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
        **cost_values(model, result),
        **_precision(model.subject.loss),
        **_quality(model),
        **_over_seeds(model.subject.seeds_on(_fingerprint(model, result))),
        **_against_baseline(model),
        "same_model": None if model.sameness is None else model.sameness.same,
        **_against_floor(model),
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
        "form": subject.form,
        "precision": subject.precision,
        "window_length": model.measurement.window_length,
        "layers": subject.layers,
        "parameters": subject.parameters,
        "size_bytes": subject.size,
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
        "gpu_memory_bytes": measured.memory.gpu,
    }


def _precision(loss: PrecisionLoss | None) -> dict[str, Value]:
    """Return what the gate of `export` found of a lossy precision; blank for float32."""
    names: dict[str, Callable[[PrecisionLoss], Value]] = {
        "precision_windows": lambda found: found.windows,
        "precision_max_logit_difference": lambda found: found.max_logit_difference,
        "precision_flipped": lambda found: found.flipped,
        "precision_auroc_change": lambda found: found.auroc_change,
        "precision_auroc_change_low": lambda found: found.auroc_interval.low,
        "precision_auroc_change_high": lambda found: found.auroc_interval.high,
    }
    return {name: None if loss is None else get(loss) for name, get in names.items()}


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
        "expected_calibration_error": quality.expected_calibration_error,
        "expected_calibration_error_uncalibrated": quality.uncalibrated.expected_calibration_error,
        **{
            f"threshold_for_{float(asked) * 100:.0f}_specificity": point.threshold
            for asked, point in quality.operating_points.items()
        },
        "prevalence": predictive.prevalence if predictive else None,
        **_with_intervals(quality),
    }


def _over_seeds(aurocs: Sequence[float]) -> dict[str, Value]:
    return {
        "seeds": len(aurocs) or None,
        "seeds_auroc_mean": statistics.mean(aurocs) if aurocs else None,
        "seeds_auroc_sd": statistics.stdev(aurocs) if len(aurocs) > 1 else None,
    }


def _with_intervals(quality: Quality) -> dict[str, Value]:
    """Return every estimate, its interval beside it; PPV and NPV blank without a prevalence."""
    estimates: dict[str, Estimate | None] = {"ppv": None, "npv": None, **quality.estimates}
    for when, errors in (("", quality.calibrated), ("_uncalibrated", quality.uncalibrated)):
        estimates[f"brier{when}"] = errors.brier
        estimates[f"debiased_calibration_error{when}"] = errors.debiased
    return {
        f"{name}{end}": None if one is None else getattr(one, part)
        for name, one in estimates.items()
        for end, part in (("", "value"), ("_low", "low"), ("_high", "high"))
    }


def _against_baseline(model: ModelResult) -> dict[str, Value]:
    found = model.comparison
    names: dict[str, Callable[[Comparison], Value]] = {
        "auroc_difference": lambda c: c.difference,
        "difference_low": lambda c: c.low,
        "difference_high": lambda c: c.high,
        "difference_p": lambda c: c.p_value,
        "difference_method": lambda c: c.method,
        "margin": lambda c: c.noninferiority.margin,
        "lower_bound": lambda c: c.noninferiority.lower_bound,
        "noninferiority_p": lambda c: c.noninferiority.p_value,
        "noninferiority_p_corrected": lambda c: c.noninferiority.adjusted_p,
        "noninferior": lambda c: c.noninferiority.passed,
        "macro_difference": lambda c: c.macro_difference,
        "flipped": lambda c: c.flipped,
    }
    return {name: None if found is None else get(found) for name, get in names.items()}


def _against_floor(model: ModelResult) -> dict[str, Value]:
    found, lost = model.floor, model.subgroups.lost
    return {
        "floor": found.floor if found else None,
        "floor_difference": found.difference.value if found else None,
        "floor_difference_low": found.difference.low if found else None,
        "floor_difference_high": found.difference.high if found else None,
        "better_than_floor": found.shown_better if found else None,
        "subgroups_lost": "; ".join(str(change.subgroup) for change in lost),
    }


def floor_table(result: BenchResult) -> Rows:
    """Return the floors for people, the best on validation first."""
    measure = result.floors.measure
    header = ["floor", "settings", f"validation {measure}", f"test {measure}"]
    return header, [
        [one.name, one.settings, told(one.validation, one.test), str(one.test)]
        for one in result.floors.floors
    ]


def floor_text(result: BenchResult) -> str:
    """Return what there is to say of the floors: which is the best, and what was left out."""
    found, best = result.floors, result.floors.best
    if found.choice == "none":
        lines = ["floors: none, as asked for: no model is compared with a simple one"]
    elif best is None:
        lines = ["floors: none could be had: no model is compared with a simple one"]
    else:
        lines = [f"best floor on validation: {best.name}, test {found.measure} {best.test}"]
    lines += [f"floors: {line}" for line in found.left_out]
    return "\n".join(fill(line, 80, subsequent_indent="  ") for line in lines)


def subgroup_table(result: BenchResult) -> Rows:
    """Return the AUROC of each model by subgroup of the test rows, with its change, for people."""
    header = ["subgroup", "positives", "negatives", *(m.subject.name for m in result.models)]
    rows = []
    for place, (subgroup, _) in enumerate(result.baseline.subgroups.aurocs):
        cells = [_in_subgroup(model.subgroups, place) for model in result.models]
        rows.append([str(subgroup), str(subgroup.positives), str(subgroup.negatives), *cells])
    return header, rows


def _in_subgroup(found: SubgroupAurocs, place: int) -> str:
    _, auroc = found.aurocs[place]
    if found.changes is None:
        return str(auroc)
    change = found.changes[place]
    low, value, high = (
        f"{part:+.{decimals(change.high - change.low)}f}"
        for part in (change.low, change.difference, change.high)
    )
    return f"{auroc}; change {value} ({low} to {high})"


def speed_table(result: BenchResult) -> Rows:
    """Return latency, throughput, memory and cost for people: a column a model."""
    return _beside(result, [_speed_figures(model, result) for model in result.models])


def quality_table(result: BenchResult) -> Rows:
    """Return quality on test, and against the baseline, for people: a column a model."""
    return _beside(
        result,
        [
            _quality_figures(model, _fingerprint(model, result))
            | _comparison_figures(model, result.basis)
            | _floor_figures(model)
            | _use_figures(model)
            | _precision_figures(model.subject.loss)
            for model in result.models
        ],
    )


def _fingerprint(model: ModelResult, result: BenchResult) -> str:
    """Return the fingerprint of the data set with the windows that a model sees."""
    return result.data.fingerprint_for(model.measurement.window_length)


def _beside(result: BenchResult, columns: Sequence[Figures]) -> Rows:
    """Return header and rows: each figure's name, its value for each model, and its key."""
    header = ["", *(model.subject.name for model in result.models), KEY]
    named = {name: key for column in reversed(columns) for name, (_, key) in column.items()}
    return header, [
        [name, *(column[name][0] if name in column else "-" for column in columns), key]
        for name, key in named.items()
    ]


def _speed_figures(model: ModelResult, result: BenchResult) -> Figures:
    measured, subject = model.measurement, model.subject
    whole, tail = measured.latency, measured.latency.p99
    ratio = measured.speed_up(result.baseline.measurement)
    span = f"({ratio.low:.2f} to {ratio.high:.2f})"
    missing = f"needs {whole.p99_missing:,} more runs"
    provider = measured.provider.removesuffix("ExecutionProvider")
    latency = "summary.latency"
    return {
        "format and precision": (subject.form, "subject.precision"),
        "runs on": (f"{subject.backend} ({provider})", "subject.backend"),
        "window, bp": (str(measured.window_length), "measurement.window_length"),
        "layers": (str(subject.layers), "subject.layers"),
        "p50, ms": (_ms(whole.p50), f"{latency}.p50"),
        "p90, ms": (_ms(whole.p90), f"{latency}.p90"),
        "p95, ms": (_ms(whole.p95), f"{latency}.p95"),
        "p99, ms": (missing if tail is None else _ms(tail), f"{latency}.p99"),
        "runs": (str(whole.n), f"{latency}.n"),
        "p50 of the network alone, ms": (
            _ms(measured.latency_model.p50),
            "summary.latency_model.p50",
        ),
        "speed-up (range over rounds)": (f"{ratio.median:.2f}x {span}", "summary.speed_up"),
        **{
            f"windows/s at batch {batch}, network alone": (
                rate(measured.throughput(batch)),
                f"summary.throughput.{batch}",
            )
            for batch in BATCHES
        },
        "variants/s, windows and tokens included": (
            rate(measured.end_to_end),
            "summary.end_to_end",
        ),
        "first call, ms": (_ms(measured.first_seconds), "measurement.first_seconds"),
        "peak memory, MB": (f"{measured.memory.peak / _MEGA:.0f}", "measurement.memory.peak"),
        "size on disk, MB": (f"{subject.size / _MEGA:.3g}", "subject.size"),
        "parameters, millions": (f"{subject.parameters / _MEGA:.3g}", "subject.parameters"),
        **cost_figures(model, result),
    }


def _quality_figures(model: ModelResult, data: str) -> Figures:
    quality, groups = model.quality, model.quality.by_group
    known = quality.estimates
    auroc = auroc_of(model)
    seeds = _seeds(model.subject.seeds_on(data), auroc)
    return {
        "AUROC": (str(auroc), "quality.interval"),
        "AUROC over seeds of its training": (seeds, "subject.seed_aurocs"),
        **(
            {
                "mean AUROC of groups": (
                    told(groups.macro_mean, auroc),
                    "quality.by_group.macro_mean",
                )
            }
            if groups
            else {}
        ),
        "AUPRC (average precision)": _estimate(known, "average_precision"),
        **{name: _estimate(known, key) for key, name in _CALLS.items()},
        "threshold": (f"{quality.metrics.threshold:.4f}", "quality.metrics.threshold"),
        **{
            name: figure
            for asked, point in quality.operating_points.items()
            for name, figure in _operating_figures(asked, point.threshold, known)
        },
        **_calibration_figures("before", quality.uncalibrated, "quality.uncalibrated"),
        **_calibration_figures("after", quality.calibrated, "quality.calibrated"),
        "temperature": (f"{quality.temperature:.4g}", "quality.temperature"),
        "temperature and threshold are": (quality.fitted_by, "quality.fitted_by"),
    }


def _estimate(known: Mapping[str, Estimate], name: str) -> tuple[str, str]:
    return str(known[name]), f"quality.estimates.{name}"


def auroc_of(model: ModelResult) -> Estimate:
    """Return a model's AUROC over all test rows."""
    interval = model.quality.interval
    return Estimate(value=model.quality.metrics.auroc, low=interval.low, high=interval.high)


def _seeds(aurocs: Sequence[float], interval: Estimate) -> str:
    """Return mean, sd and range over the seeds that are on record."""
    if len(aurocs) < 2:
        return "one seed" if aurocs else "not recorded"
    mean, sd, least, most = (
        told(value, interval)
        for value in (statistics.mean(aurocs), statistics.stdev(aurocs), min(aurocs), max(aurocs))
    )
    return f"{mean}, sd {sd} ({len(aurocs)} seeds, {least} to {most})"


def _operating_figures(
    asked: str, threshold: float, known: Mapping[str, Estimate]
) -> Iterator[tuple[str, tuple[str, str]]]:
    share = float(asked)
    at = f"at the threshold for {share:.0%} specificity"
    yield f"sensitivity {at}", _estimate(known, sensitivity_at(share))
    yield f"specificity {at}", _estimate(known, specificity_for(share))
    key = f"quality.operating_points['{asked}'].threshold"
    yield f"threshold for {share:.0%} specificity on validation", (f"{threshold:.4f}", key)


def _calibration_figures(when: str, errors: CalibrationErrors, key: str) -> Figures:
    expected = told(errors.expected_calibration_error, errors.debiased)
    return {
        f"Brier score {when} calibration": (str(errors.brier), f"{key}.brier"),
        f"calibration error {when}, without bias": (str(errors.debiased), f"{key}.debiased"),
        f"expected calibration error {when}": (expected, f"{key}.expected_calibration_error"),
    }


def _comparison_figures(model: ModelResult, basis: Basis) -> Figures:
    found = model.comparison
    if found is None:
        return {}
    macro = found.macro_difference
    interval = Estimate(value=found.difference, low=found.low, high=found.high)
    test = "comparison.noninferiority"
    groups = "the same of the groups' mean AUROC"
    return {
        "AUROC less the baseline's": (str(interval), "comparison.difference"),
        "p of no difference": (f"{found.p_value:.2g}", "comparison.p_value"),
        **_decisive_figures(model.evidence, basis),
        "p, corrected for the models": (
            _p_value(found.noninferiority.adjusted_p),
            f"{test}.adjusted_p",
        ),
        "against the baseline": (model.verdict, f"{test}.passed"),
        **(
            {}
            if macro is None
            else {groups: (told(macro, interval), "comparison.macro_difference")}
        ),
        "calls flipped against the baseline": (str(found.flipped), "comparison.flipped"),
    }


def _decisive_figures(evidence: Evidence, basis: Basis) -> Figures:
    """Return the difference that decides, and of how many units it would be shown to be none."""
    loss, key = evidence.loss, "evidence.loss"
    if loss is None:
        return {}
    units = f"{basis.measure} over {count(basis.units, basis.unit)}"
    return {
        "difference that decides": (str(loss.estimate), f"{key}.difference"),
        "it is of": (f"{units}, {count(evidence.seeds, 'seed')}", "evidence.seeds"),
        "one-sided 95 % lower bound": (
            told(loss.lower_bound, loss.estimate),
            f"{key}.lower_bound",
        ),
        f"{basis.unit}s to show no loss (power 0.8)": (f"{loss.needed:,}", f"{key}.needed"),
    }


def _floor_figures(model: ModelResult) -> Figures:
    found = model.floor
    if found is None:
        return {}
    return {f"AUROC above {found.floor}": (str(found.difference), "floor.difference")}


def _precision_figures(loss: PrecisionLoss | None) -> Figures:
    """Return what the gate of `export` found of a lossy precision; nothing for float32."""
    if loss is None:
        return {}
    interval = loss.auroc_interval
    change = Estimate(value=loss.auroc_change, low=interval.low, high=interval.high)
    against = f"against fp32, on {loss.windows:,} windows at export"
    return {
        f"AUROC change {against}, {interval.level:.0%} interval": (
            str(change),
            "subject.loss.auroc_change",
        ),
        f"calls flipped {against}": (str(loss.flipped), "subject.loss.flipped"),
        f"largest logit difference {against}": (
            f"{loss.max_logit_difference:.2g}",
            "subject.loss.max_logit_difference",
        ),
    }


def _use_figures(model: ModelResult) -> Figures:
    found = model.quality.predictive
    if found is None:
        return {}
    return {
        f"{name} at a prevalence of {found.prevalence:g}": (
            _share(model.quality.estimates.get(key)),
            f"quality.estimates.{key}",
        )
        for key, name in (("ppv", "PPV"), ("npv", "NPV"))
    }


def summary_table(result: BenchResult) -> str:
    """Return the figures that fit a terminal, aligned; the first model is the baseline."""
    return table(*model_table(result))


def model_table(result: BenchResult) -> Rows:
    """Return the first figures for people: a row a model, the baseline's first."""
    heads = ["model", "p50 ms", "p95 ms", "speed-up", "variants/s", "AUROC", "verdict"]
    return heads, [_summary_row(model) for model in result.models]


def _summary_row(model: ModelResult) -> list[str]:
    measured = model.measurement
    return [
        model.subject.name,
        _ms(measured.latency.p50),
        _ms(measured.latency.p95),
        f"{model.speed_up:.2f}x",
        rate(measured.end_to_end),
        told(model.quality.metrics.auroc, auroc_of(model)),
        model.verdict.partition(",")[0].removesuffix(" to be non-inferior"),
    ]


def verdict_text(result: BenchResult) -> str:
    """Return by how much models are shown to be better or worse, a line each."""
    lines = [
        f"{model.subject.name} against {result.baseline.subject.name}: AUROC {model.verdict}"
        for model in result.models
        if ", by " in model.verdict
    ]
    return "\n".join(fill(line, 80, subsequent_indent="  ") for line in lines)


def standing_text(result: BenchResult) -> str:
    """Return by which rule was decided, when it was made, and what was known then."""
    return "\n".join(fill(line, 80, subsequent_indent="  ") for line in standing_lines(result))


def standing_lines(result: BenchResult) -> list[str]:
    """Return the same, a sentence each."""
    plan, rule = result.plan, result.plan.rule
    correction = "Holm" if rule.correction == "holm" else "in sequence, the slowest first"
    lines = [
        f"rule sealed {plan.when:%Y-%m-%d %H:%M} UTC ({plan.seal[:12]}), before the test split was"
        f" opened: margin {rule.margin:g}, {rule.alpha:.0%} error,"
        f" {count(len(plan.candidates), 'candidate')} ({correction}), {units_text(plan.basis)}"
    ]
    if result.exploratory:
        lines = ["EXPLORATORY: by a rule made after test figures were seen: no proof", *lines]
    if result.known_before:
        lines.append(
            f"test figures of {', '.join(result.known_before)}, each by itself, were known before:"
            " their records hold them"
        )
    return lines


def plan_text(plan: BenchPlan) -> str:
    """Return the candidates in their order, what each needs to be shown, and the rule."""
    heads = ["model", "p50 ms", "on validation", f"{plan.basis.unit}s needed"]
    rows = [
        [
            model.name,
            "" if model.p50_ms is None else f"{model.p50_ms:.3g}",
            "baseline" if place == 0 else _difference(model.validation_difference),
            "" if model.units_needed is None else f"{model.units_needed:,}",
        ]
        for place, model in enumerate((plan.baseline, *plan.candidates))
    ]
    lines = [
        f"sealed {plan.when:%Y-%m-%d %H:%M} UTC, {plan.seal}",
        f"margin {plan.rule.margin:g}, {plan.rule.correction}; the test split has"
        f" {units_text(plan.basis)}",
    ]
    if plan.basis.refusal:
        lines.append(f"NOTHING CAN BE DECIDED: {plan.basis.refusal}")
    return "\n".join([table(heads, rows), *(fill(one, 80) for one in lines)])


def units_text(basis: Basis) -> str:
    """Return what a decision rests on, in words."""
    return (
        f"{basis.measure} over {count(basis.units, basis.unit)} ({basis.positives:,} positive,"
        f" {basis.negatives:,} negative)"
    )


def count(number: int, what: str) -> str:
    """Return a number of things."""
    return f"{number:,} {what}{'s' * (number != 1)}"


def _difference(value: float | None) -> str:
    return "" if value is None else f"{value:+.4f}"


def _p_value(value: float | None) -> str:
    return "not tested" if value is None else f"{value:.2g}"


def _cell(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.10g}" if isinstance(value, float) else str(value).replace("\t", " ")


def _ms(seconds: float) -> str:
    value = seconds * 1000
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def _share(estimate: Estimate | None) -> str:
    """Return a share as text; where no call of a kind is made there is none."""
    return "-" if estimate is None else str(estimate)
