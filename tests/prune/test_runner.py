from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from genoslim.errors import UsageError
from genoslim.models import load
from genoslim.models.fingerprint import fingerprint_model
from genoslim.models.layers import remove_layers
from genoslim.models.record import known_training
from genoslim.prune.finetune import Labelled, fine_tune_tokens, predict_tokens
from genoslim.prune.plan import SweepConfig, open_sweep, plan, setting_of
from genoslim.prune.provenance import training_cost
from genoslim.prune.run_folder import RunFolder
from genoslim.prune.runner import (
    TrialRunner,
    describe_environment,
    resolve_devices,
    rows_of,
)


def test_a_trial_is_drop_fine_tune_predict(finished: RunFolder, nt_model: Path) -> None:
    """The runner finds what the same steps by hand find, to the bit."""
    runner = TrialRunner(setting_of(finished))
    spec = plan(finished)[4]
    model = remove_layers(load(nt_model, num_labels=2, seed=spec.seed, fresh_head=True), [1])
    train, validation, test = (
        Labelled.encode(runner.tokenizer, runner.data.split(name))
        for name in ("train", "validation", "test")
    )
    tuned = fine_tune_tokens(model, train, validation, spec.recipe, seed=spec.seed)
    trial = finished.trials.read(spec)
    assert trial is not None
    assert (predict_tokens(model, validation.tokens) == trial.predictions.validation).all()
    assert (predict_tokens(model, test.tokens) == trial.predictions.test).all()
    assert trial.result.steps == tuned.steps
    assert trial.result.micro_batch == spec.recipe.batch_size
    assert trial.result.validation_loss == tuned.validation_loss
    assert trial.result.parameters == sum(p.numel() for p in model.parameters())
    assert len(trial.result.history) == spec.recipe.epochs
    assert trial.result.sequences == len(train.tokens) * (spec.recipe.epochs or 0)
    cost = training_cost(trial.result)
    assert cost is not None
    assert cost.epochs == spec.recipe.epochs
    assert cost.best_epoch in range(1, spec.recipe.epochs + 1)
    assert cost.converged_epoch <= cost.best_epoch
    assert cost.sequences_per_second * trial.result.fine_tune_seconds == pytest.approx(
        trial.result.sequences
    )
    assert (cost.device, cost.threads, cost.precision) == ("cpu", 1, "fp32")
    assert training_cost(replace(trial.result, sequences=None)) is None


def test_the_record_of_weights_says_what_training_them_took(finished: RunFolder) -> None:
    baseline = plan(finished)[0]
    trial, record = finished.trials.read(baseline), finished.trials.checkpoint(baseline)
    assert trial is not None
    assert known_training(record).cost == training_cost(trial.result)


def test_kept_weights_are_made_again_for_a_trial_that_is_done(
    finished: RunFolder, tmp_path: Path
) -> None:
    shutil.copytree(finished.trials.folder, tmp_path / "trials")
    runner = TrialRunner(setting_of(finished, trials=tmp_path / "trials"))
    layer = plan(finished)[3]
    assert runner.run(layer, keep_weights=False) == "found"
    assert runner.run(layer, keep_weights=True) == "done"
    assert len(load(runner.store.checkpoint(layer)).blocks) == 2


def test_rows_are_those_of_the_data_in_order(finished: RunFolder) -> None:
    data = TrialRunner(setting_of(finished)).data
    rows = rows_of(data)
    for split, found in rows.items():
        expected = data.split(split)
        assert found.labels.tolist() == expected.labels.tolist()
        assert found.keys.tolist() == list(expected.keys)
        assert found.groups.tolist() == list(expected.groups)
        assert found.grouped
        assert not found.recurring


def test_a_trial_of_a_fine_tuned_checkpoint_starts_from_a_fresh_head(
    finished: RunFolder, config: SweepConfig, tmp_path: Path
) -> None:
    tuned = finished.trials.checkpoint(plan(finished)[0])
    run = open_sweep(tmp_path / "run", replace(config, model=str(tuned)))
    runner = TrialRunner(setting_of(run))
    first, second = (runner._start(spec)[0].state_dict() for spec in plan(run)[:2])
    fresh = load(config.model, seed=0).state_dict()
    saved = load(tuned).state_dict()
    for key, value in first.items():
        head = key.startswith("classifier.")
        assert torch.equal(value, (fresh if head else saved)[key]), key
    assert not torch.equal(first["classifier.dense.weight"], second["classifier.dense.weight"])


def test_fingerprint_is_of_weights_and_tokenizer_not_of_cards(
    nt_model: Path, tmp_path: Path
) -> None:
    shutil.copytree(nt_model, tmp_path / "copy")
    (tmp_path / "copy" / "README.md").write_text("another card")
    assert fingerprint_model(tmp_path / "copy") == fingerprint_model(nt_model)
    weights = tmp_path / "copy" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert fingerprint_model(tmp_path / "copy") != fingerprint_model(nt_model)


def test_devices_are_those_of_this_machine() -> None:
    gpus = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    assert resolve_devices("cpu") == ["cpu"]
    assert resolve_devices("auto") == (gpus or ["cpu"])
    with pytest.raises(UsageError, match="device 'cuda:99' is not here; there is cpu"):
        resolve_devices("cuda:99")


def test_the_environment_names_versions_and_machine() -> None:
    found = describe_environment()
    assert found.torch == torch.__version__
    assert found.processor
    assert len(found.gpus) == torch.cuda.device_count()
