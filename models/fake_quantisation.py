"""Fine-tuning with int8 rounding in the loop: float32 networks that compute what int8 ones will.

Forward, weights and activations are rounded as `export` rounds them (`quantisation.py` has the
numbers); backward, the gradient passes straight through the rounding (Bengio, Leonard and
Courville 2013, arXiv 1308.3432; Jacob et al. 2018, arXiv 1712.05877). Rounded is what the exported
graph (`inference.py`) has as integer products: not the head, and of the last block's projections
only those that are not folded. Its tables of float16, which are much finer, are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import GenoslimError
from .classifier import Block, Classifier, GatedLinear, NativeClassifier
from .inference import mlp_pieces
from .quantisation import LEAST_ROW, LEAST_SIDE, ROW_STEPS, WEIGHT_STEPS


class _StraightThrough(torch.autograd.Function):
    """Rounded values, whose gradient is passed on to what they were rounded from."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, rounded: Tensor) -> Tensor:
        return rounded.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


def rounded_weight(weight: Tensor) -> Tensor:
    """Return weights [outputs, inputs] as int8 has them, with one scale an output."""
    largest = weight.detach().abs().amax(1, keepdim=True)
    return _rounded(weight, torch.where(largest > 0, largest, 1.0) / WEIGHT_STEPS)


def rounded_rows(hidden: Tensor) -> Tensor:
    """Return activations [..., inputs] as int8 has them, with one scale a row."""
    largest = hidden.detach().abs().amax(-1, keepdim=True)
    return _rounded(hidden, largest.clamp(min=LEAST_ROW) / ROW_STEPS)


def _rounded(values: Tensor, scales: Tensor) -> Tensor:
    return _straight_through(values, torch.round(values.detach() / scales) * scales)


def _straight_through(values: Tensor, rounded: Tensor) -> Tensor:
    passed: Tensor = _StraightThrough.apply(values, rounded)  # type: ignore[no-untyped-call]
    return passed


@contextmanager
def int8_rounding(model: Classifier) -> Iterator[int]:
    """Have `model` round as its int8 graph will, in the body; yields how many products do.

    Parameters are the model's own, and stay float32. Raises GenoslimError for a network that is
    not written here, and for one too narrow to have a product in int8.
    """
    if not isinstance(model, NativeClassifier):
        raise GenoslimError(f"int8 in the loop is for DNABERT-2 and NT, not for {model.family}")
    replaced = dict(_products(model))
    before = {name: model.get_submodule(name) for name in replaced}
    if not replaced:
        raise GenoslimError(
            f"no weight matrix of {LEAST_SIDE} x {LEAST_SIDE} or more: int8 would change nothing"
        )
    for name, module in replaced.items():
        model.set_submodule(name, module)
    try:
        yield len(replaced)
    finally:
        for name, module in before.items():
            model.set_submodule(name, module)


def _products(model: NativeClassifier) -> Iterator[tuple[str, nn.Module]]:
    """Yield by their names the layers of the blocks that round."""
    names = {module: name for name, module in model.named_modules()}
    tabulated = model.backbone.entry_table() is not None
    last = len(model.blocks) - 1
    for place, module in enumerate(model.blocks):
        block = cast(Block, module)
        looked_up = place == 0 and tabulated
        attention = cast(Any, block).attention
        if not looked_up:
            for name, projection in _projections(attention.self, block, folded=place == last):
                yield f"{names[block]}.attention.self.{name}", projection
        dense = attention.output.dense
        if _wide(dense.weight):
            *_, value = block.projections()
            yield f"{names[block]}.attention.output.dense", _Output(dense, value.bias)
        yield from _mlp(block, names[block], pieces=place != last)


def _projections(
    attention: nn.Module, block: Block, *, folded: bool
) -> Iterator[tuple[str, nn.Module]]:
    """Yield queries, keys and values; where they are folded, queries and keys that turn alone."""
    joined = getattr(attention, "Wqkv", None)
    if joined is not None:
        if min(joined.weight.shape[0] // 3, joined.weight.shape[1]) >= LEAST_SIDE:
            yield "Wqkv", _Query(joined) if folded else _Linear(joined)
        return
    rounding = ["query", *(["key"] if block.rotary or not folded else [])]
    for name in [*rounding, *([] if folded else ["value"])]:
        layer = cast(nn.Linear, attention.get_submodule(name))
        if _wide(layer.weight):
            yield name, _Linear(layer)


def _mlp(block: Block, name: str, *, pieces: bool) -> Iterator[tuple[str, nn.Module]]:
    """Yield the entry and the last layer of the MLP, which may be summed up piece by piece."""
    entry, output = (block.get_submodule(layer) for layer in block.mlp_layers)
    entry_name, output_name = (f"{name}.{layer}" for layer in block.mlp_layers)
    output = cast(nn.Linear, output)
    parts = 1
    if isinstance(entry, GatedLinear):
        parts = mlp_pieces(*output.weight.shape) if pieces else 1
        if min(entry.weight.shape[0] // 2 // parts, entry.weight.shape[1]) >= LEAST_SIDE:
            yield entry_name, _Gated(entry)
    elif _wide(cast(nn.Linear, entry).weight):
        yield entry_name, _Linear(cast(nn.Linear, entry))
    if min(output.weight.shape[0], output.weight.shape[1] // parts) >= LEAST_SIDE:
        yield output_name, _Linear(output, parts)


def _wide(weight: Tensor) -> bool:
    return min(weight.shape) >= LEAST_SIDE


class _Linear(nn.Module):
    """A linear layer whose inputs and weights are rounded, in pieces of the inputs."""

    def __init__(self, layer: nn.Linear, pieces: int = 1) -> None:
        super().__init__()
        self.layer, self.pieces = layer, pieces

    def forward(self, hidden: Tensor) -> Tensor:
        parts = hidden.chunk(self.pieces, dim=-1)
        weights = self.layer.weight.chunk(self.pieces, dim=1)
        products = (
            functional.linear(rounded_rows(part), rounded_weight(weight))
            for part, weight in zip(parts, weights, strict=True)
        )
        total = torch.stack(list(products)).sum(0) if self.pieces > 1 else next(products)
        return total if self.layer.bias is None else total + self.layer.bias


class _Output(nn.Module):
    """The layer after attention, whose inputs are rounded without the bias of the values."""

    def __init__(self, layer: nn.Linear, bias: Tensor | None) -> None:
        super().__init__()
        self.layer, self.of_values = layer, bias

    def forward(self, mixed: Tensor) -> Tensor:
        moved = 0.0 if self.of_values is None else self.of_values
        product = functional.linear(rounded_rows(mixed - moved), rounded_weight(self.layer.weight))
        rest = self.layer.bias
        return product + (rest if self.of_values is None else rest + self.layer.weight @ moved)


class _Query(nn.Module):
    """Queries, keys and values in one layer, of which the queries alone are rounded."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, hidden: Tensor) -> Tensor:
        width = self.layer.weight.shape[0] // 3
        query, rest = self.layer.weight[:width], self.layer.weight[width:]
        products = (
            functional.linear(rounded_rows(hidden), rounded_weight(query)),
            functional.linear(hidden, rest),
        )
        return torch.cat(products, dim=-1) + self.layer.bias


class _Gated(nn.Module):
    """The entry of a gated MLP, rounded."""

    def __init__(self, layer: GatedLinear) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, hidden: Tensor) -> Tensor:
        product = functional.linear(rounded_rows(hidden), rounded_weight(self.layer.weight))
        gate, value = product.chunk(2, dim=-1)
        return self.layer.activation(gate) * value
