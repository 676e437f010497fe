"""Scoring as seen from a terminal: progress and the closing account."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

import click

from ..tables import table
from .tally import Tally

__all__ = ["account", "progress_on"]

_EVERY_SECONDS = 30.0


@contextmanager
def progress_on(
    stream: TextIO, *, every: float = _EVERY_SECONDS
) -> Iterator[Callable[[int], None]]:
    """Give what takes the number of lines done and tells it on `stream`.

    A terminal shows the number; elsewhere a line comes every so many seconds, with the rate since
    the one before.
    """
    if not stream.isatty():
        yield _Lines(stream, every)
        return
    try:
        yield lambda done: click.echo(f"\r{done:,} lines scored", stream, nl=False)
    finally:
        click.echo(file=stream)


class _Lines:
    """Writes a line when some seconds have passed since the last one."""

    def __init__(self, stream: TextIO, every: float) -> None:
        self._stream, self._every = stream, every
        self._told, self._when = 0, time.monotonic()

    def __call__(self, done: int) -> None:
        seconds = time.monotonic() - self._when
        if seconds < self._every:
            return
        rate = (done - self._told) / seconds
        click.echo(f"{done:,} lines scored, {rate:,.0f}/s", self._stream)
        self._told, self._when = done, time.monotonic()


def account(tally: Tally) -> str:
    """Return what a run did as lines for a terminal."""
    counts = sorted(tally.statuses.items(), key=lambda item: -item[1])
    lines = [
        f"{tally.records:,} records, {tally.alleles:,} alternate alleles, {tally.scored:,} scored",
        f"{tally.called:,} of them at or above the threshold of {tally.threshold:.6g}",
    ]
    if rows := [(f"  {status}", f"{count:,}") for status, count in counts if count]:
        lines.append(table(("", ""), rows))
    if tally.malformed_lines:
        lines.append(f"{tally.malformed_lines:,} malformed lines passed on as they were")
    if tally.aliases:
        pairs = ", ".join(f"{name} = {ours}" for name, ours in tally.aliases.items())
        lines.append(f"contigs taken for those of the FASTA: {pairs}")
    lines.append(
        f"{tally.seconds:.1f} s, {tally.model_seconds:.1f} s of them in the model;"
        f" {tally.records_per_second:,.0f} records/s"
    )
    where = f"{tally.provider} in TF32" if tally.tf32 else tally.provider
    lines.append(f"bundle {tally.bundle_digest[:12]}, by {tally.backend} on {where}")
    return "\n".join(lines)
