"""The models at full size, and the same networks as one runs them without genoslim.

The Nucleotide Transformer v2 is ESM of `transformers` with rotary positions and a gated SiLU MLP in
place of the GELU one, which is what its published code is; it holds our model's weights.

`transformers` has no DNABERT-2. Its plain network is the arithmetic of the published code: every
position through every layer, ALiBi and padding as one bias, then pooler and linear layer. Padding
is kept: the published code takes it out before linear layers, which costs gathering and scattering
and wins at most the share of padding, which is printed with each table.
"""

from __future__ import annotations

import json
import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from full_size import CONFIGS, SMALL
from torch import Tensor, nn
from torch.export import Dim
from torch.nn import functional

from genoslim.models.checkpoint import new_classifier
from genoslim.models.classifier import NativeClassifier

MODELS: dict[str, tuple[str, int]] = {
    "dnabert2_12": ("dnabert2", 12),
    "dnabert2_6": ("dnabert2", 6),
    "dnabert2_3": ("dnabert2", 3),
    "nt_v2_50m": ("nt_v2_50m", 12),
}
"""Name of a model: the configuration it has in full_size.py, and its number of layers."""

_FUSED = "torch.nn.functional.scaled_dot_product_attention"
_MODEL_TYPES = {"dnabert2": "bert", "nt_v2": "esm"}
_UNUSED, _INVERSE = "esm.contact_head.", "rotary_embeddings.inv_freq"


def random_model(name: str, *, small: bool) -> NativeClassifier:
    """Return a model of random weights; `small` keeps its kind and makes it tiny."""
    config, layers = MODELS[name]
    settings = CONFIGS[config] | {"num_hidden_layers": layers}
    if small:
        settings |= SMALL | {"num_hidden_layers": 2 + (layers == 12)}
    model = new_classifier(settings).eval()
    assert isinstance(model, NativeClassifier)
    return model


class PlainNetwork(nn.Module):
    """Our model without any of our shortcuts: all positions through all layers."""

    def __init__(self, model: NativeClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return logits [B, labels]."""
        hidden = self.model.last_hidden_state(input_ids, attention_mask)
        return self.model.project(self.model.pool(hidden[:, 0]))


class TransformersNetwork(nn.Module):
    """A classifier of `transformers` that returns its logits alone."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return logits [B, labels]."""
        logits: Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits


class _GatedMLP(nn.Module):
    """What NT v2 has where ESM has a linear layer and GELU."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, 2 * inner, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        gate, value = self.dense(hidden).chunk(2, dim=-1)
        return functional.silu(gate) * value


def plain_network(model: NativeClassifier, attention: str) -> nn.Module:
    """Return the model as one runs it without genoslim; `attention` is `eager` or `sdpa`."""
    if model.family == "nt_v2":
        return TransformersNetwork(_esm(model, attention)).eval()
    return PlainNetwork(model).eval()


def _esm(model: NativeClassifier, attention: str) -> Any:
    """Return transformers' ESM, changed as NT v2 has it, on the tensors of our model."""
    from transformers import EsmConfig, EsmForSequenceClassification

    config = EsmConfig(**model.config.raw, attn_implementation=attention)
    network = EsmForSequenceClassification(config)
    width, inner = config.hidden_size, config.intermediate_size
    for layer in network.esm.encoder.layer:
        layer.intermediate = _GatedMLP(width, inner)
        layer.output.dense = nn.Linear(inner, width, bias=False)
    missing, unexpected = network.load_state_dict(model.state_dict(), strict=False, assign=True)
    if unexpected or any(not name.startswith(_UNUSED) for name in missing if _INVERSE not in name):
        raise SystemExit(f"transformers' ESM has no {unexpected}, and wants {missing}")
    return network


def eager_attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, **_: Any
) -> Tensor:
    """Attention written out: softmax(Q K' / sqrt(d) + mask) V."""
    scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    return torch.softmax(scores if attn_mask is None else scores + attn_mask, dim=-1) @ value


@contextmanager
def eagerly() -> Iterator[None]:
    """Let torch's fused attention be computed by `eager_attention`."""
    with mock.patch(_FUSED, eager_attention):
        yield


def export_plain(model: NativeClassifier, folder: Path) -> str:
    """Export the plain network, as torch does it, into `folder`; return whose network it was.

    The graph is transformers' where that can be traced, else that of the equal network of ours.
    A `config.json` for optimum lies beside it.
    """
    folder.mkdir()
    _write_config(model, folder)
    if model.family == "nt_v2":
        try:
            _export(plain_network(model, "sdpa"), folder / "model.onnx")
        except Exception as error:  # the exporter raises what it pleases
            reason = str(error).strip().splitlines()[0]
            print(f"transformers' network cannot be exported ({reason}): the equal one is")
        else:
            return "transformers"
    _export(PlainNetwork(model).eval(), folder / "model.onnx")
    return "the plain network"


def _export(network: nn.Module, graph: Path) -> None:
    example = torch.full((2, 7), 5, dtype=torch.long)
    axes = {0: Dim.DYNAMIC, 1: Dim.DYNAMIC}
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                network,
                (example, torch.ones_like(example)),
                dynamo=True,
                opset_version=20,
                input_names=["input_ids", "attention_mask"],
                output_names=["logits"],
                dynamic_shapes={"input_ids": axes, "attention_mask": axes},
                verbose=False,
            )
    finally:
        logging.disable(logging.NOTSET)
    assert program is not None
    program.save(graph)


def _write_config(model: NativeClassifier, folder: Path) -> None:
    config = model.config.to_dict() | {"model_type": _MODEL_TYPES[model.family]}
    (folder / "config.json").write_text(json.dumps(config))
