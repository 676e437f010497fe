"""The change of AUROC in each subgroup as a heat map, and as the rows of a table."""

from __future__ import annotations

from collections.abc import Sequence

from ..pages.palette import SHADE
from ..pages.plots import TOLD, Json, Plot, Spec, nominal, quantitative, rows
from .subgroups import Change, Subgroup, SubgroupChanges

_FULL = 0.25
"""The change of AUROC that has the deepest colour."""
_LOSS, _GAIN = "#dd8f88", "#84bd9b"
"""The deepest colours, on which black text is readable."""

HEADS = ("layer", "subgroup", "+", "\u2212", "change of AUROC", "from", "to", "AUROC", "baseline")


def heat_map(
    *, name: str, title: str, source: str, changes: Sequence[tuple[str, Change]], columns: str = ""
) -> Plot:
    """Return a heat map of changes, each with the name of its column; `columns` is their title."""
    wide = len({column for column, _ in changes})
    axis: Spec = {
        "labelAngle": 0,
        "labelLimit": {"expr": f"max(24, width / {wide} - 6)"},
        "labelOverlap": False,
        "orient": "top",
    }
    x = nominal("column", columns or None, axis=axis)
    y = nominal("subgroup", axis={"labelLimit": 150})
    colours: Spec = {
        "domain": [-_FULL, 0, _FULL],
        "range": [_LOSS, SHADE, _GAIN],
        "clamp": True,
        "interpolate": "rgb",
    }
    text: Spec = {
        "type": "text",
        "fontSize": 10,
        "fontWeight": {"expr": "datum.shown ? 'bold' : 'normal'"},
        "opacity": {"expr": f"width / {wide} < 28 ? 0 : 1"},  # where cells are wide enough
        "aria": False,
    }
    return Plot(
        name=name,
        title=title,
        source=source,
        spec={
            "height": 24 * len({change.subgroup for _, change in changes}),
            "data": rows(_cell(column, change) for column, change in changes),
            "encoding": {"x": x, "y": y},
            "layer": [
                {
                    "mark": {"type": "rect", "stroke": "#ffffff"},
                    "encoding": {
                        "color": quantitative("difference", scale=colours, legend=None),
                        **TOLD,
                    },
                },
                {
                    "mark": text,
                    "encoding": {"text": {"field": "text"}},
                },
            ],
        },
    )


def _cell(column: str, change: Change) -> dict[str, Json]:
    interval = f"{_signed(change.difference)} ({_signed(change.low)} to {_signed(change.high)})"
    return {
        "column": column,
        "subgroup": str(change.subgroup),
        "difference": change.difference,
        "text": _signed(change.difference).replace("0.", "."),
        "shown": change.low > 0 or change.high < 0,
        "told": f"{column}, {change.subgroup} ({compared(change.subgroup)}): {interval}",
    }


def layer_map(found: SubgroupChanges) -> Plot | None:
    """Return the heat map of what each layer is for; None where nothing could be compared."""
    cells = [(str(one.layer), change) for one in found.layers for change in one.changes or ()]
    if not cells:
        return None
    return heat_map(
        name="layer-map",
        title="AUROC without each layer less the baseline's, in subgroups (bold: the 95 % interval"
        " of this cell leaves 0 out)",
        source="subgroups.json, layers[i].changes",
        changes=cells,
        columns="layer",
    )


def change_rows(found: SubgroupChanges) -> list[list[str]]:
    """Return a row for every layer and subgroup, under HEADS."""
    return [
        [
            str(one.layer),
            str(change.subgroup),
            *_counts(change.subgroup),
            *map(_signed, (change.difference, change.low, change.high)),
            f"{change.auroc:.3f}",
            f"{change.reference:.3f}",
        ]
        for one in found.layers
        for change in one.changes or ()
    ]


def compared(subgroup: Subgroup) -> str:
    """Return what a subgroup's AUROC compares: variants of either class."""
    positives, negatives = _counts(subgroup)
    return f"{positives} + / {negatives} \u2212"


def _counts(subgroup: Subgroup) -> tuple[str, str]:
    """Return the variants of either class; "all" where they are not the subgroup's own."""
    positives, negatives = (
        f"all {count}" if subgroup.whole == side else str(count)
        for side, count in (("positives", subgroup.positives), ("negatives", subgroup.negatives))
    )
    return positives, negatives


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "\u2212")
