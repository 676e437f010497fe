"""The Nucleotide Transformer, v1 and v2 (Dalla-Torre et al. 2024, doi 10.1038/s41592-024-02523-z).

v1 is ESM with learned positions, a GELU MLP and token dropout; v2 has rotary positions and a gated
SiLU MLP. Both are pre-LayerNorm. The names of modules are those of the official checkpoints.
"""

from __future__ import annotations

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
    rotate,
    score_type,
    split_heads,
)
from .kernels import Dropout, Linear

_TRAINED_UNMASKED = 1 - 0.15 * 0.8
"""Share of embeddings that were not zeroed in ESM's pretraining (15 % chosen, 80 % masked)."""


class _Embeddings(nn.Module):
    def __init__(self, config: NativeConfig) -> None:
        super().__init__()
        self.pad_id: int = int(config.raw.get("pad_token_id", 1))
        self.mask_id: int = int(config.raw.get("mask_token_id", 2))
        self.token_dropout: bool = bool(config.raw.get("token_dropout", False))
        self.word_embeddings: nn.Embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        if config.family == "nt_v1":
            rows = int(config.raw.get("max_position_embeddings", 1002))
            self.position_embeddings: nn.Embedding = nn.Embedding(rows, config.hidden_size)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        hidden: Tensor = self.word_embeddings(input_ids)
        if self.token_dropout:
            hidden = self._drop_masked(hidden, input_ids, attention_mask)
        if hasattr(self, "position_embeddings"):
            hidden = hidden + self.position_embeddings(self._positions(input_ids))
        return hidden * attention_mask[:, :, None].to(hidden.dtype)

    def _drop_masked(self, hidden: Tensor, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Zero the masked tokens and rescale the rest to the share that pretraining saw."""
        masked = input_ids == self.mask_id
        tokens = attention_mask.sum(-1).clamp(min=1)
        share = masked.sum(-1).to(hidden.dtype) / tokens.to(hidden.dtype)
        scale = _TRAINED_UNMASKED / (1 - share)
        return hidden.masked_fill(masked[:, :, None], 0.0) * scale[:, None, None]

    def _positions(self, input_ids: Tensor) -> Tensor:
        """Return rows counted from `pad_id + 1`, padding at row `pad_id`."""
        present = (input_ids != self.pad_id).to(torch.int64)
        return present.cumsum(1) * present + self.pad_id


class _SelfAttention(nn.Module):
    def __init__(self, config: NativeConfig) -> None:
        super().__init__()
        self.heads: int = config.num_attention_heads
        self.head_size: int = config.head_size
        self.dropout: float = config.attention_dropout
        self.query: Linear = Linear(config.hidden_size, config.hidden_size)
        self.key: Linear = Linear(config.hidden_size, config.hidden_size)
        self.value: Linear = Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden: Tensor, context: Context, first_only: bool) -> Tensor:
        query_context = context.first() if first_only else context
        query = self.query(hidden[:, :1] if first_only else hidden)
        query, key, value = (
            split_heads(projected, self.heads)
            for projected in (query, self.key(hidden), self.value(hidden))
        )
        mixed = functional.scaled_dot_product_attention(
            rotate(query, query_context.rotary),
            rotate(key, context.rotary),
            value,
            attn_mask=query_context.bias,
            dropout_p=self.dropout if self.training else 0.0,
        )
        return mixed.transpose(1, 2).flatten(2)


class _Dense(nn.Module):
    """A linear layer under the name that ESM gives it."""

    def __init__(self, dense: nn.Module) -> None:
        super().__init__()
        self.dense = dense

    def forward(self, values: Tensor) -> Tensor:
        output: Tensor = self.dense(values)
        return output


class _Attention(nn.Module):
    def __init__(self, config: NativeConfig) -> None:
        super().__init__()
        self.LayerNorm: nn.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.self: _SelfAttention = _SelfAttention(config)
        self.output: _Dense = _Dense(Linear(config.hidden_size, config.hidden_size))

    def forward(self, hidden: Tensor, context: Context, first_only: bool) -> Tensor:
        output: Tensor = self.output(self.self(self.LayerNorm(hidden), context, first_only))
        return output


class NucleotideTransformerBlock(Block):
    """`a = x + attention(LN(x))`, then `a + mlp(LN(a))`."""

    mlp_layers: tuple[str, str] = ("intermediate.dense", "output.dense")

    def __init__(self, config: NativeConfig) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size
        self.heads: int = config.num_attention_heads
        self.gated: bool = config.family == "nt_v2"
        self.rotary: bool = self.gated
        self.attention: _Attention = _Attention(config)
        self.LayerNorm: nn.LayerNorm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.intermediate: _Dense = _Dense(
            GatedLinear(width, inner, functional.silu) if self.gated else Linear(width, inner)
        )
        self.output: _Dense = _Dense(Linear(inner, width, bias=not self.gated))
        self.dropout: Dropout = Dropout(config.hidden_dropout)

    def forward(self, hidden: Tensor, context: Context, *, first_only: bool = False) -> Tensor:
        """See `Block.forward`."""
        residual = hidden[:, :1] if first_only else hidden
        hidden = residual + self.dropout(self.attention(hidden, context, first_only))
        inner = self._activate(self.LayerNorm(hidden))
        output: Tensor = hidden + self.dropout(self.output(inner))
        return output

    def attention_entry(self, hidden: Tensor) -> Tensor:
        """Return the normalised hidden states."""
        output: Tensor = self.attention.LayerNorm(hidden)
        return output

    def projections(self) -> tuple[Projection, Projection, Projection]:
        """See `Block.projections`."""
        own = self.attention.self
        query, key, value = (Projection(x.weight, x.bias) for x in (own.query, own.key, own.value))
        return query, key, value

    def _activate(self, hidden: Tensor) -> Tensor:
        inner: Tensor = self.intermediate(hidden)
        return inner if self.gated else functional.gelu(inner)


class _Encoder(nn.Module):
    def __init__(self, config: NativeConfig) -> None:
        super().__init__()
        blocks = (NucleotideTransformerBlock(config) for _ in range(config.num_hidden_layers))
        self.layer: nn.ModuleList = nn.ModuleList(blocks)
        width = config.hidden_size
        self.emb_layer_norm_after: nn.LayerNorm = nn.LayerNorm(width, eps=config.layer_norm_eps)


class NucleotideTransformerBackbone(Backbone):
    """Embeddings, blocks and the final LayerNorm."""

    embeddings: _Embeddings
    cosines: Tensor
    sines: Tensor

    def __init__(self, config: NativeConfig) -> None:
        super().__init__()
        config.require("emb_layer_norm_before", False, None)
        config.require("add_bias_fnn", False)
        config.require("is_folding_model", False, None)
        config.require(
            "position_embedding_type", "rotary" if config.family == "nt_v2" else "absolute"
        )
        self.embeddings = _Embeddings(config)
        self.encoder: _Encoder = _Encoder(config)
        self.rotary: bool = config.family == "nt_v2"
        if self.rotary:
            self._add_rotary_tables(config)

    def _add_rotary_tables(self, config: NativeConfig) -> None:
        """Tabulate cosines and sines [tokens, head size / 2] in float64.

        Looked up, not computed in the forward pass, so that they stay exact in any precision. The
        frequencies are rounded to float32, as they are in the original.
        """
        steps = torch.arange(0, config.head_size, 2, device="cpu").float()
        frequencies = 1.0 / (10000 ** (steps / config.head_size))
        tokens = int(config.raw.get("max_position_embeddings", 2050))
        positions = torch.arange(tokens, device="cpu", dtype=torch.float64)
        angles = torch.outer(positions, frequencies.double())
        self.register_buffer("cosines", angles.cos(), persistent=False)
        self.register_buffer("sines", angles.sin(), persistent=False)

    @property
    def blocks(self) -> nn.ModuleList:
        """The stack, first block first."""
        return self.encoder.layer

    def entry_table(self) -> Tensor | None:
        """Return the embeddings of every token id [V, H] unless positions or masks change them."""
        own = self.embeddings
        if own.token_dropout or hasattr(own, "position_embeddings"):
            return None
        table: Tensor = own.word_embeddings.weight
        return table

    def embed(
        self, input_ids: Tensor, attention_mask: Tensor, *, first_only: bool = False
    ) -> tuple[Tensor, Context]:
        """See `Backbone.embed`."""
        hidden: Tensor = self.embeddings(input_ids, attention_mask)
        bias = padding_bias(attention_mask, score_type(hidden))
        if not self.rotary:
            return hidden, Context(input_ids, bias)
        positions = torch.arange(input_ids.shape[1], device=input_ids.device)
        cosines = functional.embedding(positions, self.cosines).to(hidden.dtype)
        sines = functional.embedding(positions, self.sines).to(hidden.dtype)
        return hidden, Context(input_ids, bias, (cosines, sines))

    def finish(self, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        """Apply the final LayerNorm."""
        output: Tensor = self.encoder.emb_layer_norm_after(hidden)
        return output


class _Head(nn.Module):
    def __init__(self, config: NativeConfig) -> None:
        super().__init__()
        self.dense: Linear = Linear(config.hidden_size, config.hidden_size)
        self.dropout: Dropout = Dropout(config.hidden_dropout)
        self.out_proj: Linear = Linear(config.hidden_size, config.num_labels)


class NucleotideTransformerClassifier(NativeClassifier):
    """The Nucleotide Transformer with ESM's classification head."""

    def __init__(self, config: NativeConfig) -> None:
        super().__init__()
        self.config: NativeConfig = config
        self.esm: NucleotideTransformerBackbone = NucleotideTransformerBackbone(config)
        self.classifier: _Head = _Head(config)

    @property
    def backbone(self) -> Backbone:
        """Embeddings, blocks and the final LayerNorm."""
        return self.esm

    def pool(self, first: Tensor) -> Tensor:
        """Return tanh(dense(first)) [B, H]."""
        head = self.classifier
        return torch.tanh(head.dense(head.dropout(first)))

    def project(self, pooled: Tensor) -> Tensor:
        """Return logits [B, labels]."""
        head = self.classifier
        logits: Tensor = head.out_proj(head.dropout(pooled))
        return logits
