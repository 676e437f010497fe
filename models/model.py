"""A loaded model: its network, its tokenizer and where they are from."""

from __future__ import annotations

import copy
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from ..files import refuse_foreign
from . import load, load_tokenizer, resolve
from .checkpoint import PARTS, save
from .classifier import Classifier
from .families import CONFIG_FILE
from .layers import remove_layers
from .record import TrainingRecord, read_training
from .tokenizer import SequenceTokenizer


@dataclass(frozen=True, eq=False, kw_only=True)
class Model:
    """A classifier of DNA sequences, on the CPU, in float32 and evaluation mode.

    Attributes:
        network: A torch module; `network(input_ids, attention_mask)`, int64 [batch, tokens] both,
            gives logits float32 [batch, labels].
        tokenizer: `tokenizer.encode(sequences)` and `.pad(rows)` make its inputs.
        source: What it was loaded from: a folder, an id on the Hugging Face hub, `shipped:NAME`.
        record: How it was trained, as far as that is known; None if it was not trained here.
    """

    network: Classifier
    tokenizer: SequenceTokenizer
    source: str
    record: TrainingRecord | None = None

    @property
    def family(self) -> str:
        """The kind of network, such as `dnabert2` or `hf:bert`."""
        return self.network.config.family

    @property
    def depth(self) -> int:
        """The number of layers."""
        return self.network.config.num_hidden_layers

    @property
    def kept_layers(self) -> tuple[int, ...]:
        """The layers that are left, counted from 0 in the network as published."""
        return self.network.config.kept_layers

    def __repr__(self) -> str:
        layers = f"{self.depth} layer{'s' * (self.depth > 1)}"
        return f"Model({self.source!r}, {self.family}, {layers})"


def load_model(
    source: str | Path,
    *,
    num_labels: int | None = None,
    seed: int = 0,
    fresh_head: bool = False,
    revision: str | None = None,
) -> Model:
    """Load a classifier and its tokenizer.

    A saved classification head is loaded; a pretrained checkpoint gets a fresh one.

    Args:
        source: A checkpoint folder, the id of a repository on the Hugging Face hub, or
            `shipped:NAME` for a small model that comes with genoslim.
        num_labels: Labels of a fresh head, by default 2; a saved head has to have as many.
        seed: What a fresh head is drawn from.
        fresh_head: Draw a new head even where one was saved.
        revision: Branch, tag or commit of a repository on the hub.

    Returns:
        Network, tokenizer and what is known of them.

    Raises:
        GenoslimError: there is no such checkpoint, it is damaged or of an architecture that is not
            supported, or its head has another number of labels.

    Example:
        >>> from genoslim import load_model
        >>> load_model("shipped:dnabert2")
        Model('shipped:dnabert2', dnabert2, 12 layers)
    """
    folder = resolve(source, revision=revision)
    return Model(
        network=load(folder, num_labels=num_labels, seed=seed, fresh_head=fresh_head),
        tokenizer=load_tokenizer(folder),
        source=str(source),
        record=read_training(folder),
    )


def drop_layers(model: Model, layers: Collection[int]) -> Model:
    """Return a model without some of its layers; the one given stays as it is.

    Everything else keeps its weights, the final LayerNorm and the head included, so a model has to
    be fine-tuned after this before it is worth anything.

    Args:
        model: What to take them from.
        layers: Positions in its present stack, from 0.

    Returns:
        A copy, `depth` and `kept_layers` of which say what is left.

    Raises:
        UsageError: a position is unknown or named twice, or no layer would be left.

    Example:
        >>> from genoslim import drop_layers, load_model
        >>> model = load_model("shipped:nt")
        >>> slim = drop_layers(model, range(4, 12))
        >>> slim.kept_layers
        (0, 1, 2, 3)
    """
    network = remove_layers(copy.deepcopy(model.network), layers)
    return replace(model, network=network, record=_record_without(model, layers))


def save_model(model: Model, folder: str | Path) -> None:
    """Write a checkpoint folder, whole or not at all; one that is there is replaced.

    It holds `config.json`, `model.safetensors` (float32), the tokenizer's files, a model card and,
    where it is known how the model was made, `genoslim.json`. `load_model` reads it back bit for
    bit.

    Args:
        model: What to write.
        folder: Where to.

    Raises:
        UsageError: there is a file, or a folder that holds anything but a checkpoint of ours.

    Example:
        >>> from genoslim import drop_layers, load_model, save_model
        >>> save_model(drop_layers(load_model("shipped:nt"), [11]), "eleven-layers")
        >>> load_model("eleven-layers").depth
        11
    """
    target = Path(folder)
    refuse_foreign(target, "checkpoint", marker=CONFIG_FILE, parts=PARTS)
    save(model.network, model.tokenizer, target, training=model.record)


def _record_without(model: Model, layers: Collection[int]) -> TrainingRecord | None:
    """Return what is left to say of a model without some layers: its training was another's."""
    if not layers:
        return model.record
    old = model.record or TrainingRecord()
    again = old.base_model == model.source  # layers of the same source were dropped before
    base = old.kept_layers if again else tuple(range(model.depth))
    dropped = {base[position] for position in layers} | set(old.dropped_layers if again else ())
    return TrainingRecord(
        base_model=model.source,
        base_layers=old.base_layers if again else model.depth,
        kept_layers=tuple(layer for layer in base if layer not in dropped),
        dropped_layers=tuple(sorted(dropped)),
        licence=old.licence,
        data_licence=old.data_licence,
        data_source=old.data_source,
        data_fingerprint=old.data_fingerprint,
        window_length=old.window_length,
        assembly=old.assembly,
        label_names=old.label_names,
    )
