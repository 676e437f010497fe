"""Scoring as seen from a terminal: the command line, progress and the closing account."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from .tally import Tally
from .vcf import score_vcf


def score_on_console(bundle: Path, fasta: Path, input: str, output: str, **options: Any) -> Tally:
    """Call `score_vcf`; progress (on a terminal only) and the tally go to stderr."""
    with _progress() as progress:
        command = shlex.join(["genoslim", *sys.argv[1:]])
        tally = score_vcf(
            bundle, fasta, input, output, command=command, progress=progress, **options
        )
    for line in tally.lines():
        click.echo(line, err=True)
    return tally


@contextmanager
def _progress() -> Iterator[Callable[[int], None] | None]:
    if not sys.stderr.isatty():
        yield None
        return
    try:
        yield lambda done: click.echo(f"\r{done:,} lines scored", err=True, nl=False)
    finally:
        click.echo(err=True)
