"""Layers planted as identities come out unfavourable; the one that works is all that is kept."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from genoslim.prune.choice import choose
from genoslim.prune.execution import Executor
from genoslim.prune.recipe import Recipe
from genoslim.prune.verbs import run_sweep

TINY = runpy.run_path(str(Path(__file__).parents[1] / "fixtures" / "tiny_sweep.py"))
LAYERS = 4


@pytest.mark.parametrize(
    ("family", "carrier", "epochs"), [("dnabert2", 1, 15), ("nt_v1", 2, 6), ("nt_v1", 0, 6)]
)
def test_the_sweep_finds_what_was_planted(
    family: str, carrier: int, epochs: int, tmp_path: Path
) -> None:
    """Through the real sweep: only the carrier can bring tokens to `<cls>`."""
    plant = TINY["plant_identities"](family, carrier=carrier, layers=LAYERS)
    model = TINY["write_model"](tmp_path / "model", family, layers=LAYERS, hidden=32, change=plant)
    data = TINY["write_data"](tmp_path / "data.parquet", train=192, held_out=96)
    judgement = run_sweep(
        model,
        data,
        output=tmp_path / "run",
        recipe=Recipe(epochs=epochs, learning_rate=3e-3),
        executor=Executor(workers=1, threads=1),
    ).judgement
    roles = {verdict.layer: verdict.role for verdict in judgement.verdicts}
    expected = dict.fromkeys(range(LAYERS), "unfavourable") | {carrier: "undecided"}
    assert roles == expected
    assert judgement.baseline["auroc"].mean > 0.95
    for layer in set(range(LAYERS)) - {carrier}:
        comparison = judgement.verdicts[layer].evidence.comparison
        assert comparison is not None
        assert comparison.pairs == 2
    evidence = judgement.verdicts[carrier].evidence
    assert evidence.metrics["auroc"] == 0.5
    assert "COLLAPSED" in evidence.reason  # no figure tells a bad recipe from a layer that is all
    unfavourable_removed, _ = choose(judgement)
    assert unfavourable_removed.dropped == tuple(sorted(set(range(LAYERS)) - {carrier}))
