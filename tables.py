"""Tables for a terminal: aligned columns that fold to its width, 80 columns where there is none."""

from __future__ import annotations

import io
import re
import shutil
import sys
from collections.abc import Sequence
from typing import Literal

WIDTH = 80
"""Of text that goes to a file or a pipe."""

_NUMBER = re.compile(r"[-+]?[\d.,]+(?: ?[%\u00b1x]| ?[kMG]?B| m?s)?")


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, width: int | None = None) -> str:
    """Return rows under their heads as text without a line end at its end.

    Columns that hold nothing but numbers are aligned right and fold last. A table wider than
    `width` (default: the terminal's, or 80) folds its longest cells; nothing is cut off. No heads:
    rows alone.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    made = Table(
        box=box.SIMPLE_HEAD if any(heads) else None,
        show_header=any(heads),
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0) if any(heads) else (0, 1),
    )
    for place, head in enumerate(heads):
        column = [row[place] for row in rows if row[place]]
        numeric = bool(column) and all(_NUMBER.fullmatch(cell.strip()) for cell in column)
        justify: Literal["left", "right"] = "right" if numeric else "left"
        made.add_column(head, justify=justify, overflow="fold", no_wrap=numeric)
    for row in rows:
        made.add_row(*(_literal(cell) for cell in row))
    target = io.StringIO()
    Console(file=target, width=width or _terminal_width(), highlight=False).print(made)
    return "\n".join(line.rstrip() for line in target.getvalue().splitlines()).strip("\n")


def _literal(cell: str) -> str:
    """Return a cell in which rich sees no markup."""
    from rich.markup import escape

    return escape(cell)


def _terminal_width() -> int:
    return shutil.get_terminal_size((WIDTH, 24)).columns if sys.stdout.isatty() else WIDTH
