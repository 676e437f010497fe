"""The picture of latency against AUROC."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING

from .result import BenchResult, ModelResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CHOSEN, _PASSED, _FAILED, _BASELINE = "#1b7837", "#2c6fbb", "#b2402d", "#333333"
_MARKERS = {
    "torch": ("s", "torch"),
    "onnxruntime": ("o", "ONNX Runtime"),
    "openvino": ("^", "OpenVINO"),
}
_LOG_FROM = 4.0
"""Ratio of the slowest to the fastest model from which the latency axis is logarithmic."""

_LINE = 0.052
"""Distance of two labels at least, as a share of the axis."""


def draw(result: BenchResult) -> bytes:
    """Return a PNG: batch-1 latency (median to p95) against test AUROC with its interval.

    The band reaches from the baseline's AUROC down by the margin. Labels stand in a column at the
    right, spread so that none covers another, each tied to its point.
    """
    figure, axes = _canvas(9.2, 5.4)
    _band(axes, result)
    for model in result.models:
        _point(axes, model, _colour(model, result))
    _axes(axes, result)
    _labels(axes, result)
    return _png(figure)


def draw_reliability(result: BenchResult) -> bytes:
    """Return a PNG: the share of positives against the mean probability, by bin and model."""
    figure, axes = _canvas(6.0, 4.4)
    axes.plot([0, 1], [0, 1], color="#bbbbbb", lw=1, ls=(0, (4, 3)))
    for place, model in enumerate(result.models):
        under = min(
            4, len(result.models) - place - 1
        )  # wider, so that equal curves show below each other
        points = model.quality.reliability
        axes.plot(
            [point.mean_probability for point in points],
            [point.positive_share for point in points],
            marker="o",
            markersize=4 + under,
            lw=1.2 + under,
            label=model.subject.name,
        )
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="mean probability", ylabel="share of positives")
    axes.legend(frameon=False, fontsize=9, loc="upper left")
    return _png(figure)


def _canvas(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    axes = figure.subplots()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_axisbelow(True)
    return figure, axes


def _png(figure: Figure) -> bytes:
    picture = BytesIO()
    figure.savefig(picture, format="png", metadata={"Software": None})
    return picture.getvalue()


def spread(places: Sequence[float], distance: float) -> list[float]:
    """Return places moved as little as one sweep allows so that all lie `distance` apart.

    They keep their order and stay within 0 to 1 as long as they fit.
    """
    order = sorted(range(len(places)), key=places.__getitem__)
    moved = [0.0] * len(places)
    floor = 0.0
    for index in order:
        moved[index] = max(places[index], floor)
        floor = moved[index] + distance
    ceiling = 1.0
    for index in reversed(order):
        moved[index] = min(moved[index], ceiling)
        ceiling = moved[index] - distance
    return moved


def _band(axes: Axes, result: BenchResult) -> None:
    auroc, margin = result.baseline.quality.metrics.auroc, result.settings.margin
    axes.axhspan(auroc - margin, auroc, color="#dddddd", zorder=0, lw=0)
    axes.axhline(auroc, color=_BASELINE, lw=1, zorder=1)
    axes.axhline(auroc - margin, color=_BASELINE, lw=1, ls=(0, (4, 3)), zorder=1)


def _point(axes: Axes, model: ModelResult, colour: str) -> None:
    latency, quality = model.measurement.latency, model.quality
    x, y = latency.p50 * 1000, quality.metrics.auroc
    axes.errorbar(
        x,
        y,
        xerr=[[0.0], [max(0.0, latency.p95 * 1000 - x)]],
        yerr=[[max(0.0, y - quality.interval.low)], [max(0.0, quality.interval.high - y)]],
        fmt=_MARKERS[model.subject.backend][0],
        color=colour,
        markersize=7,
        lw=1.3,
        capsize=3,
        zorder=3,
    )


def _axes(axes: Axes, result: BenchResult) -> None:
    medians = [model.measurement.latency.p50 for model in result.models]
    if max(medians) > _LOG_FROM * min(medians):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter(lambda value, _: "")
    else:
        axes.set_xlim(left=0)
    limit = result.settings.max_p95_ms
    if limit is not None:
        axes.axvline(limit, color=_FAILED, lw=1, ls=":", zorder=1)
    axes.set_xlabel("batch-1 latency, variant to logits, ms: median, bar to p95")
    axes.set_ylabel("test AUROC, bar: 95 % interval")
    axes.set_title(
        f"Latency and AUROC; band: baseline down to the margin of {result.settings.margin:g}",
        loc="left",
        fontsize=11,
    )
    axes.grid(True, color="#eeeeee", zorder=0)
    used = {model.subject.backend for model in result.models}
    for marker, name in (_MARKERS[backend] for backend in _MARKERS if backend in used):
        axes.plot([], [], marker, color="#777777", label=name)
    axes.legend(frameon=False, fontsize=8, loc="best")


def _labels(axes: Axes, result: BenchResult) -> None:
    low, high = axes.get_ylim()
    heights = [(m.quality.metrics.auroc - low) / (high - low) for m in result.models]
    for model, place in zip(result.models, spread(heights, _LINE), strict=True):
        colour = _colour(model, result)
        axes.annotate(
            f"{model.subject.name}: {_verdict(model, result)}",
            xy=(model.measurement.latency.p50 * 1000, model.quality.metrics.auroc),
            xytext=(1.02, place),
            textcoords="axes fraction",
            va="center",
            fontsize=9,
            color=colour,
            arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.6, "alpha": 0.5},
        )


def _colour(model: ModelResult, result: BenchResult) -> str:
    if model.subject.name == result.decision.deploy:
        return _CHOSEN
    if model.comparison is None:
        return _BASELINE
    return _PASSED if model.comparison.noninferiority.passed else _FAILED


def _verdict(model: ModelResult, result: BenchResult) -> str:
    parts = [model.verdict]
    if model.subject.name == result.decision.deploy:
        parts.append("chosen")
    return ", ".join(itertools.chain(parts, [f"{model.speed_up:.2g}x"]))
