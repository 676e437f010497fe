"""When a fine-tuning had converged, from the validation losses that were looked at."""

from __future__ import annotations

from collections.abc import Mapping

TOLERANCE = 0.01
"""How far above the lowest validation loss, as a share of it, counts as converged."""


def best_step(losses: Mapping[int, float]) -> int | None:
    """Return the first step of the lowest loss; `losses` by optimiser step, None without any."""
    return min(losses, key=lambda step: (losses[step], step), default=None)


def converged_step(losses: Mapping[int, float], *, tolerance: float = TOLERANCE) -> int | None:
    """Return the first step whose loss is within `tolerance` of the lowest of all.

    A later, higher loss does not count against it: this is when one could have stopped.
    """
    best = best_step(losses)
    if best is None:
        return None
    limit = losses[best] * (1 + tolerance)
    return min(step for step, loss in losses.items() if loss <= limit)
