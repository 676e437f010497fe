"""The pretraining networks: a backbone and a head that fills in masked tokens."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional

from .classifier import Backbone, NativeConfig
from .dnabert2 import DnaBert2Backbone
from .nucleotide_transformer import NucleotideTransformerBackbone


class MaskedLM(nn.Module, ABC):
    """A masked language model. Inputs as for `Classifier`; output logits over the vocabulary."""

    config: NativeConfig

    @property
    @abstractmethod
    def backbone(self) -> Backbone:
        """Embeddings and blocks."""

    @abstractmethod
    def predict(self, hidden: Tensor) -> Tensor:
        """Return vocabulary logits [B, T, V] from the encoder's output [B, T, H]."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return vocabulary logits [B, T, V]."""
        return self.predict(self.backbone.last_hidden_state(input_ids, attention_mask))


class _Transform(nn.Module):
    def __init__(self, config: NativeConfig) -> None:
        super().__init__()
        self.dense: nn.Linear = nn.Linear(config.hidden_size, config.hidden_size)
        self.LayerNorm: nn.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, hidden: Tensor) -> Tensor:
        transformed: Tensor = self.LayerNorm(functional.gelu(self.dense(hidden)))
        return transformed


class _Bias(nn.Module):
    def __init__(self, config: NativeConfig) -> None:
        super().__init__()
        self.bias: nn.Parameter = nn.Parameter(torch.empty(config.vocab_size))


class _Predictions(nn.Module):
    def __init__(self, config: NativeConfig) -> None:
        super().__init__()
        self.transform: _Transform = _Transform(config)
        self.decoder: _Bias = _Bias(config)


class _Cls(nn.Module):
    def __init__(self, config: NativeConfig) -> None:
        super().__init__()
        self.predictions: _Predictions = _Predictions(config)


class DnaBert2MaskedLM(MaskedLM):
    """DNABERT-2 as pretrained; the decoder's matrix is the word embeddings."""

    def __init__(self, config: NativeConfig) -> None:
        super().__init__()
        self.config = config
        self.bert: DnaBert2Backbone = DnaBert2Backbone(config, pooler=False)
        self.cls: _Cls = _Cls(config)

    @property
    def backbone(self) -> Backbone:
        """Embeddings and blocks."""
        return self.bert

    def predict(self, hidden: Tensor) -> Tensor:
        """Return vocabulary logits [B, T, V]."""
        head = self.cls.predictions
        words = self.bert.embeddings.word_embeddings.weight
        return functional.linear(head.transform(hidden), words, head.decoder.bias)


class _LMHead(nn.Module):
    def __init__(self, config: NativeConfig) -> None:
        super().__init__()
        self.dense: nn.Linear = nn.Linear(config.hidden_size, config.hidden_size)
        self.layer_norm: nn.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.decoder: nn.Linear = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.bias: nn.Parameter = nn.Parameter(torch.empty(config.vocab_size))

    def forward(self, hidden: Tensor) -> Tensor:
        transformed = self.layer_norm(functional.gelu(self.dense(hidden)))
        return functional.linear(transformed, self.decoder.weight, self.bias)


class NucleotideTransformerMaskedLM(MaskedLM):
    """The Nucleotide Transformer as pretrained; the decoder has a matrix of its own."""

    def __init__(self, config: NativeConfig) -> None:
        super().__init__()
        self.config = config
        self.esm: NucleotideTransformerBackbone = NucleotideTransformerBackbone(config)
        self.lm_head: _LMHead = _LMHead(config)

    @property
    def backbone(self) -> Backbone:
        """Embeddings, blocks and the final LayerNorm."""
        return self.esm

    def predict(self, hidden: Tensor) -> Tensor:
        """Return vocabulary logits [B, T, V]."""
        logits: Tensor = self.lm_head(hidden)
        return logits
