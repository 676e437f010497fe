"""Heal a model that lost layers: train it on the logits of the fine-tuned model it came from."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..files import atomic_path
from ..models.classifier import Classifier
from .finetune import Forward, Labelled, Objective, predict_tokens
from .recipe import Healing, Supernet

LOGITS_FILE = "train_logits.npy"
"""Of a teacher, beside its checkpoint: float32[n, labels] on the training rows."""


def distillation(labels: Tensor, teacher: Tensor, how: Healing) -> Objective:
    """Return the objective of healing: labels int64[n] and teacher's logits float32[n, labels]."""

    def losses(forward: Forward, rows: Tensor) -> Iterator[Tensor]:
        rows = rows.to(labels.device)
        yield distilled(forward(rows), teacher[rows], labels[rows], how)

    return lambda: losses


def distilled(student: Tensor, teacher: Tensor, labels: Tensor, how: Healing | Supernet) -> Tensor:
    """Return the loss of a student's logits [b, labels]: share soft, the rest cross-entropy."""
    hard = functional.cross_entropy(student, labels)
    return how.share * divergence(student, teacher, how.temperature) + (1 - how.share) * hard


def divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return T^2 KL(teacher || student) in nats, mean over rows, of logits [b, labels].

    T^2 keeps the size of the gradient when T changes: arXiv 1503.02531, section 2.
    """
    targets = functional.log_softmax(teacher / temperature, dim=-1)
    found = functional.log_softmax(student / temperature, dim=-1)
    loss = functional.kl_div(found, targets, reduction="batchmean", log_target=True)
    return temperature**2 * loss


def teacher_logits(model: Classifier, train: Labelled, cache: Path) -> Tensor:
    """Return the logits float32[n, labels] of a teacher on the training rows, computed once.

    They are kept in the file `cache`; one that does not read back is written anew.
    """
    device = train.labels.device
    logits = _cached(cache, len(train.labels))
    if logits is None:
        model.to(device)
        logits = predict_tokens(model, train.tokens)
        with atomic_path(cache) as temporary, temporary.open("wb") as file:
            np.save(file, logits)
    return torch.from_numpy(logits).to(device)


def _cached(path: Path, rows: int) -> np.ndarray | None:
    try:
        logits: np.ndarray = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None
    return logits if logits.ndim == 2 and len(logits) == rows else None
