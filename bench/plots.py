"""The plots of a benchmark: its figures as rows, and how they are drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from ..pages.palette import BAD, GOOD, LINE, QUIET, SERIES, SHAPES
from ..pages.plots import TOLD, Json, Plot, Spec, nominal, quantitative, rows
from ..prune.heat_map import heat_map
from ..stats.estimate import Estimate
from .curves import LENGTH_BATCH, ThroughputPoint
from .evidence import Loss
from .result import BenchResult, ModelResult
from .table import auroc_of

_LOG_FROM = 4.0
"""Ratio of the slowest to the fastest model from which the latency axis is logarithmic."""

_Curve = tuple[ModelResult, tuple[ThroughputPoint, ...]]
"""A model and its points, in order."""

_POINT: Spec = {"type": "point", "filled": True, "size": 60, "opacity": 1}
_LINE: Spec = {"type": "line", "aria": False}
_AUROC = "test AUROC, bar: 95 % interval"


def bench_plots(result: BenchResult) -> list[Plot]:
    """Return the plots that a benchmark has figures for."""
    found = [latency_auroc(result), *throughput(result), reliability(result)]
    if len(result.models) > 1:
        of_subgroups = subgroups(result)
        found += [differences(result), *([of_subgroups] if of_subgroups else [])]
    return found


def latency_auroc(result: BenchResult) -> Plot:
    """Return batch-1 latency (median to p95) against test AUROC with its interval.

    The band reaches from the baseline's AUROC down by the margin.
    """
    auroc, margin = result.baseline.quality.metrics.auroc, result.settings.margin
    x = quantitative("p50", "batch-1 latency, variant to logits, ms: median, bar to p95")
    x["scale"] = _latency_scale(result)
    y = quantitative("auroc", _AUROC, scale={"zero": False})
    named = _by_model(result)
    models: Spec = {
        "encoding": {"color": named["color"]},
        "layer": [
            {
                "mark": _bar(),
                "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}},
            },
            {"mark": _bar(), "encoding": {"x": x, "x2": {"field": "p95"}, "y": y}},
            {
                "mark": {"type": "point", "filled": True, "size": 110, "opacity": 1},
                "encoding": {"x": x, "y": y, "shape": named["shape"], **TOLD},
            },
        ],
    }
    limit = result.settings.max_p95_ms
    limits = [] if limit is None else [_limit(limit, x)]
    measure = result.basis.measure
    other = "" if measure == "AUROC" else f" (over all rows; the decision is on the {measure})"
    return Plot(
        name="latency-auroc",
        title=f"Latency against AUROC{other}: the band reaches from the baseline's AUROC down by"
        f" the margin of {margin:g}",
        source="bench.json, models[i].summary.latency and models[i].quality; the AUROC from"
        " test_labels and test_logits_i of predictions.npz",
        spec={
            "data": rows(_points(result)),
            "layer": [_band(auroc - margin, auroc, _AUROC), models, *limits],
        },
    )


def differences(result: BenchResult) -> Plot:
    """Return each candidate's difference that decides, with its interval and the margin."""
    margin = result.settings.margin
    measure = f"{result.basis.measure} less the baseline's"
    x = quantitative("difference", measure)
    y = nominal("model", axis={"labelLimit": 160})
    bar = {**x, "field": "low"}, {"field": "high"}
    return Plot(
        name="difference",
        title="The difference that decides, with its 95 % interval (thick: from the one-sided lower"
        f" bound), and the margin of {margin:g}",
        source="bench.json, models[i].evidence.loss",
        spec={
            "height": 36 * (len(result.models) - 1),
            "data": rows(_losses(result)),
            "layer": [
                _band(-margin, 0.0, measure, axis="x"),
                {"mark": _bar(), "encoding": {"x": bar[0], "x2": bar[1], "y": y}},
                {
                    "mark": {"type": "rule", "strokeWidth": 5, "color": LINE, "aria": False},
                    "encoding": {
                        "x": {**x, "field": "bound"},
                        "x2": {"field": "difference"},
                        "y": y,
                    },
                },
                {
                    "mark": {"type": "point", "filled": True, "size": 90, "opacity": 1},
                    "encoding": {
                        "x": x,
                        "y": y,
                        "color": {
                            "field": "passed",
                            "type": "nominal",
                            "scale": {
                                "domain": [
                                    "non-inferior",
                                    "not shown",
                                    "not tested: the same model",
                                ],
                                "range": [GOOD, BAD, QUIET],
                            },
                        },
                        **TOLD,
                    },
                },
            ],
        },
    )


def throughput(result: BenchResult) -> list[Plot]:
    """Return windows a second of the network alone against batch size, and window length."""
    batches = [(one, one.costs.throughput.by_batch) for one in result.models]
    lengths = [(one, one.costs.throughput.by_length) for one in result.models]
    return [
        Plot(
            name="throughput-batch",
            title="Throughput against batch size, windows of the model's own length (bar: range"
            " over rounds)",
            source="bench.json, models[i].costs.throughput.by_batch",
            spec=_curves(result, batches, "batch", "windows a batch"),
        ),
        Plot(
            name="throughput-length",
            title=f"Throughput against window length, {LENGTH_BATCH} windows a batch (bar: range"
            " over rounds)",
            source="bench.json, models[i].costs.throughput.by_length",
            spec=_curves(result, lengths, "length", "bases a window"),
        ),
    ]


def _curves(
    result: BenchResult, curves: Sequence[_Curve], place: Literal["batch", "length"], title: str
) -> Spec:
    """Return lines of windows a second over batches or lengths, a line a model, both axes log."""
    values = list(_rates(curves))
    x = quantitative(place, title, scale={"type": "log", "nice": False, "padding": 12})
    x["axis"] = {"values": [row[place] for row in values], "format": "d"}
    y = quantitative("rate", "windows a second, network alone", scale={"type": "log"})
    named = _by_model(result, told=False)
    return {
        "data": rows(values),
        "encoding": {"color": named["color"]},
        "layer": [
            {"mark": _LINE, "encoding": {"x": x, "y": y}},
            {
                "mark": _bar(),
                "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}},
            },
            {"mark": _POINT, "encoding": {"x": x, "y": y, "shape": named["shape"], **TOLD}},
        ],
    }


def _rates(curves: Sequence[_Curve]) -> Iterator[dict[str, Json]]:
    for model, points in curves:
        for one in points:
            told = (
                f"{one.batch} windows of {one.window_length} bases: {one.windows_per_second:,.3g}"
            )
            yield {
                **{"model": model.subject.name, "batch": one.batch, "length": one.window_length},
                **{"rate": one.windows_per_second, "low": one.low, "high": one.high},
                "told": f"{model.subject.name}\n{told} a second"
                f" ({one.low:,.3g} to {one.high:,.3g} over rounds)",
            }


def reliability(result: BenchResult) -> Plot:
    """Return the share of positives against the mean probability, by bin and model."""
    x = quantitative(
        "probability",
        "mean probability that was said",
        scale={"domain": [0, 1]},
        axis={"tickCount": 5},
    )
    y = quantitative("share", "share of positives that was seen", scale={"domain": [0, 1]})
    named = _by_model(result, told=False)
    diagonal: Spec = {
        "data": rows([{"probability": end, "share": end} for end in (0, 1)]),
        "mark": {**_LINE, "color": QUIET, "strokeDash": [4, 3], "strokeWidth": 1},
        "encoding": {"x": x, "y": y},
    }
    return Plot(
        name="reliability",
        title="Calibration: what was said and what was seen, in bins of about equally many test"
        " rows",
        source="bench.json, models[i].quality.reliability; from test_labels, test_logits_i and"
        " temperatures of predictions.npz",
        spec={
            "data": rows(_bins(result)),
            "layer": [
                diagonal,
                {"mark": _LINE, "encoding": {"x": x, "y": y, "color": named["color"]}},
                {
                    "mark": _POINT,
                    "encoding": {"x": x, "y": y, **named, **TOLD},
                },
            ],
        },
    )


def subgroups(result: BenchResult) -> Plot | None:
    """Return the change of AUROC of each candidate in each subgroup; None where none was compared.

    Subgroups are of the test rows.
    """
    changes = [
        (model.subject.name, change)
        for model in result.models
        for change in model.subgroups.changes or ()
    ]
    if not changes:
        return None
    return heat_map(
        name="subgroup-map",
        title="AUROC less the baseline's in subgroups of the test rows (bold: the 95 % interval of"
        " this cell leaves 0 out)",
        source="bench.json, models[i].subgroups.changes; from test_subgroup_NAME, test_groups,"
        " test_labels and test_logits_i of predictions.npz",
        changes=changes,
    )


def _points(result: BenchResult) -> Iterator[dict[str, Json]]:
    for model in result.models:
        latency, auroc = model.measurement.latency, auroc_of(model)
        p50, p95 = latency.p50 * 1000, latency.p95 * 1000
        told = f"{_label(model, result)}\nAUROC {auroc}\np50 {p50:.3g} ms, p95 {p95:.3g} ms"
        yield {
            **{"model": _label(model, result), "p50": p50, "p95": p95, "told": told},
            **_interval(auroc, "auroc"),
        }


def _losses(result: BenchResult) -> Iterator[dict[str, Json]]:
    for model in result.models:
        loss: Loss | None = model.evidence.loss
        if loss is None or model.comparison is None:
            continue
        name, test = model.subject.name, model.comparison.noninferiority
        found = f"{loss.estimate}\nlower bound {loss.lower_bound:+.4f}\n{model.verdict}"
        yield {
            **{"model": name, "bound": loss.lower_bound},
            "passed": _shown(model.same, test.passed),
            "told": f"{name}: {found}",
            **_interval(loss.estimate, "difference"),
        }


def _shown(same: bool, passed: bool) -> str:
    if same:
        return "not tested: the same model"
    return "non-inferior" if passed else "not shown"


def _bins(result: BenchResult) -> Iterator[dict[str, Json]]:
    for model in result.models:
        for point in model.quality.reliability:
            said, seen = point.mean_probability, point.positive_share
            told = f"{model.subject.name}\nsaid {said:.3f}, seen {seen:.3f}, {point.count} rows"
            yield {"model": model.subject.name, "probability": said, "share": seen, "told": told}


def _interval(estimate: Estimate, name: str) -> dict[str, Json]:
    """Return a figure and the ends of its interval, which may be unknown."""
    return {name: estimate.value, "low": estimate.low, "high": estimate.high}


def _latency_scale(result: BenchResult) -> Spec:
    medians = [model.measurement.latency.p50 for model in result.models]
    return (
        {"type": "log", "nice": False, "padding": 12}
        if max(medians) > _LOG_FROM * min(medians)
        else {"zero": True}
    )


def _by_model(result: BenchResult, *, told: bool = True) -> dict[str, Spec]:
    """Return how models are told apart: by colour and by shape."""
    domain = [_label(one, result) if told else one.subject.name for one in result.models]
    scale = {"domain": domain, "range": list(SERIES)}
    shapes = {"domain": domain, "range": list(SHAPES)}
    return {
        "color": nominal("model", scale=scale),
        "shape": nominal("model", scale=shapes),
    }


def _label(model: ModelResult, result: BenchResult) -> str:
    chosen = ", chosen" if model.subject.name == result.decision.deploy else ""
    verdict = model.verdict.partition(",")[0]
    return f"{model.subject.name}: {verdict}{chosen}, {model.speed_up:.2g}x"


def _band(low: float, high: float, title: str, axis: str = "y") -> Spec:
    """Return a band between two values, with a line at either end."""
    return {
        "data": {"values": [{"from": low, "to": high}]},
        "mark": {
            "type": "rect",
            "color": "#e8eaed",
            "stroke": QUIET,
            "strokeWidth": 0.5,
            "aria": False,
        },
        "encoding": {
            axis: {"field": "from", "type": "quantitative", "title": title},
            f"{axis}2": {"field": "to"},
        },
    }


def _bar() -> Spec:
    return {"type": "rule", "strokeWidth": 1.6, "aria": False}


def _limit(milliseconds: float, x: Spec) -> Spec:
    return {
        "data": {"values": [{"p50": milliseconds, "told": f"limit on p95: {milliseconds:g} ms"}]},
        "mark": {"type": "rule", "color": BAD, "strokeDash": [2, 3]},
        "encoding": {"x": x, **TOLD},
    }
