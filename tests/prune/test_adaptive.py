from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from genoslim.errors import GenoslimError
from genoslim.prune.adaptive import undecided_layers
from genoslim.prune.execution import Executor
from genoslim.prune.judging import judge_run
from genoslim.prune.measure import Rows, Split
from genoslim.prune.plan import SweepConfig, open_sweep, plan, planned_sweep
from genoslim.prune.run_folder import RunFolder
from genoslim.prune.sweep import sweep
from genoslim.prune.trial import Predictions, Trial
from genoslim.prune.verdicts import Rules

INLINE = Executor(workers=1, threads=1, device="cpu")


def _layers(run: RunFolder) -> list[tuple[int, int]]:
    return [(spec.dropped[0], spec.seed) for spec in plan(run) if spec.dropped]


@pytest.fixture
def adaptive(config: SweepConfig) -> SweepConfig:
    return replace(config, layer_seeds=4, adaptive=True)


def test_two_seeds_of_all_layers_come_first(adaptive: SweepConfig, tmp_path: Path) -> None:
    run = planned_sweep(tmp_path / "run", adaptive)
    assert _layers(run) == [(layer, seed) for layer in range(3) for seed in range(2)]
    assert [spec.seed for spec in plan(run) if not spec.dropped] == [0, 1, 2]


def test_further_seeds_go_to_undecided_layers_alone(
    adaptive: SweepConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Layer 1 stays undecided for ever, layer 2 until it has three seeds."""
    seen: list[dict[int, int]] = []

    def undecided(
        baseline: Sequence[Sequence[Trial]],
        layers: Mapping[int, Sequence[Sequence[Trial]]],
        rows: Mapping[Split, Rows],
        *,
        looks: int,
    ) -> tuple[int, ...]:
        assert (len(baseline), looks) == (3, 2)
        seen.append({layer: len(seeds) for layer, seeds in layers.items()})
        return tuple(layer for layer in layers if layer == 1 or (len(layers[2]) < 3 and layer == 2))

    monkeypatch.setattr("genoslim.prune.plan.undecided_layers", undecided)
    run = open_sweep(tmp_path / "run", adaptive)
    sweep(run, executor=INLINE)
    assert _layers(run) == [
        *((0, seed) for seed in range(2)),
        *((1, seed) for seed in range(4)),
        *((2, seed) for seed in range(3)),
    ]
    assert seen[-1] == {0: 2, 1: 3, 2: 3}
    done = {path.parent.name for path in run.folder.glob("trials/*/result.json")}
    assert done == {spec.hash for spec in plan(run)}
    judgement = judge_run(run, Rules(rule="tested", margin=0.3, repeats=10))
    assert [len(verdict.evidence.seeds) for verdict in judgement.verdicts] == [2, 4, 3]


def test_an_adaptive_sweep_is_not_the_exhaustive_one(
    config: SweepConfig, finished: RunFolder
) -> None:
    with pytest.raises(GenoslimError, match="adaptive is false there and true here"):
        open_sweep(finished.folder, replace(config, adaptive=True))


def _noisy(trial: Trial, labels: np.ndarray, strength: float, seed: int) -> Trial:
    """A trial whose validation scores tell the classes apart by `strength` standard deviations."""
    shared = np.random.default_rng(0).normal(size=len(labels))
    own = np.random.default_rng(seed).normal(size=len(labels))
    margin = strength * (labels - 0.5) + 0.95 * shared + 0.1 * own
    logits = np.column_stack([-margin / 2, margin / 2]).astype(np.float32)
    spec = replace(trial.spec, seed=seed % 10)
    return Trial(spec, trial.result, Predictions(logits, trial.predictions.test))


@pytest.mark.parametrize(("count", "some"), [(8000, False), (160, True)])
def test_what_the_rows_can_tell_is_decided(finished: RunFolder, count: int, some: bool) -> None:
    """Only without layer 7 is anything lost; that the others can go takes many rows to show."""
    trial = finished.trials.read(plan(finished)[0])
    assert trial is not None
    labels = np.tile([0, 1], count // 2)
    keys = np.array([f"variant{place}" for place in range(count)])
    rows: dict[Split, Rows] = {
        split: Rows(labels, keys, np.full(count, "")) for split in ("validation", "test")
    }
    test = np.zeros((count, 2), dtype=np.float32)
    trial = replace(trial, predictions=replace(trial.predictions, test=test))

    def tried(strength: float, first: int, seeds: int) -> list[list[Trial]]:
        return [[_noisy(trial, labels, strength, first + seed)] for seed in range(seeds)]

    baseline = tried(2.0, 10, 3)
    layers = {layer: tried(2.0, 20 + 10 * layer, 2) for layer in range(7)}
    layers[7] = tried(0.5, 90, 2)
    left = undecided_layers(baseline, layers, rows, looks=1)
    assert bool(left) == some
    assert 7 not in left
