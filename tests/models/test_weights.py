"""Weight files in every layout, and what is said of those that are damaged or do not fit."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from genoslim import models
from genoslim.errors import GenoslimError
from genoslim.models.checkpoint import new_masked_lm, save
from genoslim.models.tokenizer import SequenceTokenizer
from genoslim.models.weights import Weights, read_weights

ConfigOf = Callable[[str], dict[str, Any]]
TokenizerOf = Callable[[str], SequenceTokenizer]


@pytest.fixture
def folder(family: str, config_of: ConfigOf, tokenizer_of: TokenizerOf, tmp_path: Path) -> Path:
    """A pretrained checkpoint as it is published, but small."""
    save(new_masked_lm(config_of(family), seed=8), tokenizer_of(family), tmp_path / "x")
    (tmp_path / "x" / "config.json").write_text(json.dumps(config_of(family)))
    return tmp_path / "x"


def _take(folder: Path) -> Weights:
    """Read the weights of a folder and remove the file."""
    weights: Weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    return weights


def _official_extras(family: str, weights: Weights) -> Weights:
    """What official files carry beside what the network uses."""
    if family == "dnabert2":
        words = weights["bert.embeddings.word_embeddings.weight"]
        return {"cls.predictions.decoder.weight": words.clone()}
    extras = {
        "esm.embeddings.position_ids": torch.arange(66)[None],
        "esm.contact_head.regression.weight": torch.zeros(1, 480),
        "esm.contact_head.regression.bias": torch.zeros(1),
    }
    if family == "nt_v2":
        extras["esm.embeddings.position_embeddings.weight"] = torch.zeros(66, 24)
        for layer in range(4):
            name = f"esm.encoder.layer.{layer}.attention.self.rotary_embeddings.inv_freq"
            extras[name] = torch.zeros(2)
    return extras


def _shards(folder: Path, weights: Weights, *, safe: bool) -> Path:
    stem, suffix = ("model", "safetensors") if safe else ("pytorch_model", "bin")
    keys = sorted(weights)
    names = {key: f"{stem}-0000{i % 2 + 1}-of-00002.{suffix}" for i, key in enumerate(keys)}
    for name in set(names.values()):
        part = {key: weights[key].clone() for key in keys if names[key] == name}
        if safe:
            save_file(part, folder / name)
        else:
            torch.save(part, folder / name)
    index = folder / f"{stem}.{suffix}.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": names}))
    return index


def _same(first: Weights, second: Weights) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


@pytest.mark.parametrize(
    "layout", ["bin", "safetensors shards", "bin shards", "bare", "gamma", "half"]
)
def test_layouts(family: str, folder: Path, layout: str) -> None:
    expected = models.load(folder).state_dict()
    weights = _take(folder)
    weights |= _official_extras(family, weights)
    if layout == "bin":
        torch.save(weights, folder / "pytorch_model.bin")
    elif layout == "bare":
        bare = {re.sub(r"^(bert|esm)\.", "", key): tensor for key, tensor in weights.items()}
        save_file(bare, folder / "model.safetensors")
    elif layout == "gamma":
        old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
        named = {re.sub("|".join(old), lambda m: old[m[0]], k): t for k, t in weights.items()}
        assert named.keys() != weights.keys()
        save_file(named, folder / "model.safetensors")
    elif layout == "half":
        halved = {k: t.half() if t.is_floating_point() else t for k, t in weights.items()}
        save_file(halved, folder / "model.safetensors")
        expected = {k: t.half().float() for k, t in expected.items()}
    else:
        _shards(folder, weights, safe=layout.startswith("safe"))
    found = models.load(folder).state_dict()
    if layout == "half":
        found = {k: t.half().float() for k, t in found.items()}
    assert _same(found, expected)


def test_safetensors_come_first(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"never read")
    assert read_weights(folder)


def test_absent(folder: Path) -> None:
    _take(folder)
    with pytest.raises(GenoslimError, match=r"no weights; one of these.*pytorch_model.bin.index"):
        models.load(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("content", ["empty", "truncated", "garbage", "pickled code"])
def test_damaged(folder: Path, name: str, content: str) -> None:
    path = folder / name
    weights = _take(folder)
    if name.endswith(".bin"):
        torch.save(weights, path)
    else:
        save_file(weights, path)
    whole = path.read_bytes()
    pickled = b"cos\nsystem\n(S'true'\ntR."
    damage = {"empty": b"", "truncated": whole[:-500], "garbage": b"hello" * 99}
    path.write_bytes(damage.get(content, pickled))
    with pytest.raises(GenoslimError, match=f"{name} .*bytes.*truncated or corrupt") as caught:
        models.load(folder)
    assert "\n" not in str(caught.value)


def test_a_bin_that_is_no_mapping(folder: Path) -> None:
    _take(folder)
    torch.save([1, 2], folder / "pytorch_model.bin")
    with pytest.raises(GenoslimError, match="holds a list; it should map names to tensors"):
        models.load(folder)
    torch.save({"epoch": 3}, folder / "pytorch_model.bin")
    with pytest.raises(GenoslimError, match="1 entries are not tensors: epoch"):
        models.load(folder)


def test_shards_that_are_not_there(folder: Path) -> None:
    index = _shards(folder, _take(folder), safe=True)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(GenoslimError, match="1 of 2 shards absent: model-00002"):
        models.load(folder)
    index.write_text(json.dumps({"weight_map": {"a": "../../etc/passwd"}}))
    with pytest.raises(GenoslimError, match="1 of 1 shards absent"):
        models.load(folder)
    index.write_text(json.dumps({"weight_map": {"a": "model-00001-of-00002.safetensors"}}))
    with pytest.raises(GenoslimError, match="1 tensors are in no shard: a"):
        models.load(folder)
    index.write_text("{}")
    with pytest.raises(GenoslimError, match="no `weight_map`"):
        models.load(folder)


def test_weights_that_do_not_fit(folder: Path) -> None:
    weights = _take(folder)
    norms = sorted(key for key in weights if "encoder" in key and key.lower().endswith("norm.bias"))
    del weights[norms[0]], weights[norms[1]], weights[norms[2]], weights[norms[3]]
    weights[norms[4]] = torch.zeros(7)
    weights["surprise"] = torch.zeros(1)
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(GenoslimError) as caught:
        models.load(folder)
    message = str(caught.value)
    assert message.startswith(f"{folder}: the weights do not fit config.json: 4 missing (")
    assert "and 1 more" in message
    assert "1 unexpected (surprise)" in message
    assert f"1 misshapen ({norms[4]} is 7, should be 24)" in message
    assert "\n" not in message


def test_too_few_layers_in_the_config(family: str, folder: Path, config_of: ConfigOf) -> None:
    """A config that says 2 of 4 layers must not drop the others silently."""
    config = config_of(family) | {"num_hidden_layers": 2}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(GenoslimError, match=r"\d+ unexpected \(.*layer\.2\."):
        models.load(folder)


def test_loaded_weights_do_not_hang_on_the_file(folder: Path) -> None:
    before = read_weights(folder)
    kept = {key: tensor.clone() for key, tensor in before.items()}
    size = (folder / "model.safetensors").stat().st_size
    with (folder / "model.safetensors").open("r+b") as stream:
        stream.write(b"\0" * size)
    assert _same(before, kept)
