"""When training had converged, on planted curves of the validation loss."""

from __future__ import annotations

from genoslim.prune.convergence import best_step, converged_step


def test_the_first_step_within_the_tolerance_of_the_lowest_loss() -> None:
    losses = {10: 0.7, 20: 0.5051, 30: 0.5049, 40: 0.6, 50: 0.5, 60: 0.5, 70: 0.9}
    assert best_step(losses) == 50  # the first of equals
    assert converged_step(losses) == 30  # 1 % above 0.5 is 0.505, 0.5051 above it
    assert converged_step(losses, tolerance=0.001) == 50


def test_an_exact_planted_curve() -> None:
    losses = {epoch: 0.4 + 0.3 * 0.5**epoch for epoch in range(1, 11)}  # 0.55, 0.475, ...
    limit = losses[10] * 1.01
    assert converged_step(losses) == next(e for e in losses if losses[e] <= limit) == 7
    assert best_step(losses) == 10


def test_without_a_number_nothing_converges() -> None:
    assert best_step({}) is None
    assert converged_step({}) is None
