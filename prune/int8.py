"""The verb `tune_int8`: fine-tune a checkpoint with the rounding of its int8 graph in the loop."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ..data.dataset import LabelledData, read_data
from ..data.fit import require_fit
from ..errors import GateError, GenoslimError
from ..files import refuse_foreign, refuse_unwritable
from ..models import load, load_tokenizer, resolve
from ..models.checkpoint import PARTS, save
from ..models.classifier import Classifier
from ..models.fake_quantisation import int8_rounding
from ..models.families import CONFIG_FILE
from ..models.fingerprint import fingerprint_model
from ..models.record import Int8Tuning, TrainingRecord, known_training
from ..models.weight_files import require_trained_head, tensor_shapes
from ..stats.ranks import auroc_of
from .finetune import FineTuned, Labelled, fine_tune_tokens, predict_tokens
from .recipe import Recipe
from .runner import describe_environment, resolve_devices

EPOCHS = 2
RATE = 1e-4


@dataclass(frozen=True, kw_only=True)
class TunedForInt8:
    """The checkpoint that was written, and what it is worth in int8 on validation."""

    checkpoint: Path
    tuning: Int8Tuning


def tune_int8(
    checkpoint: str | Path,
    data: str | Path,
    *,
    output: str | Path,
    epochs: int = EPOCHS,
    learning_rate: float = RATE,
    batch_size: int = Recipe.batch_size,
    seed: int = 0,
    device: str = "auto",
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> TunedForInt8:
    """Fine-tune a checkpoint further with int8 rounding in the loop, for an int8 export of it.

    For a model of which `export` says that int8 costs too much, or nearly so. Forward, the network
    computes what its int8 graph will; the gradient passes straight through the rounding. Validation
    decides whether that is better than rounding the weights as they are; test is not looked at. As
    much fine-tuning without the rounding is done beside it, and told: it may gain the same.

    Args:
        checkpoint: A fine-tuned DNABERT-2 or Nucleotide Transformer.
        data: The labelled windows that it was trained on (Parquet).
        output: The checkpoint to write, for `export_bundle(..., precision="int8")`.
        epochs: Passes over the training rows.
        learning_rate: The highest; it rises at first and falls to 0.
        batch_size: Windows a step.
        seed: Of the order of the rows and of dropout.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        threads: Of the CPU; by default torch's own.
        progress: Called with the steps made and the most there can be.

    Returns:
        The checkpoint, and the validation AUROC in float32, in int8, in int8 after tuning, and in
        int8 after as much fine-tuning without it (None if that diverged).

    Raises:
        GateError: the model is not better in int8 after it, on validation; nothing is written.
        UsageError: `output` holds something else, or a setting makes no sense.
        GenoslimError: the checkpoint has no trained head, was trained on other data, is of another
            architecture or too narrow for int8, or the tuning diverged.

    Example:
        >>> from genoslim import tune_int8
        >>> tuned = tune_int8("wide-model", "data.parquet", output="for-int8", learning_rate=1e-3)
        >>> tuned.tuning.tuned > tuned.tuning.plain
        True
    """
    output, folder = Path(output), resolve(checkpoint)
    recipe = Recipe(
        epochs=epochs, learning_rate=learning_rate, batch_size=batch_size, precision="fp32"
    )
    refuse_foreign(output, "checkpoint", marker=CONFIG_FILE, parts=PARTS)
    refuse_unwritable(output)
    record, labelled = known_training(folder), read_data(data)
    _require_same(folder, record, labelled)
    require_trained_head(folder, tensor_shapes(folder))
    target = torch.device(resolve_devices(device)[0])
    if threads is not None:
        torch.set_num_threads(threads)
    model, tokenizer = load(folder).to(target), load_tokenizer(folder)
    control = copy.deepcopy(model)
    train, validation = (
        Labelled.encode(tokenizer, labelled.split(name), device=target)
        for name in ("train", "validation")
    )
    exact, plain = (_auroc(model, validation, rounding=rounding) for rounding in (False, True))
    with int8_rounding(model):
        tuned = fine_tune_tokens(model, train, validation, recipe, seed=seed, progress=progress)
    _require_sound(folder, tuned, recipe)
    beside = fine_tune_tokens(control, train, validation, recipe, seed=seed)
    sound = beside.stopped != "diverged"
    tuning = Int8Tuning(
        checkpoint=fingerprint_model(folder),
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        seed=seed,
        seconds=tuned.seconds,
        exact=exact,
        plain=plain,
        tuned=_auroc(model, validation, rounding=True),
        longer=_auroc(control, validation, rounding=True) if sound else None,
    )
    _require_better(folder, tuning)
    save(model.cpu(), tokenizer, output, training=_record(record, tuning))
    return TunedForInt8(checkpoint=output, tuning=tuning)


def _require_same(folder: Path, record: TrainingRecord, data: LabelledData) -> None:
    """Raise GenoslimError unless a data set is the one that a checkpoint was trained on."""
    require_fit(folder, data.metadata, window_length=record.window_length, assembly=record.assembly)
    if record.data_fingerprint not in (None, data.fingerprint):
        raise GenoslimError(
            f"{folder}: trained on other data ({record.data_fingerprint[:12]}) than this"
            f" ({data.fingerprint[:12]}), whose validation rows it may know: give its own"
        )


def _auroc(model: Classifier, rows: Labelled, *, rounding: bool) -> float:
    """Return the AUROC on some rows, in float32 or as int8 computes it."""
    with int8_rounding(model) if rounding else nullcontext():
        logits = predict_tokens(model, rows.tokens).astype(np.float64)
    return auroc_of(rows.labels.cpu().numpy() == 1, logits[:, 1] - logits[:, 0])


def _require_sound(folder: Path, tuned: FineTuned, recipe: Recipe) -> None:
    if tuned.stopped == "diverged":
        raise GenoslimError(
            f"{folder}: the tuning diverged (the validation loss after {tuned.steps} steps is not a"
            f" number), so nothing was written: learning rate {recipe.learning_rate:g} is too high"
        )


def _require_better(folder: Path, tuning: Int8Tuning) -> None:
    if not tuning.tuned > tuning.plain:
        raise GateError(
            f"{folder}: tuning gains nothing, so nothing was written: AUROC on validation"
            f" {tuning.plain:.4f} in int8 as it is, {tuning.tuned:.4f} after {tuning.epochs} epochs"
            f" with int8 in the loop ({tuning.exact:.4f} in float32): export it as it is"
        )


def _record(record: TrainingRecord, tuning: Int8Tuning) -> TrainingRecord:
    """Return the record of the tuned weights: figures of the weights before are not theirs."""
    before = record.fine_tune_seconds
    return replace(
        record,
        trial=None,
        fine_tune_seconds=None if before is None else before + tuning.seconds,
        evaluation_seconds=None,
        cost=None,
        validation=None,
        test=None,
        macro_auroc={},
        seeds=(),
        environment=describe_environment(),
        int8=tuning,
    )


def tuned_text(found: TunedForInt8) -> str:
    """Return what the tuning gained, for a terminal."""
    tuning = found.tuning
    longer = "no figure (it diverged)" if tuning.longer is None else f"{tuning.longer:.4f}"
    return (
        f"{found.checkpoint}: AUROC on validation {tuning.plain:.4f} in int8 before,"
        f" {tuning.tuned:.4f} after {tuning.epochs} epochs with int8 in the loop"
        f" and {longer} after as many without it ({tuning.exact:.4f} in float32 before),"
        f" {tuning.seconds:.1f} s"
    )
