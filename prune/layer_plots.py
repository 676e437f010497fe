"""The plots of a judgement: each metric without each layer, and the tested differences."""

from __future__ import annotations

from collections.abc import Iterator

from ..pages.palette import BAD, BLUE, DOUBT, GOOD, INK, QUIET
from ..pages.plots import TOLD, Json, Plot, Spec, quantitative, rows
from .measure import MEASURES, TITLES
from .verdicts import Judgement, Role

_COLOURS: dict[Role, str] = {
    "cornerstone": BAD,
    "unfavourable": GOOD,
    "neutral": QUIET,
    "undecided": DOUBT,
}
_SHAPES = ("square", "circle", "diamond", "cross")
_X: Spec = {
    "field": "layer",
    "type": "ordinal",
    "axis": {"labelAngle": 0, "title": "without layer"},
}


def layer_plots(judgement: Judgement) -> list[Plot]:
    """Return the plot of tested differences, where there are some, and one for each metric."""
    metrics = [metric_plot(judgement, name) for name in MEASURES]
    return [*difference_plots(judgement), *metrics]


def metric_plot(judgement: Judgement, name: str) -> Plot:
    """Return a metric without each layer; a line for the baseline's mean, a band of one sd."""
    base, title = judgement.baseline[name], TITLES[name]
    sd = base.sd or 0.0
    y = quantitative("value", title, scale={"zero": False})
    values = (
        {
            "layer": verdict.layer,
            "role": verdict.role,
            "value": verdict.evidence.metrics[name],
            "told": f"without layer {verdict.layer}: {title} {verdict.evidence.metrics[name]:.4f},"
            f" {verdict.role}\n{_stability(verdict.evidence.stability)}",
        }
        for verdict in judgement.verdicts
    )
    band = {"low": base.mean - sd, "high": base.mean + sd, "value": base.mean}
    return Plot(
        name=f"metric-{name.replace('_', '-')}",
        title=f"{title[:1].upper()}{title[1:]} without each layer; line: baseline, band: one sd",
        source=f"layers.json, verdicts[i].evidence.metrics.{name} and baseline.{name}",
        spec={
            "height": 200,
            "data": rows(values),
            "layer": [
                {
                    "data": rows([band]),
                    "mark": {"type": "rect", "color": BLUE, "opacity": 0.15, "aria": False},
                    "encoding": {"y": {**y, "field": "low"}, "y2": {"field": "high"}},
                },
                {
                    "data": rows([band]),
                    "mark": {"type": "rule", "color": BLUE, "aria": False},
                    "encoding": {"y": y},
                },
                _points(y),
            ],
        },
    )


def difference_plots(judgement: Judgement) -> Iterator[Plot]:
    """Yield the plot of each layer's tested difference, its interval and the margin, if any."""
    values = list(_differences(judgement))
    if not values:
        return
    y = quantitative("value", "difference from the baseline")
    margin: Spec = {
        "data": {"values": [{"low": -judgement.rules.margin, "high": 0}]},
        "mark": {"type": "rect", "color": "#e8eaed", "stroke": QUIET, "aria": False},
        "encoding": {"y": {**y, "field": "low"}, "y2": {"field": "high"}},
    }
    yield Plot(
        name="layer-differences",
        title="The difference that is tested, without each layer: 95 % interval; band: down to the"
        f" margin of {judgement.rules.margin:g}",
        source="layers.json, verdicts[i].evidence.comparison",
        spec={
            "data": rows(values),
            "layer": [
                margin,
                {
                    "mark": {"type": "rule", "color": INK, "aria": False},
                    "encoding": {"x": _X, "y": {**y, "field": "low"}, "y2": {"field": "high"}},
                },
                _points(y),
            ],
        },
    )


def _differences(judgement: Judgement) -> Iterator[dict[str, Json]]:
    for verdict in judgement.verdicts:
        found = verdict.evidence.comparison
        if found is not None:
            yield {
                "layer": verdict.layer,
                "role": verdict.role,
                "value": found.difference,
                "low": found.low,
                "high": found.high,
                "told": f"without layer {verdict.layer}: {found.difference:+.4f}"
                f" ({found.low:+.4f} to {found.high:+.4f})\n{verdict.role},"
                f" tested: {verdict.evidence.finding}",
            }


def _points(y: Spec) -> Spec:
    scale: Json = {"domain": list(_COLOURS), "range": list(_COLOURS.values())}
    shapes: Json = {"domain": list(_COLOURS), "range": list(_SHAPES)}
    legend: Json = {"columns": 2}
    return {
        "mark": {"type": "point", "filled": True, "size": 80, "opacity": 1},
        "encoding": {
            "x": _X,
            "y": y,
            "color": {"field": "role", "type": "nominal", "scale": scale, "legend": legend},
            "shape": {"field": "role", "type": "nominal", "scale": shapes, "legend": legend},
            **TOLD,
        },
    }


def _stability(share: float | None) -> str:
    return "" if share is None else f"the same role in {share:.0%} of draws"
