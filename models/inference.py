"""The network that is exported: the classifier's own logits, with less work.

A classifier reads one position, `<cls>`, of the last block, and in DNABERT-2 and NT v2 what enters
the first block depends on nothing but each token's id. So, exactly up to rounding:

- first block: queries, keys and values of every token of the vocabulary are tabulated;
- last block: one query a window. As `q (W x)' = (q W) x'` and `sum p (W x) = W (sum p x)`, the key
  and value weights meet one vector a head and window in place of every token;
- everywhere: the scores' scale is in the query's weights; the value's bias, which attention weights
  that sum to 1 let through unchanged, is in the output's bias; the key's bias, which adds the same
  to every score of a query, is dropped (a rotary key's is not);
- gated MLPs: gate and value are two products, of one piece of the inner width after the other, so
  that nothing is taken apart and what lies between the products stays in the caches.

For a GPU, which has memory bandwidth in place of caches, gated MLPs stay whole, and the attention
of all blocks but the last is one operator (`fused.py`).
"""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from .classifier import (
    Block,
    Classifier,
    Context,
    GatedLinear,
    NativeClassifier,
    Projection,
    rotate,
    split_heads,
    turned,
)
from .fused import fused_attention

_Module = TypeVar("_Module", bound=nn.Module)

_WIDE = 512


def for_inference(model: Classifier, *, fused: bool = False) -> Classifier:
    """Return a classifier whose `forward` gives the logits of `model` in evaluation mode.

    Only its `forward` is of use. `model` is unchanged, and shares the weights that need no
    rewriting. A classifier that is not written here is returned as it is. A `fused` one is shaped
    for GPUs: attention is one operator, and MLPs are left in one piece.
    """
    if not isinstance(model, NativeClassifier):
        return model
    network = _copy_of_modules(model).eval()
    with torch.no_grad():
        _rewrite_attention(network, _FusedAttention if fused else _Attention)
        if not fused:
            _rewrite_gated_mlps(network)
    return network


def _copy_of_modules(model: _Module) -> _Module:
    """Copy the tree of modules, not the tensors in it."""
    tensors = [*model.parameters(), *model.buffers()]
    return copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})


def _rewrite_attention(network: NativeClassifier, attention: type[_Attention]) -> None:
    """Replace the attention of every block, and the embeddings if they can be tabulated."""
    backbone = network.backbone
    entries = backbone.entry_table()
    last = len(backbone.blocks) - 1
    for place, module in enumerate(backbone.blocks):
        block: Any = module
        query, key, value = _prepared(block)
        if place == 0 and entries is not None:
            tables = _tabulated(block, entries, query, key, value)
            block.attention.self = attention(block.heads, *tables)
        elif place == last:
            block.attention.self = _FoldedAttention(block.heads, query, key, value)
        else:
            linear = (_Linear(*each) for each in (query, key, value))
            block.attention.self = attention(block.heads, *linear)
    if entries is not None:
        backbone.embeddings = _Entry(entries)


def _prepared(block: Any) -> tuple[Projection, Projection, Projection]:
    """Return a block's projections, scaled and without the biases that can go elsewhere."""
    query, key, value = block.projections()
    scale = (query.weight.shape[0] // block.heads) ** -0.5
    output = block.attention.output.dense
    output.bias = _fixed(output.bias + output.weight @ value.bias)
    return (
        Projection(query.weight * scale, query.bias * scale),
        Projection(key.weight, key.bias if block.rotary else None),
        Projection(value.weight, None),
    )


def _tabulated(block: Block, entries: Tensor, *projections: Projection) -> list[_Table]:
    """Return the first block's projections of the hidden states [V, H] of every token."""
    read = block.attention_entry(entries).double()
    tables = (
        functional.linear(read, weight.double(), None if bias is None else bias.double())
        for weight, bias in projections
    )
    return [_Table(table.to(entries.dtype)) for table in tables]


def _rewrite_gated_mlps(network: NativeClassifier) -> None:
    last = len(network.blocks) - 1
    for place, module in enumerate(network.blocks):
        block: Any = module
        entry, output = (block.get_submodule(name) for name in block.mlp_layers)
        if isinstance(entry, GatedLinear):
            pieces = 1 if place == last else mlp_pieces(*output.weight.shape)
            for name, new in zip(
                block.mlp_layers, (nn.Identity(), _GatedMLP(entry, output, pieces)), strict=True
            ):
                block.set_submodule(name, new)


def mlp_pieces(width: int, inner: int) -> int:
    """Return how many pieces of the inner width to take: each as wide as the hidden states.

    Narrow models stay whole: there, more operators would cost more than caches give.
    """
    return inner // width if width >= _WIDE and inner % width == 0 else 1


def _by_head(weight: Tensor, heads: int) -> Tensor:
    """Return [heads, head size, H] from [H, H]."""
    return weight.view(heads, -1, weight.shape[1])


def _fixed(tensor: Tensor) -> nn.Parameter:
    return nn.Parameter(tensor.detach().clone(), requires_grad=False)


class _Linear(nn.Module):
    """A projection of every token: `x W' + b`."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.weight = _fixed(weight)
        self.bias = None if bias is None else _fixed(bias)

    def forward(self, hidden: Tensor, context: Context) -> Tensor:
        return functional.linear(hidden, self.weight, self.bias)


class _Table(nn.Module):
    """A projection looked up by token id."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table = _fixed(table)

    def forward(self, hidden: Tensor, context: Context) -> Tensor:
        return functional.embedding(context.input_ids, self.table)


class _Entry(nn.Module):
    """The embeddings, looked up by token id."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table = _fixed(table)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return functional.embedding(input_ids, self.table)


class _GatedMLP(nn.Module):
    """A gated MLP from its entry to its last linear layer, as a sum over pieces of its inside."""

    def __init__(self, entry: GatedLinear, output: nn.Linear, pieces: int) -> None:
        super().__init__()
        gate, value = (half.chunk(pieces) for half in entry.weight.chunk(2))
        self.activation = entry.activation
        self.gates, self.values, self.outputs = (
            nn.ParameterList(_fixed(piece) for piece in each)
            for each in (gate, value, output.weight.chunk(pieces, dim=1))
        )
        self.bias = output.bias

    def forward(self, hidden: Tensor) -> Tensor:
        total: Tensor | None = None
        for gate, value, output in zip(self.gates, self.values, self.outputs, strict=True):
            inner = self.activation(_parted(hidden, gate)) * _parted(hidden, value)
            bias = self.bias if total is None else None
            share = functional.linear(inner.flatten(-2), output, bias)
            total = share if total is None else total + share
        assert total is not None  # there is a piece at least
        return total


def _parted(hidden: Tensor, weight: Tensor) -> Tensor:
    """Return `hidden @ weight'`, its last axis as two.

    That does nothing but part the product from the activation: OpenVINO fuses these where it can,
    and then takes a kernel for the product that is slower by more than fusing wins.
    """
    product = functional.linear(hidden, weight)
    return product.view(*product.shape[:-1], 2, -1)


class _Attention(nn.Module):
    """Attention; the query's projection holds the scale of the scores."""

    def __init__(self, heads: int, query: nn.Module, key: nn.Module, value: nn.Module) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = query, key, value

    def forward(self, hidden: Tensor, context: Context, first_only: bool) -> Tensor:
        asking = context.first() if first_only else context
        query = split_heads(self.query(hidden[:, :1] if first_only else hidden, asking), self.heads)
        key = split_heads(self.key(hidden, context), self.heads)
        value = split_heads(self.value(hidden, context), self.heads)
        query, key = rotate(query, asking.rotary), rotate(key, context.rotary)
        weights = torch.softmax(query @ key.transpose(2, 3) + asking.bias, dim=-1)
        return (weights @ value).transpose(1, 2).flatten(2)


class _FusedAttention(_Attention):
    """The same by one operator."""

    def forward(self, hidden: Tensor, context: Context, first_only: bool) -> Tensor:
        asking = context.first() if first_only else context
        query = self.query(hidden[:, :1] if first_only else hidden, asking)
        query = self._rotated(query, asking.rotary)
        key = self._rotated(self.key(hidden, context), context.rotary)
        value: Tensor = self.value(hidden, context)
        bias = asking.bias.expand(-1, -1, query.shape[1], -1)
        return fused_attention(query, key, value, bias, self.heads)

    def _rotated(self, projected: Tensor, rotary: tuple[Tensor, Tensor] | None) -> Tensor:
        """Return [B, T, H] with positions turned in, heads side by side as they were."""
        if rotary is None:
            return projected
        cosines, sines = (torch.cat((half, half), dim=-1)[:, None] for half in rotary)
        heads = projected.view(*projected.shape[:2], self.heads, -1)
        return turned(heads, cosines, sines).flatten(2)


class _FoldedAttention(nn.Module):
    """Attention of `<cls>` alone, without a value and, unless it is rotary, a key of any token."""

    def __init__(self, heads: int, query: Projection, key: Projection, value: Projection) -> None:
        super().__init__()
        self.heads = heads
        self.query = _Linear(*query)
        self.key = (_FoldedKey if key.bias is None else _RotaryKey)(heads, key)
        self.value = _fixed(_by_head(value.weight, heads).transpose(1, 2))

    def forward(self, hidden: Tensor, context: Context, first_only: bool) -> Tensor:
        asking = context.first()  # a rotation by position 0 changes no query
        query = split_heads(self.query(hidden[:, :1], asking), self.heads)
        scores = self.key(query, hidden, context) + asking.bias[:, :, 0]
        read = torch.softmax(scores, dim=-1) @ hidden  # [B, heads, H]
        mixed = read.transpose(0, 1) @ self.value  # [heads, B, head size]
        return mixed.transpose(0, 1).flatten(1)[:, None]


class _FoldedKey(nn.Module):
    """Scores [B, heads, T] of queries [B, heads, 1, head size] from the hidden states."""

    def __init__(self, heads: int, key: Projection) -> None:
        super().__init__()
        self.weight = _fixed(_by_head(key.weight, heads))

    def forward(self, query: Tensor, hidden: Tensor, context: Context) -> Tensor:
        folded = query[:, :, 0].transpose(0, 1) @ self.weight
        return folded.transpose(0, 1) @ hidden.transpose(1, 2)


class _RotaryKey(nn.Module):
    """The same with keys that turn with their position, which no weights can stand for."""

    def __init__(self, heads: int, key: Projection) -> None:
        super().__init__()
        self.heads, self.project = heads, _Linear(*key)

    def forward(self, query: Tensor, hidden: Tensor, context: Context) -> Tensor:
        key = rotate(split_heads(self.project(hidden, context), self.heads), context.rotary)
        return (query @ key.transpose(2, 3))[:, :, 0]
