"""The table and what it says about the targets; everything computed from measured times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from _cells import Cell
from _common import show
from _contenders import EAGER, FULL, OURS, PEER, SLIM
from _networks import MODELS

from genoslim.bench.latency import PairedRatio, summarise

OVER_PEERS = {12: 1.12, 6: 1.25, 3: 1.6}
"""Wanted ratio to the best exact peer, by layers, at batch 8 and 64."""

OVER_FULL = 7.0
"""Wanted ratio of the 3-layer bundle to the 12-layer model in eager torch."""

OF_PRODUCTS = 0.85
"""Wanted share of the machine's matrix-product rate at batch 64."""

_HEADER = [
    "",
    "median",
    "IQR/median",
    "range",
    "windows/s",
    "against eager (range)",
    "against best peer (range)",
    "GFLOP/s",
    "share",
    "logits off",
]


def show_cell(cell: Cell, best_rate: float) -> None:
    """Print the table of a cell; `best_rate` is the machine's, in operations a second."""
    gain = cell.plain_operations / cell.operations
    show(
        f"{cell.model}, batch {cell.batch}: {cell.windows} windows,"
        f" {cell.tokens / cell.windows:.0f} tokens each, {cell.padding:.1%} padding in file order;"
        f" {cell.operations / cell.windows / 1e9:.3g} GFLOP a window in our graph,"
        f" {gain:.2f} times that in the plain one",
        _HEADER,
        [_row(cell, name, best_rate) for name in cell.times],
    )
    ours, peer = cell.best(OURS), cell.best(PEER)
    print(f"best peer: {peer}; ours (auto): {ours}; logits span {cell.logit_span:.2g}")
    for name, choice in cell.notes.items():
        print(f"{name}: {choice} was fastest")
    for name, reason in cell.skipped.items():
        print(f"skipped: {name}: {reason}")
    for name, off in cell.inexact.items():
        print(f"NOT EXACT, not timed: {name}: logits differ by {off:.2g} > {cell.tolerance:.2g}")


def _row(cell: Cell, name: str, best_rate: float) -> list[str]:
    times = cell.times[name]
    rate = cell.useful_rate(name)
    same = name in cell.differences
    return [
        name,
        f"{_figure(median(times) * 1000)} ms",
        f"{summarise(times).spread:.0%}",
        f"{_figure(min(times) * 1000)} to {_figure(max(times) * 1000)}",
        _figure(cell.windows / median(times)),
        _ratio(cell.ratio(name, EAGER)),
        _ratio(cell.ratio(name, cell.best(PEER))),
        f"{rate / 1e9:.0f}" if same else "",
        f"{rate / best_rate:.0%}" if same else "",
        f"{cell.differences[name]:.1e}" if same else "",
    ]


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _ratio(ratio: PairedRatio | None) -> str:
    return f"{ratio.median:.2f}x ({ratio.low:.2f} to {ratio.high:.2f})" if ratio else ""


def show_targets(cells: Sequence[Cell], rates: dict[str, float]) -> None:
    """Print every target, what was measured, and whether it is met by the median."""
    rows = [*_over_peers(cells), *_over_full(cells), *_of_products(cells, rates)]
    show("Targets", ["", "wanted", "measured", ""], rows)


def _over_peers(cells: Sequence[Cell]) -> Iterator[list[str]]:
    for cell in cells:
        ratio, wanted = cell.speed_up(), OVER_PEERS[MODELS[cell.model][1]]
        if ratio is not None and cell.batch > 1:
            what = f"{cell.model}, batch {cell.batch}: {cell.best(OURS)} / {cell.best(PEER)}"
            yield [what, f"{wanted:.2f}x", _ratio(ratio), _met(ratio.median, wanted)]


def _over_full(cells: Sequence[Cell]) -> Iterator[list[str]]:
    for cell in cells:
        if (ratio := cell.over_full()) is not None:
            what = f"{SLIM}, batch {cell.batch}: {cell.best(OURS)} / {FULL}, {EAGER}"
            yield [what, f"{OVER_FULL:.2f}x", _ratio(ratio), _met(ratio.median, OVER_FULL)]


def _of_products(cells: Sequence[Cell], rates: dict[str, float]) -> Iterator[list[str]]:
    largest = max(cell.batch for cell in cells)
    for cell in cells:
        ours = cell.best(OURS)
        if ours is not None and cell.batch == largest:
            share = cell.useful_rate(ours) / rates[cell.model]
            what = f"{cell.model}, batch {cell.batch}: {ours}, useful arithmetic / best product"
            yield [what, f"{OF_PRODUCTS:.0%}", f"{share:.1%}", _met(share, OF_PRODUCTS)]


def _met(found: float, wanted: float) -> str:
    return "met" if found >= wanted else f"MISSED by {1 - found / wanted:.1%}"
