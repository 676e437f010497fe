"""The plots of a frontier: validation AUROC against layers, and against milliseconds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..pages.palette import BAD, BLUE, GOOD, INK, QUIET
from ..pages.plots import TOLD, Json, Plot, Spec, quantitative, rows
from .frontier import Candidate, Frontier, reference_of
from .trainings import TRAININGS, Training

FRONTIER_PICTURE = "frontier.png"

_SERIES = {"full model": INK, "best healed": GOOD, "best pretrained": BLUE, "others": QUIET}
_SHAPES = ("diamond", "circle", "square", "cross")
_EDGES: Spec = {"zero": False, "nice": False, "padding": 14}
"""So that no mark is cut off at an edge."""

_AUROC = "validation AUROC (that chose: optimistic)"


def frontier_plots(frontier: Frontier, source: str = "frontier.json") -> tuple[Plot, Plot]:
    """Return the frontier by layers and by milliseconds; `source` is the file of its record.

    The best candidate of each size and training has its 95 % interval; the others, random draws
    among them, are faint. The band reaches from the better full model down by the margin.
    """
    layers = quantitative("layers", "layers kept", axis={"tickMinStep": 1}, scale=_EDGES)
    milliseconds = quantitative("ms", "ms a window, batches of the trial, torch", scale=_EDGES)
    where = f"{source}, full and candidates"
    title = f"AUROC on {frontier.validation_rows} validation rows, seed {frontier.seed}, against"
    return (
        Plot(
            name="frontier-layers",
            title=f"{title} the layers kept (ring: not inferior)",
            source=where,
            spec=_spec(frontier, layers),
        ),
        Plot(
            name="frontier-ms",
            title=f"{title} the time of a window",
            source=where,
            spec=_spec(frontier, milliseconds),
        ),
    )


def _spec(frontier: Frontier, x: Spec) -> Spec:
    y = quantitative("auroc", _AUROC, scale={"zero": False})
    names = list(_SERIES)
    colour: Json = {
        "field": "series",
        "type": "nominal",
        "scale": {"domain": names, "range": list(_SERIES.values())},
    }
    shape: Json = {
        "field": "series",
        "type": "nominal",
        "scale": {"domain": names, "range": list(_SHAPES)},
    }
    best: Json = {"filter": "datum.series != 'others'"}
    faint: Json = {"condition": {"test": "datum.series == 'others'", "value": 0.45}, "value": 1}
    return {
        "data": rows(_points(frontier)),
        "layer": [
            _margin(frontier),
            {
                "transform": [{"filter": "test(/^best/, datum.series)"}],
                "mark": {"type": "line", "strokeWidth": 1.2, "aria": False},
                "encoding": {"x": x, "y": y, "color": colour},
            },
            {
                "transform": [best],
                "mark": {"type": "rule", "strokeWidth": 1.2, "aria": False},
                "encoding": {
                    "x": x,
                    "y": {**y, "field": "low"},
                    "y2": {"field": "high"},
                    "color": colour,
                },
            },
            {
                "mark": {"type": "point", "filled": True, "size": 60},
                "encoding": {
                    "x": x,
                    "y": y,
                    "color": colour,
                    "shape": shape,
                    "opacity": faint,
                    **TOLD,
                },
            },
            {
                "transform": [{"filter": "datum.chosen"}],
                "mark": {"type": "point", "size": 320, "color": BAD, "aria": False},
                "encoding": {"x": x, "y": y},
            },
        ],
    }


def _margin(frontier: Frontier) -> Spec:
    full = reference_of(frontier.full).auroc
    return {
        "data": {"values": [{"from": full - frontier.margin, "to": full}]},
        "mark": {"type": "rect", "color": "#e8eaed", "aria": False},
        "encoding": {
            "y": {"field": "from", "type": "quantitative", "title": _AUROC},
            "y2": {"field": "to"},
        },
    }


def _points(frontier: Frontier) -> Iterator[dict[str, Json]]:
    """Yield a row for each full model and each sound candidate, the best of each size as such."""
    best = {how: _best(frontier, how) for how in TRAININGS}
    shown = {one.trial for found in best.values() for one in found}
    rest = [one for one in frontier.candidates if one.trial not in shown and not one.collapsed]
    yield from _rows(frontier, "full model", frontier.full)
    for how, found in best.items():
        yield from _rows(frontier, f"best {how}", found)
    yield from _rows(frontier, "others", rest)


def _best(frontier: Frontier, training: Training) -> list[Candidate]:
    found = (frontier.best(size, training) for size in frontier.sizes)
    return [one for one in found if one is not None]


def _rows(
    frontier: Frontier, series: str, candidates: Iterable[Candidate]
) -> Iterator[dict[str, Json]]:
    chosen = frontier.smallest
    for one in candidates:
        kept = " ".join(map(str, one.kept))
        yield {
            "series": series,
            "layers": one.layers,
            "ms": one.milliseconds,
            "auroc": one.auroc,
            "low": one.low,
            "high": one.high,
            "chosen": bool(chosen and (one.kept, one.training) == (chosen.kept, chosen.training)),
            "told": f"{series}, {one.layers} layers ({kept}), {one.training}\n"
            f"AUROC {one.auroc:.4f} ({one.low:.4f} to {one.high:.4f}), {one.milliseconds:.2f} ms",
        }
