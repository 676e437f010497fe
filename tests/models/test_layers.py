"""Depth surgery."""

from __future__ import annotations

from collections.abc import Collection

import pytest
import torch

from genoslim.errors import UsageError
from genoslim.models.classifier import Classifier
from genoslim.models.layers import layers, only_layers, remove_layers


def test_drops_the_named_blocks_and_nothing_else(model: Classifier) -> None:
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    blocks = list(layers(model))
    assert remove_layers(model, [2, 0]) is model
    assert list(layers(model)) == [blocks[1], blocks[3]]
    after = model.state_dict()
    renamed = {"layer.0.": "layer.1.", "layer.1.": "layer.3."}
    for key, tensor in after.items():
        old = next((key.replace(new, old) for new, old in renamed.items() if new in key), key)
        assert torch.equal(tensor, before[old]), key
    assert model.config.num_hidden_layers == 2
    assert model.config.kept_layers == (1, 3)


def test_positions_are_those_of_the_present_stack(model: Classifier) -> None:
    remove_layers(remove_layers(model, [1]), [1])
    assert model.config.kept_layers == (0, 3)
    assert remove_layers(model, []).config.kept_layers == (0, 3)


@pytest.mark.parametrize(
    ("dropped", "message"),
    [
        ([0, 1, 2, 3], "all 4; at least one must stay"),
        ([4], r"no layer \[4\]; the model has 0 to 3"),
        ([-1], r"no layer \[-1\]"),
        ([1, 1], r"\[1\] named more than once"),
    ],
)
def test_refusals(model: Classifier, dropped: Collection[int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        remove_layers(model, dropped)
    assert len(layers(model)) == 4


def _inputs() -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(4, 9, (3, 7), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[1, 4:] = 0
    return ids, mask


@pytest.mark.parametrize("kept", [[0], [3], [1, 2], [0, 1, 2, 3]])
def test_only_some_layers_is_what_is_left_without_the_others(
    model: Classifier, kept: list[int]
) -> None:
    blocks = list(layers(model))
    with torch.no_grad(), only_layers(model, kept):
        found = model(*_inputs())
    assert list(layers(model)) == blocks
    remove_layers(model, [layer for layer in range(4) if layer not in kept])
    with torch.no_grad():
        assert torch.equal(found, model(*_inputs()))


def test_layers_are_back_after_an_error(model: Classifier) -> None:
    blocks = list(layers(model))
    with pytest.raises(ZeroDivisionError), only_layers(model, [1]):
        raise ZeroDivisionError
    assert list(layers(model)) == blocks


@pytest.mark.parametrize("kept", [[], [1, 0], [0, 0], [4], [-1, 2]])
def test_only_refuses_what_is_no_subset(model: Classifier, kept: list[int]) -> None:
    with pytest.raises(UsageError, match="ascending positions of 0 to 3"), only_layers(model, kept):
        pass
