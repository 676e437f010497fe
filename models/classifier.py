"""What every network here has in common: its configuration, its blocks, its forward pass."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from ..errors import GenoslimError
from .families import CONFIG_FILE, FAMILIES, token_limit
from .kernels import linear

MASKED = -10000.0
"""Added to the score of a padded key. Its weight after the softmax is exactly 0 in float32 and
float64, and unlike the lowest float it survives a conversion to float16."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What is known of any network, checked, with the `config.json` it came from in `raw`.

    `kept_layers` are the positions, in the network as published, of the blocks that are left.
    `raw` keeps every key of the original file, so that nothing is lost on saving; `depth_key` is
    the key that holds the number of blocks there.
    """

    family: str
    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_labels: int
    kept_layers: tuple[int, ...]
    max_tokens: int | None
    raw: Mapping[str, Any]
    depth_key: str = "num_hidden_layers"

    def __post_init__(self) -> None:
        self._check_sizes("vocab_size", "hidden_size", "num_hidden_layers", "num_labels")
        kept = self.kept_layers
        if len(kept) != self.num_hidden_layers or list(kept) != sorted(set(kept)) or kept[0] < 0:
            raise GenoslimError(
                f"{CONFIG_FILE}: kept_layers is {list(kept)}; it should name"
                f" {self.num_hidden_layers} (num_hidden_layers) different layers in ascending order"
            )

    def without(self, dropped: Collection[int]) -> Self:
        """Return the config of the network without the blocks at these present positions."""
        kept = tuple(name for i, name in enumerate(self.kept_layers) if i not in dropped)
        return replace(self, num_hidden_layers=len(kept), kept_layers=kept)

    def to_dict(self) -> dict[str, Any]:
        """Return what `config.json` should say: `raw`, with the depth and labels of the present.

        `auto_map` goes: it names code of the original repository, which we neither ship nor run.
        """
        labels = self.raw.get("id2label")
        if not isinstance(labels, dict) or len(labels) != self.num_labels:
            labels = {str(i): f"LABEL_{i}" for i in range(self.num_labels)}
        stale = ("auto_map", "num_labels")
        return {key: value for key, value in self.raw.items() if key not in stale} | {
            self.depth_key: self.num_hidden_layers,
            "kept_layers": list(self.kept_layers),
            "id2label": labels,
            "label2id": {name: int(i) for i, name in labels.items()},
        }

    def _check_sizes(self, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise GenoslimError(f"{CONFIG_FILE}: {name} is {value!r}; it should be at least 1")


@dataclass(frozen=True, kw_only=True)
class NativeConfig(ModelConfig):
    """The configuration of the networks that are written here."""

    num_attention_heads: int
    intermediate_size: int
    layer_norm_eps: float
    hidden_dropout: float
    attention_dropout: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_sizes("num_attention_heads", "intermediate_size")
        if self.hidden_size % self.num_attention_heads:
            raise GenoslimError(
                f"{CONFIG_FILE}: hidden_size {self.hidden_size} is not a multiple of"
                f" num_attention_heads {self.num_attention_heads}"
            )

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any], *, family: str, num_labels: int) -> Self:
        """Read the content of a `config.json`; raises GenoslimError for what cannot be."""
        return cls(
            family=family,
            vocab_size=raw.get("vocab_size", 0),
            hidden_size=raw.get("hidden_size", 0),
            num_hidden_layers=raw.get("num_hidden_layers", 0),
            num_labels=num_labels,
            kept_layers=kept_layers(raw, raw.get("num_hidden_layers")),
            max_tokens=token_limit(raw),
            raw=dict(raw),
            num_attention_heads=raw.get("num_attention_heads", 0),
            intermediate_size=raw.get("intermediate_size", 0),
            layer_norm_eps=_number(raw, "layer_norm_eps", 1e-12),
            hidden_dropout=_number(raw, "hidden_dropout_prob", 0.0),
            attention_dropout=_number(raw, "attention_probs_dropout_prob", 0.0),
        )

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_attention_heads

    def require(self, key: str, *values: object) -> None:
        """Refuse a config whose `key`, if stated, is none of `values`."""
        value = self.raw.get(key, values[0])
        if value not in values:
            wanted = " or ".join(map(repr, values))
            raise GenoslimError(f"{CONFIG_FILE}: {key} is {value!r}; {self.family} needs {wanted}")


def kept_layers(raw: Mapping[str, Any], depth: Any) -> tuple[int, ...]:
    """Return the `kept_layers` of a config, which a network as published does not state."""
    kept = raw.get("kept_layers")
    if kept is None:
        return tuple(range(depth)) if isinstance(depth, int) else ()
    if not isinstance(kept, list) or not all(isinstance(layer, int) for layer in kept):
        raise GenoslimError(
            f"{CONFIG_FILE}: kept_layers is {kept!r}; it should be a list of numbers"
        )
    return tuple(kept)


def _number(raw: Mapping[str, Any], key: str, default: float) -> float:
    value = raw.get(key, default)
    if not isinstance(value, (int, float)):
        raise GenoslimError(f"{CONFIG_FILE}: {key} is {value!r}; it should be a number")
    return float(value)


class Context(NamedTuple):
    """What every block of one forward pass reads beside the hidden states.

    `input_ids` are the tokens [B, T]; `bias` [B or 1, heads or 1, T, T or 1 x T] is added to the
    attention scores; `rotary` holds the cosines and sines [T, head size / 2] of rotary positions,
    or None without them.
    """

    input_ids: Tensor
    bias: Tensor
    rotary: tuple[Tensor, Tensor] | None = None

    def first(self) -> Context:
        """Return the context that a query at position 0 sees."""
        ids, bias = self.input_ids[:, :1], self.bias[:, :, :1]
        if self.rotary is None:
            return Context(ids, bias)
        cosines, sines = self.rotary
        return Context(ids, bias, (cosines[:1], sines[:1]))


class Projection(NamedTuple):
    """Weight [H, H] and bias [H] of a block's query, key or value; None is a bias of 0."""

    weight: Tensor
    bias: Tensor | None


class GatedLinear(nn.Module):
    """The entry of a gated MLP: one product without bias gives the gate, then the value."""

    def __init__(self, inputs: int, inner: int, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.weight: nn.Parameter = nn.Parameter(torch.zeros(2 * inner, inputs))
        self.activation = activation

    def forward(self, hidden: Tensor) -> Tensor:
        """Return `activation(gate) * value` [..., inner] of hidden states [..., inputs]."""
        gate, value = linear(hidden, self.weight).chunk(2, dim=-1)
        return self.activation(gate) * value


class Block(nn.Module, ABC):
    """One transformer block.

    Every block has, under the official names, `attention.self`, called with hidden states, context
    and `first_only`, and `attention.output.dense`. `rotary` says whether positions turn its keys,
    `mlp_layers` which submodules are the MLP's entry and its last linear layer.
    """

    heads: int
    rotary: bool
    mlp_layers: tuple[str, str]

    @abstractmethod
    def attention_entry(self, hidden: Tensor) -> Tensor:
        """Return what queries, keys and values are projected from."""

    @abstractmethod
    def projections(self) -> tuple[Projection, Projection, Projection]:
        """Return the query's, the key's and the value's, views of the weights where possible."""

    @abstractmethod
    def forward(self, hidden: Tensor, context: Context, *, first_only: bool = False) -> Tensor:
        """Return the next hidden states [B, T, H].

        With `first_only`, those of position 0 alone [B, 1, H]: keys and values are computed for
        all tokens, queries and all that follows for one. The numbers and gradients are the same.
        """


class Backbone(nn.Module, ABC):
    """Embeddings and a stack of equal blocks.

    `embeddings` is called with input ids and attention mask and returns the hidden states.
    """

    embeddings: nn.Module

    @property
    @abstractmethod
    def blocks(self) -> nn.ModuleList:
        """The stack, first block first."""

    @abstractmethod
    def entry_table(self) -> Tensor | None:
        """Return what `embeddings` gives for every token id [V, H].

        None if that depends on more than the id, except at padded positions, which nothing reads.
        """

    @abstractmethod
    def embed(
        self, input_ids: Tensor, attention_mask: Tensor, *, first_only: bool = False
    ) -> tuple[Tensor, Context]:
        """Return the hidden states [B, T, H] that enter the first block, and the context.

        With `first_only`, no query but that of position 0 will need the context.
        """

    @abstractmethod
    def finish(self, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the encoder's output [B, T, H] from that of the last block."""

    def hidden_states(self, input_ids: Tensor, attention_mask: Tensor) -> list[Tensor]:
        """Return the L + 1 states [B, T, H]: the entry of block 0 to the output of the last."""
        hidden, context = self.embed(input_ids, attention_mask)
        states = [hidden]
        for block in self.blocks:
            states.append(block(states[-1], context))
        return states

    def last_hidden_state(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the encoder's output [B, T, H]."""
        return self.finish(self.hidden_states(input_ids, attention_mask)[-1], attention_mask)

    def first_hidden_state(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the encoder's output at `<cls>` alone [B, H], without the work for the rest."""
        *body, last = self.blocks
        hidden, context = self.embed(input_ids, attention_mask, first_only=not body)
        for block in body:
            hidden = block(hidden, context)
        first = last(hidden, context, first_only=True)
        return self.finish(first, attention_mask[:, :1])[:, 0]


class Classifier(nn.Module, ABC):
    """A sequence classifier with a stack of equal blocks.

    Inputs are int64: token ids [B, T], and a mask that is 1 for tokens and 0 for padding, [B, T]
    or, where all rows are of one length, [1, T].
    """

    config: ModelConfig

    @property
    def family(self) -> str:
        """`dnabert2`, `nt_v1`, `nt_v2` or `hf:<model_type>`."""
        return self.config.family

    @property
    @abstractmethod
    def blocks(self) -> nn.ModuleList:
        """The stack of equal blocks that depth pruning works on, first block first."""

    @property
    @abstractmethod
    def head(self) -> tuple[str, ...]:
        """The prefixes of the names of the parameters that read the encoder's output."""

    @abstractmethod
    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return logits [B, labels]."""

    @abstractmethod
    def hidden_states(self, input_ids: Tensor, attention_mask: Tensor) -> list[Tensor]:
        """Return the L + 1 states [B, T, H]: the entry of block 0 to the output of the last.

        The final LayerNorm, where there is one, is not applied. What stands at padded positions
        has no meaning.
        """

    @abstractmethod
    def last_hidden_state(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the encoder's output [B, T, H], final LayerNorm included."""

    def remove_blocks(self, dropped: Collection[int]) -> None:
        """Delete the blocks at these positions and say so in `config`; see `remove_layers`."""
        for position in sorted(dropped, reverse=True):
            del self.blocks[position]
        self.config = self.config.without(dropped)


class NativeClassifier(Classifier):
    """A classifier written here: a backbone, a pooling layer that reads `<cls>`, a linear layer."""

    @property
    @abstractmethod
    def backbone(self) -> Backbone:
        """Embeddings and blocks."""

    @abstractmethod
    def pool(self, first: Tensor) -> Tensor:
        """Return the vector [B, H] that the last linear layer reads, from the output at `<cls>`."""

    @abstractmethod
    def project(self, pooled: Tensor) -> Tensor:
        """Return the logits [B, labels] of pooled vectors [B, H]."""

    @property
    def blocks(self) -> nn.ModuleList:
        """See `Classifier.blocks`."""
        return self.backbone.blocks

    @property
    def head(self) -> tuple[str, ...]:
        """See `Classifier.head`."""
        return FAMILIES[self.family].heads

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return logits [B, labels]; the last block works for `<cls>` alone."""
        return self.project(self.pooled_output(input_ids, attention_mask))

    def pooled_output(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the vectors [B, H] that the last linear layer reads."""
        return self.pool(self.backbone.first_hidden_state(input_ids, attention_mask))

    def hidden_states(self, input_ids: Tensor, attention_mask: Tensor) -> list[Tensor]:
        """See `Classifier.hidden_states`."""
        return self.backbone.hidden_states(input_ids, attention_mask)

    def last_hidden_state(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """See `Classifier.last_hidden_state`."""
        return self.backbone.last_hidden_state(input_ids, attention_mask)


def split_heads(projected: Tensor, heads: int) -> Tensor:
    """Return [B, heads, T, head size] from [B, T, H]."""
    batch, tokens, width = projected.shape
    return projected.view(batch, tokens, heads, width // heads).transpose(1, 2)


def rotate(vectors: Tensor, rotary: tuple[Tensor, Tensor] | None) -> Tensor:
    """Rotate pairs (i, i + d/2) of [B, heads, T, d] (Su et al. 2021, arXiv 2104.09864).

    Written with slices and a negated half, the form in which OpenVINO has one operator for it.
    """
    if rotary is None:
        return vectors
    cosines, sines = (torch.cat((half, half), dim=-1)[None, None] for half in rotary)
    return turned(vectors, cosines, sines)


def turned(vectors: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Return vectors [..., d] with pairs (i, i + d/2) turned by angles that broadcast with them."""
    middle = vectors.shape[-1] // 2
    across = torch.cat((-vectors[..., middle:], vectors[..., :middle]), dim=-1)
    return vectors * cosines + across * sines


def score_type(hidden: Tensor) -> torch.dtype:
    """Return the type that attention scores have: that of `hidden`, or autocast's where it is on.

    A bias of another type is converted, and kept for the backward pass, in every block.
    """
    kind = hidden.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype


def padding_bias(attention_mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Return [B or 1, 1, 1, T] of a mask [B or 1, T]: 0 for tokens, `MASKED` for padding."""
    return ((1 - attention_mask) * MASKED).to(dtype)[:, None, None, :]
