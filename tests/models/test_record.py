"""The training record of a checkpoint: what is written is read, and old forms still are."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from genoslim.errors import GenoslimError
from genoslim.models.record import (
    SeedRecord,
    TrainingEnvironment,
    TrainingRecord,
    is_fine_tuned,
    known_training,
    read_training,
    write_training,
)
from genoslim.stats.metrics import Metrics

OLD = Path(__file__).parents[1] / "fixtures" / "old"
METRICS = Metrics(
    accuracy=0.75, auroc=1.0, f1=0.8, true_positive_rate=1.0, tp=2, fp=1, tn=1, fn=0, n=4,
    threshold=0.5,
)  # fmt: skip
SEED = SeedRecord(
    seed=3,
    trial="0123456789abcdef",
    collapsed="",
    validation=METRICS,
    test=METRICS,
    macro_auroc={"validation": None, "test": 0.5},
    fine_tune_seconds=2.5,
    evaluation_seconds=0.5,
    steps=9,
)
ENVIRONMENT = TrainingEnvironment(
    genoslim="1", python="3", torch="2", numpy="2", platform="Linux", processor="x", gpus=("A",)
)
RECORD = TrainingRecord(
    base_model="owner/base",
    base_layers=3,
    kept_layers=(0, 2),
    dropped_layers=(1,),
    recipe={"epochs": 3, "clip": 1.0, "precision": "auto", "evaluate_every": None},
    fine_tune_seconds=2.5,
    validation=METRICS,
    macro_auroc={"validation": None, "test": 0.5},
    seeds=(SEED,),
    environment=ENVIRONMENT,
)


def test_a_record_is_read_back_and_leaves_out_what_is_not_known(tmp_path: Path) -> None:
    write_training(tmp_path, RECORD)
    assert read_training(tmp_path) == RECORD
    content = json.loads((tmp_path / "genoslim.json").read_text())
    assert content["format"] == 2
    assert content["recipe"]["evaluate_every"] is None
    assert not content.keys() & {"licence", "assembly", "test", "trial"}


def test_no_record_and_an_empty_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert read_training(tmp_path) is None
    with caplog.at_level(logging.WARNING):
        assert known_training(tmp_path) == TrainingRecord()
    assert "how this checkpoint was trained is unknown" in caplog.text
    (tmp_path / "genoslim.json").write_text("{}")
    assert read_training(tmp_path) == TrainingRecord()
    assert not is_fine_tuned(tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"format": 3}, "format is 3; this genoslim reads 2: upgrade"),
        ({"format": "one"}, "format is 'one'; this genoslim reads 2"),
        ({"seed": "seven"}, "seed is 'seven'"),
        ({"trial": {"seed": 1}, "result": {"validation": {}}}, "validation.accuracy is missing"),
        ({"trial": {}, "result": [1]}, "trial is {}; expected"),
    ],
)
def test_what_is_no_record_is_refused(
    tmp_path: Path, content: dict[str, object], said: str
) -> None:
    (tmp_path / "genoslim.json").write_text(json.dumps(content))
    with pytest.raises(GenoslimError, match=rf"genoslim\.json: {said}"):
        read_training(tmp_path)


def test_the_old_record_of_a_trial_is_read_as_todays() -> None:
    record = read_training(OLD / "run" / "trials" / "21a01bf05f339a3a" / "checkpoint")
    assert record is not None
    assert record.fine_tuned
    assert (record.trial, record.seed, record.base_model) == ("21a01bf05f339a3a", 0, "model")
    assert record.recipe["epochs"] == 4
    assert record.data_fingerprint is not None
    assert record.data_fingerprint.startswith("6daf6eaf")
    assert record.base_model_fingerprint is not None
    assert record.validation is not None
    assert record.validation.auroc == 1.0


def test_the_old_record_of_a_pruned_model_is_read_as_todays() -> None:
    record = read_training(OLD / "pruned" / "unfavourable_removed")
    assert record is not None
    assert record.fine_tuned
    assert (record.kept_layers, record.dropped_layers, record.base_layers) == ((0,), (1,), 2)
    assert {seed.seed for seed in record.seeds} == {0, 1, 1001, 2001}
    assert record.environment is not None
    assert record.environment.genoslim == "0.1.0"


@pytest.mark.parametrize(
    ("base", "name"), [(None, None), ("owner/base", "owner/base"), ("/home/ann/base", "base")]
)
def test_the_name_of_the_base_has_no_folders_of_a_machine(
    base: str | None, name: str | None
) -> None:
    assert TrainingRecord(base_model=base).base_name == name
