from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from genoslim.bench.subjects import distinct_names, open_subject, open_subjects
from genoslim.data.dataset import LabelledData
from genoslim.errors import GateError, GenoslimError, UsageError
from genoslim.models.record import SeedRecord
from genoslim.stats.metrics import compute_metrics


def test_a_checkpoint_says_what_it_is(checkpoint: Path, data: LabelledData) -> None:
    from genoslim.models import load

    found = open_subject(checkpoint, "full")
    assert (found.backend, found.layers, found.base_layers) == ("torch", 4, 4)
    model = load(checkpoint)
    assert found.parameters == sum(tensor.numel() for tensor in model.state_dict().values())
    assert found.size == sum(path.stat().st_size for path in checkpoint.iterdir())
    assert found.fine_tune_seconds == 12.5
    assert found.trained_on == data.fingerprint
    assert found.licences == ("CC-BY-NC-SA-4.0", "CC0-1.0")
    assert found.non_commercial
    assert (found.temperature, found.threshold) == (None, None)


def test_a_bundle_says_what_it_is(bundle: Path) -> None:
    found = open_subject(bundle, "slim")
    assert found.backend == "onnxruntime"
    assert found.temperature is not None
    assert found.threshold is not None
    assert not found.non_commercial


def test_the_seeds_on_record_are_those_of_the_same_data(
    make_checkpoint: Callable[..., Path], data: LabelledData
) -> None:
    metrics = compute_metrics([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9])
    chance = compute_metrics([0, 1], [0.5, 0.5])
    seeds = tuple(
        SeedRecord(
            seed=number,
            trial="t",
            collapsed="at chance" if found is chance else "",
            validation=found,
            test=found,
            macro_auroc={},
            fine_tune_seconds=1.0,
            evaluation_seconds=1.0,
            steps=1,
        )
        for number, found in enumerate((metrics, chance, metrics))
    )
    found = open_subject(make_checkpoint("seeds", seeds=seeds), "seeds")
    assert found.seeds_on(data.fingerprint) == (0.75, 0.75)
    assert found.seeds_on("another") == ()


def test_the_digest_follows_the_content(checkpoint: Path, tmp_path: Path) -> None:
    twin = Path(shutil.copytree(checkpoint, tmp_path / "twin"))
    first, second = open_subjects([checkpoint, twin])
    assert first.digest == second.digest
    (twin / "README.md").write_text("another card")
    assert open_subject(twin, "twin").digest == first.digest
    config = json.loads((twin / "config.json").read_text())
    (twin / "config.json").write_text(json.dumps(config | {"layer_norm_eps": 1.0}))
    assert open_subject(twin, "twin").digest != first.digest


def test_names_are_as_long_as_they_must_be() -> None:
    paths = [Path("/a/x/m"), Path("/a/y/m"), Path("/a/y/n")]
    assert distinct_names(paths) == ["x/m", "y/m", "y/n"]
    assert distinct_names(paths[1:]) == ["m", "n"]


def test_a_model_named_twice_or_none_is_a_usage_error(checkpoint: Path) -> None:
    with pytest.raises(UsageError, match="named twice"):
        open_subjects([checkpoint, checkpoint / ".." / checkpoint.name])
    with pytest.raises(UsageError, match="no model to benchmark"):
        open_subjects([])


def test_a_checkpoint_without_a_head_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(checkpoint, tmp_path / "pretrained"))
    weights = load_file(folder / "model.safetensors")
    kept = {key: value for key, value in weights.items() if not key.startswith("classifier.")}
    save_file(kept, folder / "model.safetensors")
    with pytest.raises(GenoslimError, match=r"not fine-tuned: it has no weights classifier\.\*"):
        open_subject(folder, "pretrained")


def test_what_is_no_model_is_refused_with_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(GenoslimError, match="no such folder; expected a bundle or a checkpoint"):
        open_subject(tmp_path / "absent", "absent")
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(GenoslimError, match="is a file; a bundle and a checkpoint are folders"):
        open_subject(file, "file")
    with pytest.raises(GenoslimError, match="neither a bundle"):
        open_subject(tmp_path, "empty")
    for name, hint in {
        "prune.json": "name the checkpoints in it",
        "run.json": "it is a run folder",
        "bench.json": "the result of `genoslim bench`",
    }.items():
        folder = tmp_path / name.removesuffix(".json")
        folder.mkdir()
        (folder / name).write_text("{}")
        with pytest.raises(GenoslimError, match=hint):
            open_subject(folder, name)


def test_a_changed_bundle_is_refused(bundle: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bundle, tmp_path / "changed"))
    with (folder / "README.md").open("a") as stream:
        stream.write("x")
    with pytest.raises(GateError, match=r"README\.md"):
        open_subject(folder, "changed")


def test_a_model_must_fit_the_data(
    make_checkpoint: Callable[..., Path], make_data: Callable[..., LabelledData]
) -> None:
    data = make_data()
    open_subject(make_checkpoint("a", assembly="hg38"), "a").check_fits(data)
    open_subject(make_checkpoint("b", assembly=None, window_length=None), "b").check_fits(data)
    with pytest.raises(GenoslimError, match="made for assembly GRCh37, but the data set is of"):
        open_subject(make_checkpoint("c", assembly="GRCh37"), "c").check_fits(data)
    with pytest.raises(GenoslimError, match="windows of 512 bp, but the data set has windows of"):
        open_subject(make_checkpoint("d", window_length=512), "d").check_fits(data)
