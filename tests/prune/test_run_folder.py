from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from genoslim.codec import decode
from genoslim.errors import GenoslimError, UsageError
from genoslim.files import read_json
from genoslim.prune.execution import Executor
from genoslim.prune.judging import judge_run
from genoslim.prune.plan import SweepConfig, open_sweep, plan
from genoslim.prune.run_folder import RunFolder, TrialStore
from genoslim.prune.trainings import Trainings
from genoslim.prune.trial import TrialSpec
from genoslim.prune.verdicts import Rules


@pytest.fixture
def copy(finished: RunFolder, tmp_path: Path) -> RunFolder:
    shutil.copytree(finished.folder, tmp_path / "run")
    return RunFolder(tmp_path / "run")


def test_a_finished_trial_reads_back(finished: RunFolder) -> None:
    spec = plan(finished)[0]
    trial = finished.trials.read(spec)
    assert trial is not None
    assert trial.result.hash == spec.hash
    assert trial.predictions.validation.shape == (64, 2)
    assert trial.predictions.test.dtype == np.float32
    assert set(trial.result.macro_auroc) == {"validation", "test"}
    assert trial.result.macro_auroc["test"] is not None
    kept = {path.name for path in finished.trials.path(spec).iterdir()}
    kept.discard("train_logits.npy")  # another test's healing asked this trial as its teacher
    assert kept == {"spec.json", "predictions.npz", "result.json", "checkpoint", "claim"}


def _truncate(folder: Path) -> None:
    data = (folder / "predictions.npz").read_bytes()
    (folder / "predictions.npz").write_bytes(data[: len(data) // 2])


def _other_result(folder: Path) -> None:
    result = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps({**result, "hash": "0" * 16}))


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "predictions.npz").unlink(),
        _truncate,
        _other_result,
        lambda folder: (folder / "result.json").write_text('{"hash": '),
        lambda folder: (folder / "result.json").write_text("[]"),
        lambda folder: (folder / "result.json").write_text("{}"),
    ],
)
def test_a_damaged_trial_is_as_good_as_not_run(
    copy: RunFolder, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    """What is wrong is told once: when the trial runs again."""
    spec = plan(copy)[-1]
    damage(copy.trials.path(spec))
    assert copy.trials.read(spec) is None
    assert not copy.trials.done(spec)
    with pytest.raises(GenoslimError, match=f"trial {spec.hash} .* is not whole: .*finish the sw"):
        judge_run(copy, Rules())
    assert caplog.messages == []
    copy.trials.begin(spec)
    (line,) = caplog.messages
    assert line.startswith(f"trial {spec.hash} is not whole and will run again: ")
    assert str(copy.trials.path(spec)) in line


def test_a_trial_that_may_not_be_read_is_no_damaged_one(copy: RunFolder) -> None:
    """Here for another reason than permissions, which do not bind the superuser."""
    path = copy.trials.path(plan(copy)[-1]) / "result.json"
    path.unlink()
    path.mkdir()
    with pytest.raises(GenoslimError, match=r"result\.json: cannot be read: Is a directory; make"):
        copy.trials.done(plan(copy)[-1])


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _garble(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [_cut, _garble])
def test_damaged_weights_are_not_taken_for_kept_ones(
    copy: RunFolder, damage: Callable[[Path], None], tmp_path: Path
) -> None:
    spec = plan(copy)[0]
    damage(copy.trials.checkpoint(spec) / "model.safetensors")
    assert copy.trials.done(spec)
    assert not copy.trials.done(spec, with_weights=True)
    assert "model.safetensors" in copy.trials.damage(spec, with_weights=True)
    trainings = Trainings(copy, tmp_path / "frontier", Executor(device="cpu"))
    with pytest.raises(GenoslimError, match=r"not kept whole; `genoslim sweep -o .*` makes"):
        trainings.weights(spec)


def test_a_trial_without_a_result_is_not_done(copy: RunFolder) -> None:
    spec = plan(copy)[-1]
    (copy.trials.path(spec) / "result.json").unlink()
    assert not copy.trials.done(spec)


def test_a_trial_without_its_weights_is_done_only_if_they_are_not_wanted(copy: RunFolder) -> None:
    spec = plan(copy)[0]
    shutil.rmtree(copy.trials.checkpoint(spec))
    assert copy.trials.done(spec)
    assert not copy.trials.done(spec, with_weights=True)


def test_beginning_takes_leftovers_away(copy: RunFolder) -> None:
    spec = plan(copy)[-1]
    folder = copy.trials.path(spec)
    (folder / ".tmp-abc-predictions.npz").write_bytes(b"half")
    (folder / ".tmp-checkpoint-x").mkdir()
    (folder / "checkpoint").mkdir()
    (folder / "train_logits.npy").write_bytes(b"of weights that are gone")
    copy.trials.begin(spec)
    assert {path.name for path in folder.iterdir()} == {"spec.json", "claim"}
    assert decode(TrialSpec, read_json(folder / "spec.json"), "spec.json", exact=True) == spec


def test_a_claim_keeps_other_processes_out_until_it_is_given_back(
    finished: RunFolder, tmp_path: Path
) -> None:
    spec, store = plan(finished)[0], TrialStore(tmp_path)
    with store.claim(spec) as mine:
        assert mine
        with TrialStore(tmp_path).claim(spec) as second:
            assert not second
    with store.claim(spec) as again:
        assert again


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"seeds": 5}, r"seeds is 3 there and 5 here"),
        ({"seed": 9}, r"seed is 0 there and 9 here"),
        ({"layer_seeds": 2}, r"layer seeds is 1 there and 2 here"),
    ],
)
def test_another_configuration_is_refused(
    finished: RunFolder, config: SweepConfig, change: dict[str, int], difference: str
) -> None:
    with pytest.raises(GenoslimError, match=difference):
        open_sweep(finished.folder, replace(config, **change))  # type: ignore[arg-type]


def test_another_recipe_is_refused(finished: RunFolder, config: SweepConfig) -> None:
    other = replace(config, recipe=replace(config.recipe, epochs=9, batch_size=64))
    with pytest.raises(
        GenoslimError, match=r"batch size is 16 there and 64 here.*epochs is 3 there"
    ):
        open_sweep(finished.folder, other)


def test_other_data_and_another_model_are_refused(
    finished: RunFolder, config: SweepConfig, model: Path, tmp_path: Path
) -> None:
    from genoslim.data.dataset import read_data

    data = read_data(config.data)
    data.subset(np.arange(len(data)) != 5).write(tmp_path / "other.parquet")
    with pytest.raises(GenoslimError, match=r"data fingerprint is .* there and .* here"):
        open_sweep(finished.folder, replace(config, data=tmp_path / "other.parquet"))
    with pytest.raises(GenoslimError, match=r"model fingerprint is .* there"):
        open_sweep(finished.folder, replace(config, model=str(model)))


def test_a_folder_of_other_things_is_refused(config: SweepConfig, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(UsageError, match=r"holds thesis.tex and is no run folder"):
        open_sweep(tmp_path, config)


def test_not_a_run_folder(tmp_path: Path) -> None:
    with pytest.raises(GenoslimError, match="is not a run folder"):
        RunFolder(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(GenoslimError, match="not valid JSON"):
        RunFolder(tmp_path)
    (tmp_path / "run.json").write_text('{"format": 99}')
    with pytest.raises(GenoslimError, match="format is 99; this genoslim reads 1: upgrade"):
        RunFolder(tmp_path)


def test_rows_that_do_not_read_are_an_error(copy: RunFolder) -> None:
    (copy.folder / "rows.npz").write_bytes(b"PK")
    with pytest.raises(GenoslimError, match="not the rows of a run"):
        copy.rows()
