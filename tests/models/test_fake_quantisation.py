"""int8 rounding in torch; `tests/export/test_precision.py` holds it against exported graphs."""

from __future__ import annotations

from contextlib import suppress

import pytest
import torch
from tiny_checkpoints import tiny_classifier

from genoslim.errors import GenoslimError
from genoslim.models.fake_quantisation import int8_rounding, rounded_rows, rounded_weight
from genoslim.models.inference import for_inference

WIDE = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3}
PIECES = {"hidden_size": 512, "intermediate_size": 1024, "num_hidden_layers": 2}


def test_the_gradient_passes_straight_through() -> None:
    torch.manual_seed(0)
    weight = torch.randn(7, 5, requires_grad=True)
    rows = torch.randn(2, 3, 5, requires_grad=True)
    for values, rounded in ((weight, rounded_weight(weight)), (rows, rounded_rows(rows))):
        assert not torch.equal(values, rounded)
        upstream = torch.randn_like(rounded)
        (gradient,) = torch.autograd.grad(rounded, values, upstream)
        assert torch.equal(gradient, upstream)


def test_rounding_is_to_the_steps_of_the_scale_ties_to_even() -> None:
    weight = torch.tensor([[64.0, 0.5, 1.5, -2.5, 0.0], [0.0] * 5])
    assert rounded_weight(weight).tolist() == [[64.0, 0.0, 2.0, -2.0, 0.0], [0.0] * 5]
    rows = torch.tensor([[127.0, 0.5, 1.5, -2.5], [0.0] * 4])
    assert rounded_rows(rows).tolist() == [[127.0, 0.0, 2.0, -2.0], [0.0] * 4]


def test_parameters_and_modules_are_the_models_own_again_after_an_error() -> None:
    model = tiny_classifier("dnabert2", **WIDE)
    before, parameters = dict(model.named_modules()), list(map(id, model.parameters()))
    with suppress(ZeroDivisionError), int8_rounding(model) as count:
        assert count == 11  # of three blocks: two Wqkv, and of each the output and the MLP's two
        assert set(map(id, model.parameters())) == set(parameters)
        raise ZeroDivisionError
    assert dict(model.named_modules()) == before
    assert list(map(id, model.parameters())) == parameters


def test_a_wide_mlp_is_rounded_in_the_pieces_that_are_exported() -> None:
    model = tiny_classifier("dnabert2", **PIECES)
    exported = [block.mlp.wo for block in for_inference(model).blocks]
    with int8_rounding(model):
        rounding = [block.mlp.wo for block in model.blocks]
    assert [layer.pieces for layer in rounding] == [2, 1]
    for mine, theirs in zip(rounding, exported, strict=True):
        parts = mine.layer.weight.chunk(mine.pieces, dim=1)
        assert all(map(torch.equal, parts, theirs.outputs))
    first, hidden = rounding[0], torch.randn(3, 5, 1024)
    by_hand = sum(
        rounded_rows(part) @ rounded_weight(weight).T
        for part, weight in zip(hidden.chunk(2, -1), first.layer.weight.chunk(2, 1), strict=True)
    )
    assert torch.allclose(first(hidden), by_hand + first.layer.bias, atol=1e-5)


def test_a_network_without_a_wide_product_is_refused() -> None:
    with (
        pytest.raises(GenoslimError, match="no weight matrix of 64 x 64 or more"),
        int8_rounding(tiny_classifier("nt_v1")),
    ):
        pass
