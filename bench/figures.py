"""What the tables of a benchmark hold."""

from __future__ import annotations

Value = str | int | float | bool | None
"""A plain value; None is blank."""

Figures = dict[str, tuple[str, str]]
"""By its name, a model's figure as text and its key in `bench.json`, under `models[i]`."""


def rate(value: float) -> str:
    """Return a number of things a second as text."""
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"
