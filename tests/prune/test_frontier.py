"""The record of a frontier, its table and its picture, on figures made up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from genoslim.pages.plots import png
from genoslim.prune.frontier import FRONTIER_FORMAT, Candidate, Frontier, Smallest
from genoslim.prune.frontier_plots import frontier_plots
from genoslim.prune.frontier_table import frontier_table, random_mean
from genoslim.prune.trainings import Training


def _candidate(
    kept: tuple[int, ...],
    auroc: float,
    training: Training = "healed",
    by: tuple[str, ...] = ("sleb",),
    collapsed: str = "",
) -> Candidate:
    return Candidate(
        kept=kept,
        training=training,
        found_by=by,
        trial=f"{training}{kept}",
        seed=1,
        collapsed=collapsed,
        auroc=auroc,
        low=auroc - 0.02,
        high=min(1.0, auroc + 0.02),
        parameters=1000 * len(kept),
        fine_tune_seconds=float(len(kept)),
        milliseconds=0.1 * len(kept),
    )


FRONTIER = Frontier(
    format=FRONTIER_FORMAT,
    run="/run",
    seed=1,
    margin=0.01,
    validation_rows=400,
    full=(_candidate((0, 1, 2, 3), 0.91, "pretrained", ("sweep",)),),
    candidates=(
        _candidate((2,), 0.95, collapsed="one class is predicted"),
        _candidate((1,), 0.80, by=("random",)),
        _candidate((0,), 0.70, by=("random", "first")),
        _candidate((0, 2), 0.92),
        _candidate((0, 2), 0.88, "pretrained"),
        _candidate((0, 1), 0.90, by=("first",)),
        _candidate((0, 1, 2), 0.905, "pretrained", ("sweep",)),
    ),
    smallest=Smallest(
        kept=(0, 2),
        training="healed",
        seeds=(0, 1, 2),
        reference="healed",
        difference=0.01,
        standard_error=0.004,
        degrees_of_freedom=20.0,
        low=0.002,
        high=0.018,
        p_inferior=0.0001,
    ),
    reason="because",
    ended="the budget was spent",
    trainings=6,
    seconds=10.0,
    passes=9,
    probe_seconds=0.5,
)


@pytest.mark.parametrize(
    ("layers", "training", "auroc"),
    [
        (1, None, 0.80),
        (2, None, 0.92),
        (2, "pretrained", 0.88),
        (3, "healed", None),
        (3, None, 0.905),
        (7, None, None),
    ],
)
def test_best_is_of_a_size_and_a_training_and_never_collapsed(
    layers: int, training: Training | None, auroc: float | None
) -> None:
    found = FRONTIER.best(layers, training)
    assert (None if found is None else found.auroc) == auroc


def test_table_has_a_line_for_each_size() -> None:
    text = frontier_table(FRONTIER)
    assert max(map(len, text.splitlines())) <= 80
    lines = [line.split() for line in text.splitlines()]
    sizes = [line[0] for line in lines if line and line[0].isdigit()]
    assert sizes == ["4", "3", "2", "1"]
    two = next(line for line in lines if line[:1] == ["2"])
    assert two == ["2", "healed", "0.9200", "0.8800", "0.20", "0", "2", "sleb"]
    one = next(line for line in lines if line[:1] == ["1"])
    assert "0.7500" in one


def test_random_mean_is_of_healed_draws_alone() -> None:
    assert random_mean(FRONTIER, 1) == pytest.approx(0.75)
    assert random_mean(FRONTIER, 2) is None


def test_the_margin_is_below_the_better_full_model() -> None:
    first, second = (replace(FRONTIER.full[0], auroc=auroc) for auroc in (0.8, 0.9))
    by_layers, _ = frontier_plots(replace(FRONTIER, full=(first, second), margin=0.02))
    layers = by_layers.spec["layer"]
    assert layers[0]["data"]["values"] == [{"from": pytest.approx(0.88), "to": 0.9}]


@pytest.mark.parametrize("frontier", [FRONTIER, replace(FRONTIER, smallest=None, candidates=())])
def test_picture_is_a_png_of_any_frontier(frontier: Frontier) -> None:
    assert png(*frontier_plots(frontier)).startswith(b"\x89PNG")
