"""What the verbs `export` and `show BUNDLE` print: facts on stdout, stages on stderr."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..bundle.bundle import Bundle
from ..bundle.card import (
    NOTICE,
    batching,
    data_rows,
    loss_table,
    metrics_table,
    model_rows,
    parity_table,
)
from ..errors import needs_extra

if TYPE_CHECKING:
    from .exporter import ExportSummary

_Rows = Sequence[Sequence[str]]


def export_on_console(
    checkpoint: Path, data: Path, bundle: Path, *, as_json: bool, **options: Any
) -> None:
    """Call `export_checkpoint`, then print the bundle, or all that is known of it as JSON."""
    try:
        from .exporter import export_checkpoint
    except ModuleNotFoundError as error:
        raise needs_extra("exporting", str(error.name), "train,cpu") from error

    def progress(stage: str) -> None:
        click.echo(f"export: {stage}", err=True)

    summary = export_checkpoint(checkpoint, data, bundle, progress=progress, **options)
    if as_json:
        click.echo(json.dumps(summary.to_dict(), indent=2, sort_keys=True))
        return
    for line in (*_facts(summary.bundle), *_speed(summary), *_times(summary)):
        click.echo(line)


def show_bundle(folder: Path) -> None:
    """Prove that a bundle is intact and print what it is; GateError says what is wrong with it."""
    for line in _facts(Bundle.open(folder)):
        click.echo(line)


def _facts(bundle: Bundle) -> Iterator[str]:
    manifest = bundle.manifest
    size = sum(record.size for record in manifest.files.values())
    yield f"{bundle.folder}: bundle, format {manifest.format_version}, intact"
    yield f"{len(manifest.files)} files, {size / 1e6:.1f} MB, digest {bundle.digest}"
    yield ""
    yield from _columns(
        [
            ("input", f"{manifest.input}, {manifest.window_length} bp, {manifest.assembly}"),
            ("labels", ", ".join(f"{i} {name}" for i, name in enumerate(manifest.label_names))),
            ("threshold", f"{manifest.threshold:.6g} at temperature {manifest.temperature:.6g}"),
            *model_rows(manifest),
            *data_rows(manifest),
        ]
    )
    if not manifest.data.same_as_training:
        yield "evaluated on other data than trained on: leakage cannot be excluded"
    yield ""
    yield from _columns(metrics_table(manifest))
    if manifest.loss:
        yield ""
        yield (
            f"{manifest.precision} against float32 on {manifest.loss.windows:,} windows of"
            f" validation and test ({manifest.loss.provider}):"
        )
        yield from _columns(loss_table(manifest.loss))
    yield ""
    yield f"parity with torch, largest differences:{batching(manifest)}"
    yield from _columns(parity_table(manifest.parity))
    yield ""
    yield NOTICE


def _speed(summary: ExportSummary) -> Iterator[str]:
    if summary.speed_ratio is not None:
        precision = summary.bundle.manifest.precision
        yield f"{precision} has {summary.speed_ratio:.2f} times the speed of fp32 on this machine"


def _times(summary: ExportSummary) -> Iterator[str]:
    stages = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in summary.seconds.items())
    yield f"made in {sum(summary.seconds.values()):.1f} s: {stages}"


def _columns(rows: _Rows) -> Iterator[str]:
    """Yield rows as lines of left-aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()
