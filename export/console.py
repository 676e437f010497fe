"""What the verb `export` prints: facts on stdout, stages on stderr."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..bundle.show import bundle_text
from ..tables import WIDTH

if TYPE_CHECKING:
    from .exporter import ExportSummary


def summary_text(summary: ExportSummary) -> str:
    """Return what a bundle is and is worth, and how long it took to make."""
    return "\n".join((bundle_text(summary.bundle), "", *_speed(summary), *_times(summary)))


def _speed(summary: ExportSummary) -> Iterator[str]:
    if summary.speed_ratio is not None:
        precision = summary.bundle.manifest.precision
        yield f"{precision} has {summary.speed_ratio:.2f} times the speed of fp32 on this machine"


def _times(summary: ExportSummary) -> Iterator[str]:
    stages = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in summary.seconds.items())
    yield textwrap.fill(f"made in {sum(summary.seconds.values()):.1f} s: {stages}", WIDTH)
