"""Checkpoint folders: what is written, and that loading it gives the same model back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from genoslim import models
from genoslim.errors import GenoslimError
from genoslim.models.checkpoint import (
    load_masked_lm,
    new_classifier,
    new_masked_lm,
    save,
)
from genoslim.models.classifier import Classifier
from genoslim.models.layers import remove_layers
from genoslim.models.record import TrainingRecord, read_training
from genoslim.models.tokenizer import SequenceTokenizer

Batch = tuple[Tensor, Tensor]
ConfigOf = Callable[[str], dict[str, Any]]


def _pretrained(folder: Path, config: dict[str, Any], tokenizer: SequenceTokenizer) -> Path:
    """A checkpoint in the layout of the official ones: a masked language model."""
    save(new_masked_lm(config, seed=8), tokenizer, folder)
    return folder


def _config_of_folder(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return config


def test_round_trip_is_exact(
    model: Classifier, tokenizer: SequenceTokenizer, batch: Batch, tmp_path: Path
) -> None:
    for name, dropped in {"whole": [], "pruned": [0, 2]}.items():
        remove_layers(model, dropped)
        save(model, tokenizer, tmp_path / name)
        again = models.load(tmp_path / name)
        assert torch.equal(again(*batch), model(*batch))
        assert (again.family, again.config.kept_layers) == (model.family, model.config.kept_layers)
        assert again.config.num_labels == 3
        assert not again.training
    assert model.config.kept_layers == (1, 3)
    again = remove_layers(models.load(tmp_path / "pruned"), [0])
    assert again.config.kept_layers == (3,)


def test_what_is_in_the_folder(
    model: Classifier, tokenizer: SequenceTokenizer, tmp_path: Path
) -> None:
    training = TrainingRecord(base_model="some/model", licence="CC0-1.0", seed=3)
    save(remove_layers(model, [1]), tokenizer, tmp_path / "x", training=training)
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == [
        "README.md",
        "config.json",
        "genoslim.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    config = _config_of_folder(tmp_path / "x")
    assert config["num_hidden_layers"] == 3
    assert config["kept_layers"] == [0, 2, 3]
    assert len(config["id2label"]) == 3
    assert "auto_map" not in config
    assert read_training(tmp_path / "x") == training
    card = (tmp_path / "x" / "README.md").read_text()
    assert card.startswith("---\nlicense: cc0-1.0\n")
    assert "3 layers" in card
    assert "`some/model`" in card
    assert "0, 2, 3" in card


def test_model_types(model: Classifier, tokenizer: SequenceTokenizer, tmp_path: Path) -> None:
    """NT v1 is plain ESM; the others get names that nothing else takes for BERT or ESM."""
    from transformers import AutoConfig

    save(model, tokenizer, tmp_path / "x")
    expected = {"dnabert2": "genoslim_dnabert2", "nt_v1": "esm", "nt_v2": "genoslim_nt_v2"}
    assert _config_of_folder(tmp_path / "x")["model_type"] == expected[model.family]
    if model.family == "nt_v1":
        assert AutoConfig.from_pretrained(tmp_path / "x").num_labels == 3
    else:
        with pytest.raises(ValueError, match="genoslim_"):
            AutoConfig.from_pretrained(tmp_path / "x")


def test_card_and_record_of_ones_own(
    model: Classifier, tokenizer: SequenceTokenizer, tmp_path: Path
) -> None:
    save(model, tokenizer, tmp_path, card="# Mine\n")
    assert (tmp_path / "README.md").read_text() == "# Mine\n"
    assert read_training(tmp_path) is None


@pytest.mark.parametrize("family", ["nt_v1"], indirect=True)
def test_pruned_nt_v1_loads_in_plain_transformers(
    model: Classifier, tokenizer: SequenceTokenizer, batch: Batch, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer, EsmForSequenceClassification

    save(remove_layers(model, [0, 2]), tokenizer, tmp_path / "x")
    plain = EsmForSequenceClassification.from_pretrained(tmp_path / "x").eval()
    ids, mask = batch
    found = plain(input_ids=ids, attention_mask=mask).logits
    torch.testing.assert_close(found, model(ids, mask), rtol=1e-5, atol=1e-5)
    words = AutoTokenizer.from_pretrained(tmp_path / "x")("ACGTACGTN")
    assert words["input_ids"] == tokenizer.encode(["ACGTACGTN"])[0].tolist()


def test_a_pretrained_checkpoint_gets_a_fresh_head(
    family: str, config_of: ConfigOf, tokenizer: SequenceTokenizer, tmp_path: Path
) -> None:
    folder = _pretrained(tmp_path / "mlm", config_of(family), tokenizer)
    state = torch.random.get_rng_state()
    first, second, other = (models.load(folder, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    drawn = {key for key, tensor in first.items() if not torch.equal(tensor, other[key])}
    head = ("bert.pooler.", "classifier.")
    assert drawn == {key for key in first if key.startswith(head) and key.endswith("weight")}
    for key, tensor in first.items():
        assert torch.equal(tensor, second[key])
        if key.startswith(head):
            spread = tensor.std().item() if key in drawn else 0.0
            assert spread == pytest.approx(0.02 if key in drawn else 0.0, rel=0.3)
            assert key in drawn or not tensor.any()
    assert models.load(folder).config.num_labels == 2
    assert models.load(folder, num_labels=5).config.num_labels == 5


def test_masked_lm_round_trip(
    family: str, config_of: ConfigOf, tokenizer: SequenceTokenizer, batch: Batch, tmp_path: Path
) -> None:
    model = new_masked_lm(config_of(family), seed=8)
    save(model, tokenizer, tmp_path / "x", training=TrainingRecord(licence="Apache-2.0"))
    again = load_masked_lm(tmp_path / "x")
    logits = again(*batch)
    assert logits.shape == (*batch[0].shape, config_of(family)["vocab_size"])
    assert torch.equal(logits, model(*batch))
    assert torch.isfinite(logits).all()


def test_saved_head_of_another_size(
    model: Classifier, tokenizer: SequenceTokenizer, tmp_path: Path
) -> None:
    save(model, tokenizer, tmp_path)
    with pytest.raises(GenoslimError, match=r"head has 3 labels, 2 were asked for.*num_labels=3"):
        models.load(tmp_path, num_labels=2)
    assert models.load(tmp_path, num_labels=3).config.num_labels == 3


def test_a_fresh_head_instead_of_the_saved_one(
    model: Classifier, tokenizer: SequenceTokenizer, tmp_path: Path
) -> None:
    save(model, tokenizer, tmp_path)
    saved = model.state_dict()
    first, other = (models.load(tmp_path, num_labels=2, seed=s, fresh_head=True) for s in (1, 2))
    assert first.config.num_labels == 2
    drawn = other.state_dict()
    for key, tensor in first.state_dict().items():
        if not key.startswith(("bert.pooler.", "classifier.")):
            assert torch.equal(tensor, saved[key])
        elif key.endswith("weight"):
            assert not torch.equal(tensor, drawn[key])


def test_half_a_head_is_refused(
    model: Classifier, tokenizer: SequenceTokenizer, tmp_path: Path
) -> None:
    """A random half would spoil the saved one silently."""
    save(model, tokenizer, tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    lost = "bert.pooler.dense.weight" if model.family == "dnabert2" else "classifier.dense.bias"
    del weights[lost]
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(GenoslimError, match=f"1 missing .{lost}"):
        models.load(tmp_path)


def test_masked_lm_needs_its_head(
    model: Classifier, tokenizer: SequenceTokenizer, tmp_path: Path
) -> None:
    save(model, tokenizer, tmp_path)
    with pytest.raises(GenoslimError, match=r"missing \((cls|lm_head)\."):
        load_masked_lm(tmp_path)


def test_masked_lm_of_another_architecture(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(GenoslimError, match="hf:bert is no network of genoslim's own"):
        load_masked_lm(tmp_path)


def test_other_precisions_are_written_as_float32(
    model: Classifier, tokenizer: SequenceTokenizer, tmp_path: Path
) -> None:
    save(model.to(torch.bfloat16), tokenizer, tmp_path)
    dtypes = {tensor.dtype for tensor in models.load(tmp_path).state_dict().values()}
    assert dtypes == {torch.float32}


def test_bad_configs_name_the_folder(tmp_path: Path, config_of: ConfigOf) -> None:
    with pytest.raises(GenoslimError, match=f"{tmp_path}: no config.json"):
        models.load(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(GenoslimError, match=r"config.json: not valid JSON"):
        models.load(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(GenoslimError, match="holds a list; it should be a JSON object"):
        models.load(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(
        GenoslimError, match=f"{tmp_path}.*no known architecture: model_type is None"
    ):
        models.load(tmp_path)
    broken = config_of("nt_v1") | {"hidden_size": 7}
    (tmp_path / "config.json").write_text(json.dumps(broken))
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(GenoslimError, match=f"{tmp_path}/config.json: hidden_size 7"):
        models.load(tmp_path)


def test_fresh_models_are_functions_of_the_seed(family: str, config_of: ConfigOf) -> None:
    first, second = (new_classifier(config_of(family), seed=3).state_dict() for _ in range(2))
    assert all(torch.equal(first[key], second[key]) for key in first)
    norms = [key for key in first if "norm" in key.lower() and key.endswith("weight")]
    assert norms
    assert all(torch.equal(first[key], torch.ones_like(first[key])) for key in norms)
