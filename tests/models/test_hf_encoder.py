"""Encoders of transformers behind the same interface."""

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
from genoslim.models.checkpoint import save
from genoslim.models.layers import layers, remove_layers
from genoslim.models.tokenizer import SequenceTokenizer

transformers = pytest.importorskip("transformers")

_SIZES = {
    "vocab_size": 30,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 40,
}
_DISTILBERT = {
    "vocab_size": 30,
    "dim": 16,
    "n_layers": 3,
    "n_heads": 2,
    "hidden_dim": 24,
    "max_position_embeddings": 40,
}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("Bert", _SIZES),
    "roberta": ("Roberta", _SIZES | {"pad_token_id": 1}),
    "distilbert": ("DistilBert", _DISTILBERT),
    "esm": ("Esm", _SIZES | {"position_embedding_type": "rotary", "pad_token_id": 1}),
    "electra": ("Electra", _SIZES | {"embedding_size": 16}),
}


def _write(folder: Path, kind: str, task: str, **changes: Any) -> Any:
    """Save a random network of transformers; return it."""
    name, sizes = CASES[kind]
    config = getattr(transformers, f"{name}Config")(**(sizes | changes))
    torch.manual_seed(3)
    network = getattr(transformers, f"{name}For{task}")(config).eval()
    network.save_pretrained(folder)
    return network


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    ids = torch.tensor([[5, 6, 7, 8, 9, 10], [5, 6, 7, 1, 1, 1]])
    return ids, torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]])


@pytest.fixture
def tokenizer(tokenizer_of: Callable[[str], SequenceTokenizer]) -> SequenceTokenizer:
    return tokenizer_of("dnabert2")


@pytest.mark.parametrize("kind", CASES)
def test_same_numbers_as_transformers(
    kind: str, tmp_path: Path, batch: tuple[Tensor, Tensor]
) -> None:
    network = _write(tmp_path, kind, "SequenceClassification", num_labels=3)
    model = models.load(tmp_path)
    assert (model.family, model.config.num_labels, len(layers(model))) == (f"hf:{kind}", 3, 3)
    ids, mask = batch
    expected = network(input_ids=ids, attention_mask=mask, output_hidden_states=True)
    assert torch.equal(model(ids, mask), expected.logits)
    states = model.hidden_states(ids, mask)
    assert len(states) == 4
    for found, wanted in zip(states[:-1], expected.hidden_states[:-1], strict=True):
        assert torch.equal(found, wanted)
    assert torch.equal(model.last_hidden_state(ids, mask), expected.hidden_states[-1])
    keys = {key for key in network.state_dict() if "contact_head" not in key}
    assert model.state_dict().keys() == keys


@pytest.mark.parametrize("kind", CASES)
def test_pruned_round_trip(
    kind: str, tmp_path: Path, batch: tuple[Tensor, Tensor], tokenizer: SequenceTokenizer
) -> None:
    """Down to one block, which can no longer be told from other lists by its looks."""
    _write(tmp_path / "whole", kind, "SequenceClassification")
    whole = models.load(tmp_path / "whole")
    for dropped, kept in {(1,): (0, 2), (0, 2): (1,)}.items():
        model = remove_layers(models.load(tmp_path / "whole"), dropped)
        assert not torch.equal(model(*batch), whole(*batch))
        save(model, tokenizer, tmp_path / "x")
        again = models.load(tmp_path / "x")
        assert again.config.kept_layers == kept
        assert torch.equal(again(*batch), model(*batch))
        plain = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "x")
        found = plain.eval()(input_ids=batch[0], attention_mask=batch[1]).logits
        torch.testing.assert_close(found, model(*batch), rtol=0, atol=1e-6)


def test_own_state_dict_loads_back(tmp_path: Path) -> None:
    _write(tmp_path, "bert", "SequenceClassification")
    first, second = models.load(tmp_path), models.load(tmp_path)
    for parameter in second.parameters():
        parameter.data.zero_()
    second.load_state_dict(first.state_dict())
    assert all(
        torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True)
    )


def test_fresh_head_from_the_seed(tmp_path: Path, batch: tuple[Tensor, Tensor]) -> None:
    _write(tmp_path, "bert", "MaskedLM")
    state = torch.random.get_rng_state()
    first, again, other = (models.load(tmp_path, num_labels=4, seed=s)(*batch) for s in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert first.shape == (2, 4)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_saved_head_of_another_size(tmp_path: Path) -> None:
    _write(tmp_path, "bert", "SequenceClassification", num_labels=3)
    with pytest.raises(GenoslimError, match="head has 3 labels, 2 were asked for"):
        models.load(tmp_path, num_labels=2)
    fresh = models.load(tmp_path, num_labels=2, seed=1, fresh_head=True).state_dict()
    assert fresh["classifier.weight"].shape[0] == 2
    saved = models.load(tmp_path).state_dict()
    assert all(torch.equal(fresh[key], saved[key]) for key in saved if "classifier" not in key)


def test_lost_weights_are_never_drawn_afresh(tmp_path: Path) -> None:
    _write(tmp_path, "bert", "SequenceClassification")
    weights = load_file(tmp_path / "model.safetensors")
    del weights["bert.encoder.layer.1.output.dense.weight"], weights["classifier.bias"]
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(GenoslimError, match=r"2 missing .bert.encoder.layer.1.output.dense.weight"):
        models.load(tmp_path)


def test_half_a_head_is_refused(tmp_path: Path) -> None:
    _write(tmp_path, "distilbert", "SequenceClassification")
    weights = load_file(tmp_path / "model.safetensors")
    kept = {key: tensor for key, tensor in weights.items() if "pre_classifier" not in key}
    save_file(kept, tmp_path / "model.safetensors")
    with pytest.raises(GenoslimError, match=r"2 missing .pre_classifier"):
        models.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"auto_map": {"AutoModel": "m.M"}}, "hf:bert needs code from its repository"),
        ({"layer_types": ["a", "b", "c"]}, "blocks of several kinds"),
        ({"layer_stack": "bert.pooler"}, "layer_stack is 'bert.pooler'; Bert"),
        ({"model_type": "starship"}, "transformers does not read hf:starship"),
    ],
)
def test_refused_configs(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    _write(tmp_path, "bert", "SequenceClassification")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(GenoslimError, match=message) as caught:
        models.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_two_stacks(tmp_path: Path) -> None:
    config = transformers.BartConfig(
        vocab_size=30,
        d_model=16,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
    )
    transformers.BartForSequenceClassification(config).save_pretrained(tmp_path)
    with pytest.raises(GenoslimError, match="has 2 stacks of blocks"):
        models.load(tmp_path)


@pytest.mark.filterwarnings("ignore:.*script_method.* is deprecated:DeprecationWarning")
def test_blocks_that_differ(tmp_path: Path) -> None:
    """ModernBERT's first block has no LayerNorm, and its attention is wide or narrow in turns."""
    sizes = {key: value for key, value in _SIZES.items() if "vocab" not in key}
    config = transformers.ModernBertConfig(vocab_size=30, pad_token_id=1, cls_token_id=2, **sizes)
    transformers.ModernBertForSequenceClassification(config).save_pretrained(tmp_path)
    with pytest.raises(GenoslimError, match=r"0 of them of equal blocks|blocks of several kinds"):
        models.load(tmp_path)


def test_no_classifier_of_this_type(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(GenoslimError, match="no sequence classifier of type clip"):
        models.load(tmp_path)
