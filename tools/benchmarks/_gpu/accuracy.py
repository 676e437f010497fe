"""What a precision costs in accuracy: trainings in it, and one trained model evaluated in it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import product

import torch
from torch import Tensor

from genoslim.models.inference import for_inference
from genoslim.models.precision import Precision
from genoslim.prune.finetune import TRAINING_TOKENS, fine_tune_tokens, predict_tokens
from genoslim.prune.recipe import Recipe
from genoslim.stats.ranks import auroc_of_ranks, dense_ranks

from .context import Context
from .prepared import FAMILIES, SPLITS
from .record import Row

_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def trainings(context: Context) -> Iterator[Row]:
    """Yield the AUROC and the seconds of a training for each family, seed and precision."""
    known = [family for family in FAMILIES if family in context.prepared.content["models"]]
    for family, seed, precision in product(known, context.sizes.seeds, context.precisions):
        row: Row = {"family": family, "seed": seed, "precision": precision}
        yield context.attempt(row, partial(_training, context, family, seed, precision))


def _training(context: Context, family: str, seed: int, precision: Precision) -> Row:
    torch.manual_seed(seed)
    model = context.prepared.model(family)
    train, validation, test = (
        context.prepared.split(family, name, context.device) for name in SPLITS
    )
    recipe = Recipe(epochs=context.sizes.epochs, learning_rate=1e-3, precision=precision)
    tuned = fine_tune_tokens(model, train, validation, recipe, seed=seed)
    return {
        "validation_auroc": _auroc(validation.labels, predict_tokens(model, validation.tokens)),
        "test_auroc": _auroc(test.labels, predict_tokens(model, test.tokens)),
        "seconds": tuned.seconds,
        "steps": tuned.steps,
        "validation_loss": tuned.validation_loss,
    }


def _auroc(labels: Tensor, logits: object) -> float:
    margin = torch.as_tensor(logits)[:, 1] - torch.as_tensor(logits)[:, 0]
    return auroc_of_ranks(labels.cpu().numpy(), dense_ranks(margin.double().numpy()))


def evaluations(context: Context) -> Iterator[Row]:
    """Yield, for one trained model, how far its logits are from the CPU's float32 ones.

    fp16 is also held against the rehearsal by which the exporter judges it without a GPU.
    """
    for precision in context.precisions:
        row: Row = {"precision": precision, "network": "plain", "weights": "auto"}
        yield context.attempt(row, partial(_compared, context, precision, cast=False))
    for precision in _TYPES if context.cuda else ("bf16",):
        row = {"precision": precision, "network": "exported", "weights": "cast"}
        yield context.attempt(row, partial(_compared, context, precision, cast=True))


def _compared(context: Context, precision: Precision, *, cast: bool) -> Row:
    prepared = context.prepared
    family = prepared.tuned_family
    model = prepared.model(family, tuned=True).to(context.device)
    test = prepared.split(family, "test", context.device)
    if cast:
        module = for_inference(model).eval().to(_TYPES[precision])
        found = torch.empty(len(test.tokens), 2)
        with torch.inference_mode():
            for rows in test.tokens.by_length(TRAINING_TOKENS):
                found[rows] = module(*test.tokens.batch(rows)).float().cpu()
    else:
        found = torch.from_numpy(predict_tokens(model, test.tokens, precision=precision))
    exact, rehearsed = (prepared.tuned_logits(way) for way in ("fp32", "rehearsed"))
    row = _difference(found, exact) | {"auroc": _auroc(test.labels, found)}
    if precision == "fp16":
        row["to_rehearsal"] = _difference(found, rehearsed)
        row["rehearsal"] = _difference(rehearsed, exact)
    return row


def _difference(found: Tensor, expected: Tensor) -> Row:
    return {
        "largest_logit_difference": float((found - expected).abs().max()),
        "flipped": int((found.argmax(1) != expected.argmax(1)).sum()),
        "windows": len(found),
    }
