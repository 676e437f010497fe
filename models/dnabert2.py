"""DNABERT-2 (Zhou et al. 2023, arXiv 2306.15006): post-LayerNorm, ALiBi, gated MLP.

Written from the architecture, without unpadding and without Triton, so that it trains anywhere and
exports. The names of modules are those of the official checkpoint.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from .classifier import (
    Backbone,
    Block,
    Context,
    GatedLinear,
    NativeClassifier,
    NativeConfig,
    Projection,
    padding_bias,
    score_type,
)
from .kernels import Dropout, Linear


def alibi_slopes(heads: int) -> list[float]:
    """Return one slope a head (Press et al. 2021, arXiv 2108.12409, with its official rule).

    For a power of two, 2^(-8(i+1)/heads). For any other number, the slopes of the next lower power
    of two, then every other one, from the first, of those of twice that power.
    """
    power = 2 ** math.floor(math.log2(heads))
    slopes = [2.0 ** (-8 * (i + 1) / power) for i in range(power)]
    if power == heads:
        return slopes
    return slopes + alibi_slopes(2 * power)[0::2][: heads - power]


class _Embeddings(nn.Module):
    def __init__(self, config: NativeConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.word_embeddings: nn.Embedding = nn.Embedding(config.vocab_size, width)
        types = int(config.raw.get("type_vocab_size", 2))
        self.token_type_embeddings: nn.Embedding = nn.Embedding(types, width)
        self.LayerNorm: nn.LayerNorm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.dropout: Dropout = Dropout(config.hidden_dropout)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        words: Tensor = self.word_embeddings(input_ids)
        hidden: Tensor = self.dropout(self.LayerNorm(words + self.token_type_embeddings.weight[0]))
        return hidden


class _SelfAttention(nn.Module):
    def __init__(self, config: NativeConfig) -> None:
        super().__init__()
        self.heads: int = config.num_attention_heads
        self.head_size: int = config.head_size
        self.dropout: float = config.attention_dropout
        self.Wqkv: Linear = Linear(config.hidden_size, 3 * config.hidden_size)

    def forward(self, hidden: Tensor, context: Context, first_only: bool) -> Tensor:
        if first_only and type(self.Wqkv) is Linear:  # else an adapter adds to its weight
            return self._first(hidden, context.first().bias.to(hidden.dtype))
        query, key, value = self._split(self.Wqkv(hidden), 3)
        mixed = functional.scaled_dot_product_attention(
            query[:, :, :1] if first_only else query,
            key,
            value,
            attn_mask=context.first().bias if first_only else context.bias,
            dropout_p=self.dropout if self.training else 0.0,
        )
        return mixed.transpose(1, 2).flatten(2)

    def _first(self, hidden: Tensor, bias: Tensor) -> Tensor:
        """Attend from position 0 [B, 1, H] without a key and a value for every token.

        q (W x + b) = (q W) x + q b, and what is added to all scores falls out of the softmax; the
        values are mixed before they are projected, with weights that sum to 1.
        """
        query_of, key_of, value_of = self.Wqkv.weight.view(3, self.heads, self.head_size, -1)
        query_bias, _, value_bias = self.Wqkv.bias.view(3, self.heads, self.head_size)
        query = torch.einsum("bw,hdw->bhd", hidden[:, 0], query_of) + query_bias
        asked = torch.einsum("bhd,hdw->bhw", query, key_of) / math.sqrt(self.head_size)
        weights = torch.softmax(asked @ hidden.transpose(1, 2) + bias[:, :, 0], dim=-1)
        weights = functional.dropout(weights, self.dropout, self.training)
        mixed = torch.einsum("bhw,hdw->bhd", weights @ hidden, value_of)
        mixed = mixed + value_bias * weights.sum(-1, keepdim=True)
        output: Tensor = mixed.flatten(1)[:, None]
        return output

    def _split(self, projected: Tensor, parts: int) -> tuple[Tensor, ...]:
        """Take [B, T, parts x H] apart into `parts` tensors [B, heads, T, head size]."""
        batch, tokens, _ = projected.shape
        shaped = projected.view(batch, tokens, parts, self.heads, self.head_size)
        return torch.unbind(shaped.permute(2, 0, 3, 1, 4))


class _SelfOutput(nn.Module):
    def __init__(self, config: NativeConfig) -> None:
        super().__init__()
        self.dense: Linear = Linear(config.hidden_size, config.hidden_size)
        self.LayerNorm: nn.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout: Dropout = Dropout(config.hidden_dropout)

    def forward(self, mixed: Tensor, residual: Tensor) -> Tensor:
        hidden: Tensor = self.LayerNorm(self.dropout(self.dense(mixed)) + residual)
        return hidden


class _Attention(nn.Module):
    def __init__(self, config: NativeConfig) -> None:
        super().__init__()
        self.self: _SelfAttention = _SelfAttention(config)
        self.output: _SelfOutput = _SelfOutput(config)

    def forward(self, hidden: Tensor, context: Context, first_only: bool) -> Tensor:
        residual = hidden[:, :1] if first_only else hidden
        output: Tensor = self.output(self.self(hidden, context, first_only), residual)
        return output


class _GatedMLP(nn.Module):
    def __init__(self, config: NativeConfig) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size
        self.gated_layers: GatedLinear = GatedLinear(width, inner, functional.gelu)
        self.wo: Linear = Linear(inner, width)
        self.layernorm: nn.LayerNorm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.dropout: Dropout = Dropout(config.hidden_dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        inner = self.dropout(self.gated_layers(hidden))
        output: Tensor = self.layernorm(self.wo(inner) + hidden)
        return output


class DnaBert2Block(Block):
    """`a = LN(attention(x) + x)`, then `LN(mlp(a) + a)`."""

    mlp_layers: tuple[str, str] = ("mlp.gated_layers", "mlp.wo")

    def __init__(self, config: NativeConfig) -> None:
        super().__init__()
        self.heads: int = config.num_attention_heads
        self.rotary: bool = False
        self.attention: _Attention = _Attention(config)
        self.mlp: _GatedMLP = _GatedMLP(config)

    def forward(self, hidden: Tensor, context: Context, *, first_only: bool = False) -> Tensor:
        """See `Block.forward`."""
        output: Tensor = self.mlp(self.attention(hidden, context, first_only))
        return output

    def attention_entry(self, hidden: Tensor) -> Tensor:
        """Return the hidden states themselves."""
        return hidden

    def projections(self) -> tuple[Projection, Projection, Projection]:
        """See `Block.projections`."""
        joined = self.attention.self.Wqkv
        query, key, value = map(Projection, joined.weight.chunk(3), joined.bias.chunk(3))
        return query, key, value


class _Encoder(nn.Module):
    def __init__(self, config: NativeConfig) -> None:
        super().__init__()
        blocks = (DnaBert2Block(config) for _ in range(config.num_hidden_layers))
        self.layer: nn.ModuleList = nn.ModuleList(blocks)


class _Pooler(nn.Module):
    def __init__(self, config: NativeConfig) -> None:
        super().__init__()
        self.dense: Linear = Linear(config.hidden_size, config.hidden_size)

    def forward(self, first: Tensor) -> Tensor:
        return torch.tanh(self.dense(first))


class DnaBert2Backbone(Backbone):
    """Embeddings and blocks; the output at padded positions is exactly 0."""

    embeddings: _Embeddings
    slopes: Tensor

    def __init__(self, config: NativeConfig, *, pooler: bool) -> None:
        super().__init__()
        config.require("hidden_act", "gelu")
        self.embeddings = _Embeddings(config)
        self.encoder: _Encoder = _Encoder(config)
        if pooler:
            self.pooler: _Pooler = _Pooler(config)
        slopes = torch.tensor(alibi_slopes(config.num_attention_heads), device="cpu")
        self.register_buffer("slopes", slopes, persistent=False)

    @property
    def blocks(self) -> nn.ModuleList:
        """The stack, first block first."""
        return self.encoder.layer

    def entry_table(self) -> Tensor:
        """Return the embeddings of every token id [V, H]: positions come in with ALiBi only."""
        ids = torch.arange(len(self.embeddings.word_embeddings.weight), device=self.slopes.device)
        table: Tensor = self.embeddings(ids, torch.ones_like(ids))
        return table

    def embed(
        self, input_ids: Tensor, attention_mask: Tensor, *, first_only: bool = False
    ) -> tuple[Tensor, Context]:
        """See `Backbone.embed`; the context holds ALiBi plus padding, built once a forward."""
        hidden: Tensor = self.embeddings(input_ids, attention_mask)
        positions = torch.arange(input_ids.shape[1], device=input_ids.device)
        asking = positions[:1] if first_only else positions
        distances = (asking[:, None] - positions[None, :]).abs()
        alibi = -self.slopes[:, None, None] * distances
        kind = score_type(hidden)
        bias = alibi.to(kind) + padding_bias(attention_mask, kind)
        return hidden, Context(input_ids, bias)

    def finish(self, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        """Set padded positions to 0."""
        return hidden * attention_mask[:, :, None].to(hidden.dtype)


class DnaBert2Classifier(NativeClassifier):
    """DNABERT-2 with the pooler and linear head of its sequence classifier."""

    def __init__(self, config: NativeConfig) -> None:
        super().__init__()
        self.config: NativeConfig = config
        self.bert: DnaBert2Backbone = DnaBert2Backbone(config, pooler=True)
        rate = config.raw.get("classifier_dropout")
        rate = config.hidden_dropout if rate is None else float(rate)
        self.dropout: Dropout = Dropout(rate)
        self.classifier: Linear = Linear(config.hidden_size, config.num_labels)

    @property
    def backbone(self) -> Backbone:
        """Embeddings and blocks."""
        return self.bert

    def pool(self, first: Tensor) -> Tensor:
        """Return tanh(dense(first)) [B, H]."""
        pooled: Tensor = self.bert.pooler(first)
        return pooled

    def project(self, pooled: Tensor) -> Tensor:
        """Return logits [B, labels]."""
        logits: Tensor = self.classifier(self.dropout(pooled))
        return logits
