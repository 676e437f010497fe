"""Fine-tuning a checkpoint with int8 rounding in the loop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from tiny_checkpoints import some_data, tiny_classifier, tokenizer_of, training_record

from genoslim.cli import main
from genoslim.errors import GateError, GenoslimError
from genoslim.models.checkpoint import save
from genoslim.models.fingerprint import fingerprint_model
from genoslim.models.record import TrainingCost, known_training
from genoslim.prune.int8 import tune_int8

COST = TrainingCost(
    epochs=4.0,
    best_epoch=3.0,
    converged_epoch=2.0,
    tolerance=0.01,
    sequences_per_second=50.0,
    device="cpu",
    threads=1,
    precision="fp32",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Windows whose label is whether their second quarter has more of G and C than most."""
    rows = some_data()
    strong = [sum(base in "GC" for base in text[15:30]) for text in rows.sequences]
    labels = (rows.labels * 0 + [count > 7 for count in strong]).astype(rows.labels.dtype)
    path = tmp_path_factory.mktemp("int8") / "data.parquet"
    replace(rows, labels=labels).write(path)
    return path


@pytest.fixture(scope="module")
def checkpoint(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from genoslim.data.dataset import read_data

    model = tiny_classifier("nt_v1", hidden_size=64, intermediate_size=128, num_hidden_layers=1)
    record = replace(training_record(read_data(data)), cost=COST)
    folder = tmp_path_factory.mktemp("int8") / "tuned"
    save(model, tokenizer_of("nt_v1"), folder, training=record)
    return folder


def test_what_is_better_in_int8_is_written_with_both_figures(
    checkpoint: Path, data: Path, tmp_path: Path
) -> None:
    before = known_training(checkpoint)
    found = tune_int8(
        checkpoint, data, output=tmp_path / "out", epochs=8, learning_rate=3e-3, batch_size=4
    )
    record = known_training(found.checkpoint)
    assert record.int8 == found.tuning
    assert found.tuning.tuned > found.tuning.plain + 0.03
    assert 0 < found.tuning.longer < 1
    assert found.tuning.checkpoint == fingerprint_model(checkpoint)
    assert fingerprint_model(found.checkpoint) != fingerprint_model(checkpoint)
    assert before.fine_tune_seconds is not None
    assert record.fine_tune_seconds == before.fine_tune_seconds + found.tuning.seconds
    assert (record.cost, record.test, record.validation, record.seeds) == (None, None, None, ())
    assert record.data_fingerprint == before.data_fingerprint
    assert record.window_length == before.window_length


def test_what_gains_nothing_is_not_written(checkpoint: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(GateError, match=r"tuning gains nothing, so nothing was written: AUROC"):
        tune_int8(checkpoint, data, output=tmp_path / "out", epochs=1, learning_rate=1e-12)
    assert not list(tmp_path.iterdir())


def test_a_tuning_that_diverges_is_said_to_and_not_written(
    checkpoint: Path, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(GenoslimError, match=r"the tuning diverged .* rate 1e\+30 is too high"):
        tune_int8(checkpoint, data, output=tmp_path / "out", epochs=2, learning_rate=1e30)
    assert not list(tmp_path.iterdir())


def test_other_data_and_narrow_networks_are_refused(
    checkpoint: Path, data: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.parquet"
    some_data(source="elsewhere").write(other)
    with pytest.raises(GenoslimError, match="trained on other data"):
        tune_int8(checkpoint, other, output=tmp_path / "out")
    from genoslim.data.dataset import read_data

    narrow = tmp_path / "narrow"
    record = training_record(read_data(data))
    save(tiny_classifier("nt_v1"), tokenizer_of("nt_v1"), narrow, training=record)
    with pytest.raises(GenoslimError, match="no weight matrix of 64 x 64 or more"):
        tune_int8(narrow, data, output=tmp_path / "out")


def test_the_command_says_what_was_gained_or_ends_with_3(
    checkpoint: Path, data: Path, tmp_path: Path
) -> None:
    call = ["tune-int8", str(checkpoint), "-d", str(data), "-o", str(tmp_path / "out")]
    budget = ["--epochs", "8", "--learning-rate", "3e-3", "--batch-size", "4", "--device", "cpu"]
    done = CliRunner().invoke(main, [*call, *budget])
    assert done.exit_code == 0, done.stderr
    assert "after 8 epochs with int8 in the loop and 0." in done.stdout
    again = CliRunner().invoke(main, [*call, "--epochs", "1", "--learning-rate", "1e-12"])
    assert again.exit_code == 3
    assert "tuning gains nothing" in again.stderr
    assert (tmp_path / "out" / "genoslim.json").is_file()  # an older one stays
