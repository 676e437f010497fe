"""How often the attention bias is made, and how large: by counting what torch allocates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from genoslim.models.checkpoint import new_classifier
from genoslim.models.precision import Precision, autocast

ROWS, HEADS, TOKENS = 3, 6, 64
CPU = torch.device("cpu")
ConfigOf = Callable[[str], dict[str, Any]]


class _Square(TorchDispatchMode):
    """Notes type and shape of every tensor [..., TOKENS, TOKENS] that is made, not of views."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[tuple[torch.dtype, tuple[int, ...]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {a.untyped_storage().data_ptr() for a in args if isinstance(a, Tensor)}
        output = func(*args, **(kwargs or {}))
        square = isinstance(output, Tensor) and output.shape[-2:] == (TOKENS, TOKENS)
        if square and output.untyped_storage().data_ptr() not in given:
            self.made.append((output.dtype, tuple(output.shape)))
        return output

    def of_heads(self) -> list[tuple[torch.dtype, tuple[int, ...]]]:
        """Return those made for every head, which are what takes memory."""
        return [(kind, shape) for kind, shape in self.made if HEADS in shape[:-2]]


@pytest.fixture(params=[2, 5])
def depth(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def _made(
    config: dict[str, Any], depth: int, mask: Tensor, precision: Precision
) -> list[tuple[torch.dtype, tuple[int, ...]]]:
    model = new_classifier(config | {"num_hidden_layers": depth}).train()
    ids = torch.full((ROWS, TOKENS), 7)
    with _Square() as square, autocast(precision, CPU):
        model(ids, mask)
    return square.of_heads()


@pytest.mark.parametrize(("precision", "kind"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_rows_of_one_length_share_one_bias(
    precision: Precision, kind: torch.dtype, depth: int, config_of: ConfigOf
) -> None:
    """ALiBi [heads, T, T], its type, and with padding [1, heads, T, T]: at any depth."""
    mask = torch.ones(1, TOKENS, dtype=torch.long)
    made = _made(config_of("dnabert2"), depth, mask, precision)
    assert {shape for _, shape in made} == {(HEADS, TOKENS, TOKENS), (1, HEADS, TOKENS, TOKENS)}
    assert made[-1] == (kind, (1, HEADS, TOKENS, TOKENS))
    assert [shape for _, shape in made].count((1, HEADS, TOKENS, TOKENS)) == 1


@pytest.mark.parametrize(("precision", "kind"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_rows_of_many_lengths_have_one_bias_a_forward(
    precision: Precision, kind: torch.dtype, depth: int, config_of: ConfigOf
) -> None:
    """Of rows x heads x T x T x 2 or 4 bytes, in the type that it is used in, not once a layer."""
    mask = (torch.arange(TOKENS) < torch.tensor([[TOKENS], [50], [20]])).long()
    made = _made(config_of("dnabert2"), depth, mask, precision)
    full = (ROWS, HEADS, TOKENS, TOKENS)
    assert [(have, shape) for have, shape in made if shape == full] == [(kind, full)]


@pytest.mark.parametrize("family", ["nt_v1", "nt_v2"])
def test_padding_alone_makes_no_bias_of_heads(family: str, depth: int, config_of: ConfigOf) -> None:
    mask = (torch.arange(TOKENS) < torch.tensor([[TOKENS], [50], [20]])).long()
    assert _made(config_of(family), depth, mask, "bf16") == []


@pytest.mark.parametrize("family", ["dnabert2", "nt_v1", "nt_v2"])
def test_one_row_of_a_mask_stands_for_all(family: str, config_of: ConfigOf) -> None:
    model = new_classifier(config_of(family)).eval()
    ids = torch.randint(5, 17, (ROWS, TOKENS), generator=torch.Generator().manual_seed(1))
    one = (torch.arange(TOKENS) < 50).long()[None]
    with torch.no_grad():
        expected = model(ids, one.expand_as(ids).contiguous())
        torch.testing.assert_close(model(ids, one), expected, rtol=0, atol=1e-6)
        for found, wanted in zip(
            model.hidden_states(ids, one), model.hidden_states(ids, one.expand_as(ids)), strict=True
        ):
            torch.testing.assert_close(found[:, :50], wanted[:, :50], rtol=0, atol=1e-5)
