"""Plots as Vega-Lite specifications: drawn by the page's own script, and as a picture without it.

One specification gives the interactive plot, the SVG that stands in its place in print and where
scripts are off, and the PNG of a results folder. vl-convert brings Vega, and needs no network.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

from .palette import INK, LINE, PAPER, QUIET, SERIES

Json: TypeAlias = "str | int | float | bool | Sequence[Json] | Mapping[str, Json] | None"
Spec = dict[str, Json]

VEGA_LITE = "6.4"
WIDTH, HEIGHT = 640, 320
"""Of a picture, in CSS pixels; on a page a plot is as wide as what it stands in."""

_THEME: Spec = {
    "background": PAPER,
    "font": "sans-serif",
    "axis": {
        "labelColor": QUIET,
        "titleColor": INK,
        "titleFontWeight": "normal",
        "labelFontSize": 11,
        "titleFontSize": 12,
        "gridColor": "#eceff1",
        "domainColor": LINE,
        "tickColor": LINE,
        "labelOverlap": "greedy",
        "labelSeparation": 6,
    },
    "legend": {
        "orient": "bottom",
        "columns": 1,
        "title": None,
        "labelFontSize": 12,
        "labelColor": INK,
        "labelLimit": 320,
        "symbolStrokeWidth": 2,
    },
    "range": {"category": SERIES},
    "view": {"stroke": None},
}


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A plot of a page.

    `name` is its place in the page (`id`), `title` what it shows, `source` the files and keys that
    its figures are from. `spec` is Vega-Lite without width and theme.
    """

    name: str
    title: str
    source: str
    spec: Spec

    @property
    def live(self) -> Spec:
        """The specification for a page: as wide as what it stands in."""
        return _whole(self.spec, "container")

    @property
    def picture(self) -> str:
        """The plot as SVG."""
        import vl_convert

        spec = json.dumps(_whole(self.spec, WIDTH))
        svg: str = vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE)
        # ids of clips are numbered anew in each picture, and would meet on a page
        return re.sub(r"(id=\"|url\(#)(clip|gradient)", rf"\1{self.name}-\2", svg)


def png(*plots: Plot) -> bytes:
    """Return plots side by side as one PNG, each under its title."""
    import vl_convert

    spec: Spec = {"config": _THEME, "hconcat": [_titled(plot) for plot in plots]}
    found: bytes = vl_convert.vegalite_to_png(json.dumps(spec), vl_version=VEGA_LITE, scale=2)
    return found


def _titled(plot: Plot) -> Spec:
    title: Spec = {"text": plot.title, "anchor": "start", "limit": WIDTH}
    return {"width": WIDTH, "height": HEIGHT, **plot.spec, "title": title}


def _whole(spec: Spec, width: str | int) -> Spec:
    return {
        "width": width,
        "height": HEIGHT,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "config": _THEME,
        **spec,
    }


@cache
def library() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script that asks nothing of a network."""
    import vl_convert

    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", VEGA_LITE)
    return script.replace("</script", "<\\/script")


def quantitative(name: str, title: str | None = None, **more: Json) -> Spec:
    """Return how a number is read off a field: its axis has `title`."""
    return {"field": name, "type": "quantitative", "title": title or name, **more}


def nominal(name: str, title: str | None = None, **more: Json) -> Spec:
    """Return how a name is read off a field, in the order of the rows; untitled by default."""
    return {"field": name, "type": "nominal", "title": title, "sort": None, **more}


TOLD: Spec = {"tooltip": {"field": "told"}, "description": {"field": "told"}}
"""What a mark says, pointed at or read out: the field `told` of its row."""


def rows(values: Iterable[Mapping[str, Json]]) -> Spec:
    """Return some rows as a plot's data."""
    return {"values": list(values)}
