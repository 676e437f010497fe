from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from genoslim.errors import GenoslimError, UsageError
from genoslim.prune.plan import (
    SweepConfig,
    attempts,
    config_of,
    next_attempt,
    open_sweep,
    plan,
    requested_sweep,
)
from genoslim.prune.recipe import Recipe, RecipeOptions
from genoslim.prune.run_folder import RunFolder, TrialStore

NOTHING: RecipeOptions = {
    "learning_rate": None,
    "weight_decay": None,
    "warmup_steps": None,
    "batch_size": None,
    "clip": None,
    "epochs": None,
    "patience": None,
    "max_epochs": None,
    "evaluate_every": None,
    "precision": None,
}


def test_plan_is_the_baseline_then_one_trial_a_layer(finished: RunFolder) -> None:
    found = [(spec.dropped, spec.seed) for spec in plan(finished)]
    assert found == [((), 0), ((), 1), ((), 2), ((0,), 0), ((1,), 0), ((2,), 0)]


def test_a_split_of_one_class_is_refused(config: SweepConfig, tmp_path: Path) -> None:
    from genoslim.data.dataset import read_data

    data = read_data(config.data)
    keep = (data.splits != "validation") | (data.labels == 1)
    data.subset(keep).write(tmp_path / "one.parquet")
    with pytest.raises(GenoslimError, match="validation split has 32 positive and 0 negative"):
        open_sweep(tmp_path / "run", replace(config, data=tmp_path / "one.parquet"))


@pytest.mark.parametrize(
    ("field", "value", "least"), [("seeds", 0, 1), ("layer_seeds", 0, 1), ("seed", -1, 0)]
)
def test_a_number_that_makes_no_sense_is_quoted(field: str, value: int, least: int) -> None:
    with pytest.raises(UsageError, match=f"{field} is {value}, must be at least {least}"):
        SweepConfig(model="m", data=Path("d"), **{field: value})  # type: ignore[arg-type]


def test_what_was_not_asked_for_is_as_the_run_was_begun(finished: RunFolder) -> None:
    asked = requested_sweep(
        finished.folder,
        model=None,
        data=None,
        seed=None,
        seeds=5,
        layer_seeds=None,
        adaptive=None,
        recipe={**NOTHING, "clip": 2.0},
    )
    begun = config_of(finished)
    assert asked == replace(begun, seeds=5, recipe=replace(begun.recipe, clip=2.0))


def _requested(folder: Path) -> SweepConfig:
    return requested_sweep(
        folder,
        model="m",
        data=Path("d"),
        seed=None,
        seeds=None,
        layer_seeds=None,
        adaptive=None,
        recipe=NOTHING,
    )


def test_a_new_sweep_has_the_defaults(finished: RunFolder, tmp_path: Path) -> None:
    """But as many seeds a layer as the run that is there, whatever the default was then."""
    default = SweepConfig(model="m", data=Path("d"), recipe=Recipe())
    assert _requested(tmp_path) == default
    assert _requested(finished.folder) == replace(default, layer_seeds=1)
    assert default.layer_seeds != 1


def test_attempts_end_with_the_first_sound_one(finished: RunFolder, tmp_path: Path) -> None:
    store = TrialStore(tmp_path)
    spec = plan(finished)[3]
    trial = finished.trials.read(spec)
    assert trial is not None
    assert next_attempt(store, spec, keep_weights=False) == spec
    for number, collapsed in enumerate(("stuck", "")):
        again = spec.again(number)
        store.begin(again)
        result = replace(trial.result, hash=again.hash, collapsed=collapsed)
        store.write_result(again, result, trial.predictions)
        expected = again.again(1) if collapsed else None
        assert next_attempt(store, spec, keep_weights=False) == expected
    assert [one.spec.seed for one in attempts(store, spec)] == [0, 1000]
    assert next_attempt(store, spec, keep_weights=True) == spec
