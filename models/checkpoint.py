"""Checkpoints: Hugging Face folders in and out.

A folder holds `config.json` (true depth, `kept_layers`), `model.safetensors` under the official
keys, the tokenizer's files, `README.md` (the model card) and, if the model was trained here,
`genoslim.json` with how.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ..errors import GenoslimError
from ..files import atomic_folder, write_json, write_text
from .card import CARD_FILE, model_card
from .classifier import Classifier, NativeConfig
from .families import CONFIG_FILE, Family, detect, family_name, read_config
from .masked_lm import MaskedLM
from .networks import classifier_class, masked_lm_class
from .record import RECORD_FILE, TrainingRecord, write_training
from .tokenizer import TOKENIZER_CONFIG_FILE, TOKENIZER_FILE, SequenceTokenizer
from .weights import (
    DEFAULT_LABELS,
    Weights,
    agreed_labels,
    fit,
    initialise,
    read_weights,
    without,
)

WEIGHTS_FILE = "model.safetensors"
PARTS = (WEIGHTS_FILE, TOKENIZER_FILE, TOKENIZER_CONFIG_FILE, CARD_FILE, RECORD_FILE)
"""What lies beside the config in a checkpoint folder of ours."""

_DEVIATION = 0.02
_LOG = logging.getLogger(__name__)


def load_classifier(
    folder: Path, *, num_labels: int | None = None, seed: int = 0, fresh_head: bool = False
) -> Classifier:
    """Load a classifier from a checkpoint folder: see `genoslim.models.load`."""
    raw = read_config(folder)
    family = detect(raw)
    with _naming(folder):
        if family is not None:
            return _native(
                folder, raw, family, num_labels=num_labels, seed=seed, fresh_head=fresh_head
            )
        from .hf_encoder import load_hf_encoder

        return load_hf_encoder(folder, raw, num_labels=num_labels, seed=seed, fresh_head=fresh_head)


def load_masked_lm(folder: Path) -> MaskedLM:
    """Load a pretrained masked language model from a checkpoint folder, its head included.

    Raises GenoslimError for a checkpoint without the head, or of no family of our own.
    """
    raw = read_config(folder)
    with _naming(folder):
        family = _own(raw)
        with torch.device("meta"):
            model = masked_lm_class(family)(_config(raw, family, DEFAULT_LABELS))
        weights = read_weights(folder)
        _fill(model, weights, family, optional=(), foreign=family.heads, seed=0, at=folder)
        return model


def new_classifier(
    raw: Mapping[str, Any], *, num_labels: int = DEFAULT_LABELS, seed: int = 0
) -> Classifier:
    """Return an untrained classifier of one of our families, from the content of a config.json."""
    family = _own(raw)
    with torch.device("meta"):
        model = classifier_class(family)(_config(raw, family, num_labels))
    _initialise(model, seed=seed)
    return model


def new_masked_lm(raw: Mapping[str, Any], *, seed: int = 0) -> MaskedLM:
    """Return an untrained masked language model, from the content of a config.json."""
    family = _own(raw)
    with torch.device("meta"):
        model = masked_lm_class(family)(_config(raw, family, DEFAULT_LABELS))
    _initialise(model, seed=seed)
    return model


def save(
    model: Classifier | MaskedLM,
    tokenizer: SequenceTokenizer,
    folder: Path,
    *,
    training: TrainingRecord | None = None,
    card: str | None = None,
) -> None:
    """Write a checkpoint folder, complete or not at all; an existing one is replaced.

    `training` is written as `genoslim.json`. `card` replaces the generated model card. Weights are
    written as float32, and `genoslim.models.load` restores the model bit for bit.
    """
    config = _written_config(model)
    weights = {
        key: tensor.detach().to("cpu", torch.float32 if tensor.is_floating_point() else None)
        for key, tensor in model.state_dict().items()
    }
    with atomic_folder(folder) as temporary:
        write_json(temporary / CONFIG_FILE, config)
        _write_weights(weights, temporary / WEIGHTS_FILE)
        tokenizer.save(temporary)
        if training is not None:
            write_training(temporary, training)
        write_text(temporary / CARD_FILE, card or model_card(config, training))


def _write_weights(weights: Mapping[str, torch.Tensor], path: Path) -> None:
    """Write a safetensors file; the error of the system comes out as the OSError that it is."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    contiguous = {key: tensor.contiguous() for key, tensor in weights.items()}
    try:
        save_file(contiguous, str(path), metadata={"format": "pt"})
    except SafetensorError as error:
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error


def _native(
    folder: Path,
    raw: Mapping[str, Any],
    family: Family,
    *,
    num_labels: int | None,
    seed: int,
    fresh_head: bool,
) -> Classifier:
    weights = read_weights(folder)
    if fresh_head:
        weights = without(weights, family.heads)
    saved = weights[family.logits].shape[0] if family.logits in weights else None
    config = _config(raw, family, agreed_labels(saved, num_labels, folder))
    with torch.device("meta"):
        model = classifier_class(family)(config)
    optional = family.heads if saved is None else ()
    fresh = _fill(
        model, weights, family, optional=optional, foreign=family.lm_heads, seed=seed, at=folder
    )
    if fresh and not fresh_head:
        _LOG.info("%s: no %s: drawn afresh from seed %d", folder, ", ".join(fresh), seed)
    return model


@contextmanager
def _naming(folder: Path) -> Iterator[None]:
    """Say which folder a complaint about `config.json` is about."""
    try:
        yield
    except GenoslimError as error:
        if str(error).startswith(CONFIG_FILE):
            raise GenoslimError(f"{folder / str(error)}") from error
        raise


def _own(raw: Mapping[str, Any]) -> Family:
    family = detect(raw)
    if family is None:
        raise GenoslimError(
            f"{CONFIG_FILE}: {family_name(raw)} is no network of genoslim's own; DNABERT-2 and the"
            " Nucleotide Transformer are"
        )
    return family


def _config(raw: Mapping[str, Any], family: Family, num_labels: int) -> NativeConfig:
    return NativeConfig.from_dict(raw, family=family.name, num_labels=num_labels)


def _fill(
    model: Classifier | MaskedLM,
    weights: Weights,
    family: Family,
    *,
    optional: Collection[str],
    foreign: Collection[str],
    seed: int,
    at: Path,
) -> list[str]:
    """Give a model on the meta device its weights; return the names of those drawn from `seed`.

    `foreign` heads are those of the other task.
    """
    shapes = {key: tensor.shape for key, tensor in model.state_dict().items()}
    used = fit(
        without(weights, foreign),
        shapes,
        prefix=family.prefix,
        ignored=family.ignored,
        optional=optional,
        source=str(at),
    )
    fresh = initialise(
        {key: shape for key, shape in shapes.items() if key not in used},
        seed=seed,
        deviation=_deviation(model),
    )
    model.load_state_dict(used | fresh, assign=True)
    model.eval()
    return list(fresh)


def _initialise(model: Classifier | MaskedLM, *, seed: int) -> None:
    shapes = {key: tensor.shape for key, tensor in model.state_dict().items()}
    fresh = initialise(shapes, seed=seed, deviation=_deviation(model))
    model.load_state_dict(fresh, assign=True)
    model.eval()


def _deviation(model: Classifier | MaskedLM) -> float:
    """Return the standard deviation of fresh weights: what the config says, or BERT's 0.02."""
    return float(model.config.raw.get("initializer_range", _DEVIATION))


def _written_config(model: Classifier | MaskedLM) -> dict[str, Any]:
    """Return the `config.json` of a checkpoint.

    NT v1 is written as plain ESM, which transformers reads. DNABERT-2 and NT v2 get model types of
    our own: another library then refuses them instead of building BERT or ESM from their weights.
    """
    config = model.config.to_dict()
    family = detect(config)
    task = "SequenceClassification" if isinstance(model, Classifier) else "MaskedLM"
    if family is not None and family.model_type == "esm":
        config["architectures"] = [f"EsmFor{task}"]
    elif family is not None:
        config |= {"model_type": family.model_type, "architectures": [type(model).__name__]}
    return config
