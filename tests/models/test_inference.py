"""The network that is exported: the same logits, with no more work than they need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from genoslim.models.checkpoint import new_classifier
from genoslim.models.classifier import GatedLinear, NativeClassifier
from genoslim.models.inference import for_inference
from genoslim.models.layers import remove_layers

Batch = tuple[Tensor, Tensor]
DROPPED = ([], [1], [0, 3], [0, 2, 3])


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("dropped", DROPPED, ids=lambda dropped: f"{4 - len(dropped)} layers")
def test_logits_are_the_same(
    model: NativeClassifier, batch: Batch, dropped: list[int], fused: bool
) -> None:
    model = remove_layers(model.double().eval(), dropped)
    network = for_inference(model, fused=fused)
    with torch.no_grad():
        torch.testing.assert_close(network(*batch), model(*batch), rtol=0, atol=1e-12)


def test_the_model_is_left_as_it_was(model: NativeClassifier, batch: Batch) -> None:
    before = {name: (tensor, tensor.clone()) for name, tensor in model.state_dict().items()}
    trained = model.training
    network = for_inference(model)
    after = model.state_dict()
    assert set(after) == set(before)
    for name, (tensor, content) in before.items():
        assert after[name].data_ptr() == tensor.data_ptr(), name
        assert torch.equal(after[name], content), name
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert (model.training, network.training) == (trained, False)


def test_weights_that_stay_are_shared(model: NativeClassifier) -> None:
    network = for_inference(model)
    own = {parameter.data_ptr() for parameter in model.parameters()}
    output = network.blocks[1].attention.output.dense.weight
    assert output.data_ptr() in own


def test_a_table_needs_entries_that_depend_on_the_token_alone(
    config_of: Callable[[str], dict[str, Any]], batch: Batch, family: str
) -> None:
    """NT v1 has learned positions, and token dropout rescales by the masked share of a window."""
    model = new_classifier(config_of(family) | {"token_dropout": True}, seed=3).double().eval()
    expected = family == "dnabert2"
    assert (model.backbone.entry_table() is not None) == expected
    network = for_inference(model)
    assert hasattr(network.blocks[0].attention.self.key, "table") == expected
    with torch.no_grad():
        torch.testing.assert_close(network(*batch), model(*batch), rtol=0, atol=1e-12)


def _wide(config: dict[str, Any]) -> NativeClassifier:
    wide = {"hidden_size": 512, "num_attention_heads": 8, "intermediate_size": 1536}
    model = new_classifier(config | wide | {"num_hidden_layers": 2}).double().eval()
    assert isinstance(model, NativeClassifier)
    return model


@pytest.mark.parametrize("family", ["dnabert2", "nt_v2"])
def test_gated_mlps_stay_whole_for_a_gpu(
    config_of: Callable[[str], dict[str, Any]], family: str
) -> None:
    network = for_inference(_wide(config_of(family)), fused=True)
    assert isinstance(network, NativeClassifier)
    kinds = [type(block.get_submodule(block.mlp_layers[0])) for block in network.blocks]
    assert kinds == [GatedLinear, GatedLinear]


@pytest.mark.parametrize("family", ["dnabert2", "nt_v2"])
def test_wide_gated_mlps_are_taken_in_pieces(
    config_of: Callable[[str], dict[str, Any]], batch: Batch, family: str
) -> None:
    model = _wide(config_of(family))
    network = for_inference(model)
    inner, last = (block.get_submodule(block.mlp_layers[1]) for block in network.blocks)
    assert [tuple(weight.shape) for weight in inner.gates] == 3 * [(512, 512)]
    assert len(last.gates) == 1
    with torch.no_grad():
        torch.testing.assert_close(network(*batch), model(*batch), rtol=0, atol=1e-12)


def _multiply_adds(network: NativeClassifier, batch: Batch) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(*batch)
    return counter.get_total_flops() // 2


@pytest.mark.parametrize("dropped", DROPPED, ids=lambda dropped: f"{4 - len(dropped)} layers")
def test_it_computes_what_is_read_and_no_more(
    model: NativeClassifier, batch: Batch, dropped: list[int], family: str
) -> None:
    model = remove_layers(model.eval(), dropped)
    config = model.config
    rows, tokens = batch[0].shape
    width, heads = config.hidden_size, config.num_attention_heads
    mlp = (2 if family == "nt_v1" else 3) * width * config.intermediate_size
    after = width * width + mlp  # of one position: attention's output, then the MLP
    scores = 2 * tokens * width  # of one query: with every key, then with every value
    head = width * width + width * config.num_labels
    tabulated = family != "nt_v1"

    whole = tokens * (3 * width * width + scores + after)
    first = tokens * (scores + after) if tabulated else whole
    key = tokens * (width * width + width) if family == "nt_v2" else width * width
    rest = tokens * heads * width * (1 if family == "nt_v2" else 2)
    last = width * width + key + rest + width * width + after
    if len(model.blocks) == 1:
        expected = scores + after if tabulated else last
    else:
        expected = first + (len(model.blocks) - 2) * whole + last
    assert _multiply_adds(for_inference(model), batch) == rows * (expected + head)
