"""The change of AUROC without each layer in each subgroup, laid out as coloured tables."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from .subgroups import Change, Subgroup, SubgroupChanges

_FULL = 0.25
"""The change of AUROC that has the deepest colour."""
_DEEPEST = 0.6
_LOSS, _GAIN = "179 38 30", "20 112 60"


@dataclass(frozen=True)
class Cell:
    """One change: its figures as text, and its colour; bold if its interval leaves 0 out."""

    value: str
    interval: str
    colour: str
    shown: bool


@dataclass(frozen=True)
class HeatMap:
    """One grouping: a column for each subgroup, a row for each layer.

    `heads` hold a name and what was compared. A layer without a comparison has no cells.
    """

    title: str
    heads: tuple[tuple[str, str], ...]
    rows: tuple[tuple[int, tuple[Cell, ...]], ...]


def heat_maps(found: SubgroupChanges) -> tuple[HeatMap, ...]:
    """Return a heat map for each grouping, that of all rows together first."""
    places = enumerate(found.subgroups)
    maps = []
    for title, members in groupby(places, key=lambda place: place[1].title):
        columns = [index for index, _ in members]
        rows = tuple(
            (one.layer, tuple(_cell(one.changes[index]) for index in columns if one.changes))
            for one in found.layers
        )
        heads = tuple(_head(found.subgroups[index]) for index in columns)
        maps.append(HeatMap(title, heads, rows))
    return tuple(maps)


def _head(subgroup: Subgroup) -> tuple[str, str]:
    positives, negatives = (
        f"all {count}" if subgroup.whole == side else str(count)
        for side, count in (("positives", subgroup.positives), ("negatives", subgroup.negatives))
    )
    return subgroup.name or "all rows", f"{positives} + / {negatives} \u2212"


def _cell(change: Change) -> Cell:
    depth = _DEEPEST * min(abs(change.difference) / _FULL, 1)
    colour = _LOSS if change.difference < 0 else _GAIN
    return Cell(
        value=_signed(change.difference),
        interval=f"{_signed(change.low)} to {_signed(change.high)}",
        colour=f"rgb({colour} / {depth:.2f})",
        shown=change.low > 0 or change.high < 0,
    )


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "\u2212")
