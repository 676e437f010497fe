"""The command that makes a benchmark again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from .prepare import Prepared
from .result import QUICK_ROUNDS, QUICK_SECONDS, SECONDS, Settings
from .rule import Machine, Rule

_NAMES = {"max_memory_mb": "max-memory"}
"""Options that are not called as their fields are."""
_OTHERWISE = ("seconds", "rounds", "starts", "alpha")


def command_of(
    prepared: Prepared,
    settings: Settings,
    output: Path,
    *,
    plan: Path | None = None,
    exploratory: bool = False,
) -> str:
    """Return a benchmark's call as a command; the baseline is named first.

    What a `plan` says is left to it.
    """
    models = [] if plan is not None else [subject.path for subject in prepared.subjects]
    call = ["genoslim", "bench", *map(str, models), "-d", str(prepared.path), "-o", str(output)]
    if plan is not None:
        call += ["--plan", str(plan)]
    call += [*_settings(settings, planned=plan is not None), *["--exploratory"] * exploratory]
    if plan is None:
        call += _seeds(prepared)
    return shlex.join(call)


def _settings(settings: Settings, *, planned: bool) -> Iterator[str]:
    """Yield options for what is not the default, and not in a plan."""
    left_out = {field.name for kind in (Rule, Machine) for field in fields(kind)} if planned else ()
    for field in fields(settings):
        value = getattr(settings, field.name)
        if field.name in (*_OTHERWISE, *left_out) or value == field.default:
            continue
        yield f"--{_NAMES.get(field.name, field.name.replace('_', '-'))}"
        yield f"{value:g}" if isinstance(value, float) else str(value)
    quick = settings.rounds == QUICK_ROUNDS
    yield from ["--quick"] * quick
    if settings.seconds != (QUICK_SECONDS if quick else SECONDS):
        yield from ("--seconds", f"{settings.seconds:g}")


def _seeds(prepared: Prepared) -> Iterator[str]:
    for seed in prepared.further:
        yield from ("--seed-of", f"{prepared.subjects[seed.place].path}={seed.subject.path}")
