"""What the verb `export` prints: facts on stdout, stages on stderr."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..bundle.show import bundle_text
from ..errors import needs_extra

if TYPE_CHECKING:
    from .exporter import ExportSummary


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
    click.echo(bundle_text(summary.bundle))
    for line in (*_speed(summary), *_times(summary)):
        click.echo(line)


def _speed(summary: ExportSummary) -> Iterator[str]:
    if summary.speed_ratio is not None:
        precision = summary.bundle.manifest.precision
        yield f"{precision} has {summary.speed_ratio:.2f} times the speed of fp32 on this machine"


def _times(summary: ExportSummary) -> Iterator[str]:
    stages = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in summary.seconds.items())
    yield f"made in {sum(summary.seconds.values()):.1f} s: {stages}"
