"""Our networks and tokenizers against outputs of the reference implementations."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from genoslim import models
from genoslim.models.checkpoint import load_masked_lm
from genoslim.models.classifier import NativeClassifier
from genoslim.models.layers import remove_layers

FAMILIES = ("dnabert2", "nt_v1", "nt_v2")
BATCHES = ("main", "widepad", "single", "long")
PRUNED = {"drop1": [1], "drop0_2": [0, 2], "drop_last": [3]}
FLOAT32, FLOAT64 = 2e-5, 1e-7

Arrays = dict[str, np.ndarray]
Load = Callable[..., NativeClassifier]


@pytest.fixture(params=FAMILIES)
def golden(request: pytest.FixtureRequest, real_data: Path) -> Path:
    """The folder of one golden model."""
    return real_data / "golden" / f"{request.param}_tiny"


@pytest.fixture
def load(golden: Path) -> Load:
    def load(dropped: list[int] | None = None) -> NativeClassifier:
        model = remove_layers(models.load(golden, num_labels=3), dropped or [])
        assert isinstance(model, NativeClassifier)
        return model.requires_grad_(False)

    return load


@pytest.fixture
def outputs(golden: Path) -> Arrays:
    return dict(np.load(golden / "io.npz"))


@pytest.fixture
def pruned(golden: Path) -> Arrays:
    return dict(np.load(golden / "pruned.npz"))


def _inputs(arrays: Arrays, prefix: str = "") -> tuple[Tensor, Tensor]:
    ids, mask = arrays[f"{prefix}input_ids"], arrays[f"{prefix}attention_mask"]
    return torch.from_numpy(ids), torch.from_numpy(mask)


def _close(found: Tensor, expected: np.ndarray, tolerance: float) -> None:
    assert found.shape == expected.shape
    assert np.abs(found.numpy() - expected).max() <= tolerance


@pytest.mark.parametrize("batch", BATCHES)
def test_logits(load: Load, outputs: Arrays, batch: str) -> None:
    inputs = _inputs(outputs, f"{batch}.")
    _close(load()(*inputs), outputs[f"{batch}.logits"], FLOAT32)
    _close(load().double()(*inputs), outputs[f"{batch}.f64.logits"], FLOAT64)


@pytest.mark.parametrize("batch", BATCHES)
def test_encoder_and_pooled_output(load: Load, outputs: Arrays, batch: str) -> None:
    inputs, model = _inputs(outputs, f"{batch}."), load()
    _close(model.pooled_output(*inputs), outputs[f"{batch}.pooled_output"], FLOAT32)
    if f"{batch}.last_hidden_state" in outputs:
        expected = outputs[f"{batch}.last_hidden_state"]
        _close(model.last_hidden_state(*inputs), expected, FLOAT32)


def test_every_block(load: Load, outputs: Arrays) -> None:
    """Block by block, so that a mistake is found where it is made."""
    inputs = _inputs(outputs, "main.")
    present, model = inputs[1].bool(), load()
    states = model.hidden_states(*inputs)
    if model.family == "dnabert2":
        _close(states[0][present], outputs["main.embedding_output"][present.numpy()], FLOAT32)
        for layer, state in enumerate(states[1:]):
            _close(state[present], outputs[f"main.layer{layer}_nnz"], FLOAT32)
        return
    states[-1] = model.backbone.finish(states[-1], inputs[1])
    for layer, state in enumerate(states):
        expected = outputs[f"main.hidden_states_{layer}"]
        _close(state[present], expected[present.numpy()], FLOAT32)


@pytest.mark.parametrize("name", PRUNED)
def test_pruned(load: Load, pruned: Arrays, name: str) -> None:
    inputs, dropped = _inputs(pruned), PRUNED[name]
    _close(load(dropped)(*inputs), pruned[f"{name}.logits"], FLOAT32)
    _close(load(dropped).double()(*inputs), pruned[f"{name}.f64.logits"], FLOAT64)
    hidden = load(dropped).last_hidden_state(*inputs)
    _close(hidden, pruned[f"{name}.last_hidden_state"], FLOAT32)
    _close(load(dropped).pooled_output(*inputs), pruned[f"{name}.pooled_output"], FLOAT32)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("model_mlm.safetensors", "model.safetensors"),
        ("pytorch_model_mlm.bin", "pytorch_model.bin"),
    ],
)
def test_layouts_of_the_official_checkpoints(
    golden: Path, outputs: Arrays, load: Load, tmp_path: Path, file: str, name: str
) -> None:
    shutil.copyfile(golden / "config.json", tmp_path / "config.json")
    shutil.copyfile(golden / file, tmp_path / name)
    inputs = _inputs(outputs, "main.")
    with torch.no_grad():
        _close(load_masked_lm(tmp_path)(*inputs), outputs["main.mlm_logits"], FLOAT32)
    fresh = models.load(tmp_path).requires_grad_(False)
    assert fresh.config.num_labels == 2
    expected = load().last_hidden_state(*inputs)
    assert torch.equal(fresh.last_hidden_state(*inputs), expected)


def test_padded_outputs_of_dnabert2_are_zero(real_data: Path) -> None:
    folder = real_data / "golden" / "dnabert2_tiny"
    ids, mask = _inputs(dict(np.load(folder / "io.npz")), "widepad.")
    hidden = models.load(folder).last_hidden_state(ids, mask)
    assert (mask == 0).any()
    assert not hidden[mask == 0].any()


@pytest.mark.parametrize("family", FAMILIES)
def test_token_ids(real_data: Path, family: str) -> None:
    tokenizer = models.load_tokenizer(real_data / "models" / family)
    items = json.loads((real_data / "golden" / "tokens" / f"{family}.json").read_text())["items"]
    assert len(items) == 226
    for item in items:
        assert tokenizer.raw.encode(item["seq"]).ids == item["ids"], item["seq"]


def test_official_limits(real_data: Path) -> None:
    limits = [models.load_tokenizer(real_data / "models" / name).max_tokens for name in FAMILIES]
    assert limits == [None, 1000, 2048]
