"""Tables for a terminal: aligned columns, and the judgement of a sweep."""

from __future__ import annotations

from collections.abc import Sequence

import click

from .measure import MEASURES
from .verdicts import Judgement, Spread


def spread(value: Spread) -> str:
    """Return `0.7123 ± 0.0045`, or the mean alone for a single seed."""
    return f"{value.mean:.4f}" + ("" if value.sd is None else f" \u00b1 {value.sd:.4f}")


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows as left-aligned columns."""
    widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads))]
    for row in [heads, *rows]:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def print_judgement(judgement: Judgement) -> None:
    """Print one line a layer."""
    rows = [["baseline", "", *(spread(judgement.baseline[name]) for name in MEASURES), ""]]
    for verdict in judgement.verdicts:
        found = verdict.evidence
        values = [f"{found.metrics[name]:.4f}" for name in MEASURES]
        rows.append([str(verdict.layer), verdict.role, *values, found.finding])
    heads = ["layer", "role", "accuracy", "AUROC", "F1", "TP rate", "tested"]
    if judgement.baseline_macro_auroc is not None:
        heads.append("macro AUROC")
        rows[0].append(f"{judgement.baseline_macro_auroc:.4f}")
        for row, verdict in zip(rows[1:], judgement.verdicts, strict=True):
            macro = verdict.evidence.macro_auroc
            row.append("" if macro is None else f"{macro:.4f}")
    click.echo(f"without each layer, {judgement.rules.split} split, rule {judgement.rules.rule}:")
    print_table(heads, rows)
