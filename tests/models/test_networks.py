"""What holds for every network written here, whatever its weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from genoslim.errors import GenoslimError
from genoslim.models.checkpoint import new_classifier
from genoslim.models.classifier import NativeClassifier, NativeConfig
from genoslim.models.dnabert2 import DnaBert2Classifier, alibi_slopes

Batch = tuple[Tensor, Tensor]
ConfigOf = Callable[[str], dict[str, Any]]


def _whole(model: NativeClassifier, batch: Batch) -> Tensor:
    """Logits by way of the full last block."""
    return model.project(model.pool(model.last_hidden_state(*batch)[:, 0]))


def _gradients(model: NativeClassifier, logits: Tensor) -> dict[str, Tensor]:
    weights = torch.arange(logits.numel(), dtype=logits.dtype).view_as(logits)
    parameters = dict(model.named_parameters())
    found = torch.autograd.grad((logits * weights).sum(), list(parameters.values()))
    return dict(zip(parameters, found, strict=True))


def test_last_block_for_cls_alone_is_exact(model: NativeClassifier, batch: Batch) -> None:
    model.double()
    lean, whole = model(*batch), _whole(model, batch)
    torch.testing.assert_close(lean, whole, rtol=0, atol=1e-12)
    lean_gradients, gradients = _gradients(model, lean), _gradients(model, whole)
    for name, expected in gradients.items():
        assert torch.isfinite(expected).all(), name
        torch.testing.assert_close(lean_gradients[name], expected, rtol=1e-9, atol=1e-10)


def test_every_weight_matters(model: NativeClassifier, batch: Batch) -> None:
    """No parameter is read from a checkpoint and then forgotten.

    Except, by design, the key biases of plain attention, which the softmax cancels; where
    positions are rotary they count.
    """
    model.double()
    idle = {
        name
        for name, gradient in _gradients(model, model(*batch)).items()
        if gradient.abs().max() < 1e-9
    }
    absolute = model.family == "nt_v1"
    expected = {f"esm.encoder.layer.{i}.attention.self.key.bias" for i in range(4)}
    assert idle == (expected if absolute else set())


def test_padding_changes_nothing(model: NativeClassifier, batch: Batch) -> None:
    model.double()
    ids, mask = batch
    for row in range(len(ids)):
        length = int(mask[row].sum())
        alone = model(ids[row : row + 1, :length], mask[row : row + 1, :length])
        torch.testing.assert_close(alone[0], model(ids, mask)[row], rtol=0, atol=1e-12)


def test_hidden_states(model: NativeClassifier, batch: Batch) -> None:
    states = model.hidden_states(*batch)
    assert len(states) == model.config.num_hidden_layers + 1
    assert {state.shape for state in states} == {(*batch[0].shape, model.config.hidden_size)}
    context = model.backbone.embed(*batch)[1]
    for block, entry, output in zip(model.blocks, states[:-1], states[1:], strict=True):
        torch.testing.assert_close(block(entry, context), output, rtol=0, atol=0)
    finished = model.backbone.finish(states[-1], batch[1])
    torch.testing.assert_close(model.last_hidden_state(*batch), finished, rtol=0, atol=0)


def test_dnabert2_is_zero_at_padding(config_of: ConfigOf) -> None:
    model = new_classifier(config_of("dnabert2"))
    ids = torch.tensor([[1, 5, 6, 2], [1, 2, 3, 3]])
    mask = (ids != 3).long()
    hidden = model.last_hidden_state(ids, mask)
    assert torch.equal(hidden[1, 2:], torch.zeros_like(hidden[1, 2:]))
    assert (hidden[mask == 1].abs().sum(-1) > 0).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision(model: NativeClassifier, batch: Batch, dtype: torch.dtype) -> None:
    expected = model(*batch)
    found = model.to(dtype)(*batch)
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), expected, rtol=0.2, atol=0.2)


def test_a_row_of_padding_alone_is_finite(model: NativeClassifier) -> None:
    """Token dropout has no tokens to divide by there."""
    ids = torch.full((1, 5), 3 if model.family == "dnabert2" else 1)
    logits = model(ids, torch.zeros_like(ids))
    assert torch.isfinite(logits).all()


def test_alibi_slopes() -> None:
    assert alibi_slopes(4) == [2**-2, 2**-4, 2**-6, 2**-8]
    twelve = [2.0**-i for i in range(1, 9)] + [2**-0.5, 2**-1.5, 2**-2.5, 2**-3.5]
    assert alibi_slopes(12) == pytest.approx(twelve, rel=1e-15)
    assert alibi_slopes(1) == [2**-8]


def test_dropout_only_in_training(config_of: ConfigOf) -> None:
    model = new_classifier(config_of("dnabert2"), seed=1)
    ids = torch.tensor([[1, 5, 6, 7, 8, 2]])
    mask = torch.ones_like(ids)
    assert not model.training
    assert torch.equal(model(ids, mask), model(ids, mask))
    model.train()
    assert not torch.equal(model(ids, mask), model(ids, mask))


def test_classifier_dropout_of_the_config(config_of: ConfigOf) -> None:
    rates = []
    for rate in (None, 0.25):
        model = new_classifier(config_of("dnabert2") | {"classifier_dropout": rate})
        assert isinstance(model, DnaBert2Classifier)
        rates.append(model.dropout.p)
    assert rates == [0.1, 0.25]


@pytest.mark.parametrize("family", ["nt_v1"], indirect=True)
def test_nt_v1_is_esm(config_of: ConfigOf, batch: Batch) -> None:
    """The same weights in transformers' own ESM give the same numbers, mask tokens included."""
    from transformers import EsmConfig, EsmForSequenceClassification

    model = new_classifier(config_of("nt_v1"), num_labels=3, seed=4).double()
    settings = {key: value for key, value in config_of("nt_v1").items() if key != "model_type"}
    esm = EsmForSequenceClassification(
        EsmConfig(**settings, num_labels=3, hidden_dropout_prob=0.0)
    ).double()
    told = esm.load_state_dict(model.state_dict(), strict=False)
    assert not told.unexpected_keys
    assert all("contact_head" in key for key in told.missing_keys)
    ids, mask = batch
    expected = esm.eval()(input_ids=ids, attention_mask=mask).logits
    torch.testing.assert_close(model(ids, mask), expected, rtol=0, atol=1e-8)


def test_traces_with_dynamic_shapes(model: NativeClassifier, batch: Batch) -> None:
    """No control flow depends on the data: one graph serves every batch and length."""
    rows, tokens = torch.export.Dim("rows"), torch.export.Dim("tokens")
    graph = torch.export.export(
        model, batch, dynamic_shapes=({0: rows, 1: tokens}, {0: rows, 1: tokens})
    ).module()
    ids, mask = batch[0].repeat(2, 2)[:5, :11], batch[1].repeat(2, 2)[:5, :11]
    ids, mask = ids.clone(), torch.ones_like(mask)
    mask[1:, 7:] = 0
    torch.testing.assert_close(graph(ids, mask), model(ids, mask), rtol=0, atol=1e-5)


def _config(raw: dict[str, Any], family: str = "nt_v1") -> NativeConfig:
    return NativeConfig.from_dict(raw, family=family, num_labels=2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": None}, "hidden_size is None; it should be at least 1"),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0"),
        ({"num_hidden_layers": "4"}, "num_hidden_layers is '4'"),
        ({"num_attention_heads": 5}, "hidden_size 24 is not a multiple of num_attention_heads 5"),
        ({"intermediate_size": -1}, "intermediate_size is -1"),
        ({"kept_layers": [0, 1, 2]}, r"kept_layers is \[0, 1, 2\]; it should name 4"),
        ({"kept_layers": [0, 2, 1, 3]}, "ascending"),
        ({"kept_layers": [-1, 0, 1, 2]}, "ascending"),
        ({"layer_norm_eps": "small"}, "layer_norm_eps is 'small'; it should be a number"),
        ({"kept_layers": 4}, "kept_layers is 4; it should be a list of numbers"),
    ],
)
def test_configs_that_cannot_be(config_of: ConfigOf, change: dict[str, Any], message: str) -> None:
    with pytest.raises(GenoslimError, match=message):
        _config(config_of("nt_v1") | change)


@pytest.mark.parametrize(
    ("family", "change", "message"),
    [
        ("dnabert2", {"hidden_act": "relu"}, "hidden_act is 'relu'; dnabert2 needs 'gelu'"),
        ("nt_v2", {"position_embedding_type": "absolute"}, "nt_v2 needs 'rotary'"),
        ("nt_v2", {"add_bias_fnn": True}, "add_bias_fnn is True"),
        ("nt_v2", {"emb_layer_norm_before": True}, "emb_layer_norm_before is True"),
    ],
)
def test_variants_that_are_not_built(
    config_of: ConfigOf, family: str, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(GenoslimError, match=message):
        new_classifier(config_of(family) | change)


def test_config_keeps_what_it_does_not_know(config_of: ConfigOf) -> None:
    raw = config_of("dnabert2") | {"curious": [1], "id2label": {"0": "benign", "1": "pathogenic"}}
    written = _config(raw, "dnabert2").without({1, 2}).to_dict()
    assert written["curious"] == [1]
    assert written["kept_layers"] == [0, 3]
    assert written["num_hidden_layers"] == 2
    assert written["id2label"] == raw["id2label"]
    assert written["label2id"] == {"benign": 0, "pathogenic": 1}
    assert "auto_map" not in written
