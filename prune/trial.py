"""One trial: load the pretrained model, drop layers, fine-tune, evaluate, keep the predictions."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..codec import plain
from ..errors import GenoslimError
from ..stats.clustered import pooled_aurocs
from ..stats.metrics import Metrics
from .measure import SPLITS, Measured, Measuring, Rows, Split, measure
from .recipe import Healing, Recipe, Supernet

RETRIES = 2
"""How often a collapsed trial is tried again with another seed."""
_RETRY_STEP = 1000

FEWEST_OF_A_CLASS = 2
"""Variants of either class without which an AUROC has no interval."""
CHANCE = 0.5
"""The AUROC of a model that has learnt nothing."""
_STUCK = 0.99
_CONSTANT = 0.01


@dataclass(frozen=True, kw_only=True)
class TrialSpec:
    """All that decides a trial's outcome, but for the run's `Numerics` and the number of threads.

    `model` says where the pretrained weights are and `model_fingerprint` what they are; only
    the second counts for the hash, as with the data. With `healing` or `supernet` training goes on
    from another trial's weights; without, the hash is what it was before there were such things.
    """

    model: str
    model_fingerprint: str
    data_fingerprint: str
    dropped: tuple[int, ...]
    seed: int
    recipe: Recipe
    healing: Healing | None = None
    supernet: Supernet | None = None

    def __post_init__(self) -> None:
        if self.supernet and (self.healing or self.dropped):
            raise GenoslimError("trial: a supernet has all layers and is not healed")
        if list(self.dropped) != sorted(set(self.dropped)):
            raise GenoslimError(f"trial: dropped layers {self.dropped} must be sorted and unique")

    @property
    def content(self) -> dict[str, Any]:
        """What `spec.json` holds: parts that a trial has not, such as healing, are left out."""
        known = {name: value for name, value in plain(self).items() if value is not None}
        return known | {"recipe": self.recipe.content}

    @property
    def hash(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of the content but for `model`."""
        content = self.content
        del content["model"]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def name(self) -> str:
        """What a person calls it: `baseline, seed 1`, `without layer 3, healed, seed 0`."""
        layers = " ".join(map(str, self.dropped))
        what = f"without layer{'s' * (len(self.dropped) > 1)} {layers}" if layers else "baseline"
        how = ", healed" if self.healing else ", supernet" if self.supernet else ""
        return f"{what}{how}, seed {self.seed}"

    def again(self, attempt: int) -> TrialSpec:
        """Return the same trial with the seed of retry `attempt` (0 is the trial itself)."""
        seed = self.seed + _RETRY_STEP * attempt
        return replace(self, seed=seed)


@dataclass(frozen=True)
class Predictions:
    """Logits float32[n, 2] of both splits, in the order of the data."""

    validation: np.ndarray
    test: np.ndarray

    def probabilities(self) -> dict[Split, np.ndarray]:
        """Return the probability float64[n] of the positive class, by split."""
        return {"validation": _softmax(self.validation), "test": _softmax(self.test)}


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """What a trial found.

    Metrics are at threshold 0.5 with binary F1; others are recomputed from the predictions.
    `fine_tune_seconds` is training with its evaluations of the validation loss,
    `evaluation_seconds` one pass over the test rows, already encoded. `history` has
    [step, training loss, validation loss] rows and `step` the one whose weights were kept.
    `collapsed` says in words why the trial is held to have learnt nothing, and is empty for a
    sound one. `micro_batch` is how many rows of a step fitted into memory at once, `sequences` how
    many training rows were gone through, `steps_an_epoch` the steps of one pass, `processor` and
    `gpu` what it was trained on; None in results of before that was noted, and `gpu` on a CPU.
    """

    hash: str
    validation: Metrics
    test: Metrics
    macro_auroc: dict[Split, float | None]
    validation_loss: float | None
    fine_tune_seconds: float
    evaluation_seconds: float
    step: int
    steps: int
    stopped: str
    history: tuple[tuple[int, float | None, float | None], ...]
    collapsed: str
    parameters: int
    device: str
    threads: int
    precision: str
    micro_batch: int | None = None
    sequences: int | None = None
    steps_an_epoch: int | None = None
    processor: str | None = None
    gpu: str | None = None
    predictions_sha256: str = ""
    weights_sha256: str = ""


@dataclass(frozen=True)
class Trial:
    """A finished trial, as read from a run folder."""

    spec: TrialSpec
    result: TrialResult
    predictions: Predictions

    def measured(self, rows: dict[Split, Rows], how: Measuring) -> Measured:
        """Return its metrics by the choices of `how`, from the kept predictions."""
        return measure(rows, self.predictions.probabilities(), how)

    def collapsed(self, rows: Mapping[Split, Rows]) -> str:
        """Say why the trial is held to have collapsed: recorded, or by the rule of today."""
        probabilities = self.predictions.probabilities()["validation"]
        return self.result.collapsed or collapse(
            self.result.validation_loss, probabilities, rows["validation"]
        )


def collapse(loss: float | None, probabilities: np.ndarray, rows: Rows) -> str:
    """Say why a trial is held to have collapsed, or return an empty string.

    It has when its validation loss is no number, when the 95 % interval of its AUROC on the
    validation `rows` (by variant, where these recur) reaches 0.5, or when the loss lies within 1 %
    of what knowing only the class shares gives (ln 2 for balanced classes) and the model calls
    every row alike or gives all of them the same probability (a standard deviation below 0.01).
    Where classes are rare a sound model may call every row alike, and its loss may be high for its
    level alone (if training rows had other shares): one that beats chance at the right level has
    not collapsed.
    """
    if loss is None or not math.isfinite(loss):
        return "the validation loss is not a number: training diverged"
    found = pooled_aurocs(rows.labels, probabilities[:, None], rows.keys)
    low, high = found.mean_interval()
    if low <= CHANCE:
        return f"the AUROC {found.values[0]:.3f} [{low:.3f}, {high:.3f}] is that of chance"
    share = float(np.mean(rows.labels))
    chance = -sum(p * math.log(p) for p in (share, 1 - share) if p > 0)
    calls = probabilities >= 0.5
    spread = float(np.std(probabilities))
    one_call = bool(calls.all() or not calls.any())
    if loss < _STUCK * chance or not (one_call or spread < _CONSTANT):
        return ""
    if spread >= _CONSTANT and _levelled_loss(probabilities, rows.labels) < _STUCK * chance:
        return ""
    what = "one class is predicted" if one_call else f"probabilities vary by {spread:.4f} only"
    return f"the validation loss stayed at {loss:.4f} (chance: {chance:.4f}) and {what}"


def _levelled_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the log loss (nats) after the shift of all logits that fits the share of labels."""
    inside = np.clip(probabilities, 1e-12, 1 - 1e-12)
    margins = np.log(inside) - np.log1p(-inside)
    low, high = -60.0, 60.0
    for _ in range(50):
        shift = (low + high) / 2
        if np.mean(0.5 * (1 + np.tanh((margins + shift) / 2))) < np.mean(labels):
            low = shift
        else:
            high = shift
    signed = np.where(labels == 1, margins + low, -margins - low)
    return float(np.mean(np.logaddexp(0.0, -signed)))


def _softmax(logits: np.ndarray) -> np.ndarray:
    """Return the softmax probability of class 1; an exact 0.5 where a model diverged (NaN)."""
    margin = np.nan_to_num(logits[:, 1].astype(np.float64) - logits[:, 0], nan=0.0)
    probabilities: np.ndarray = 0.5 * (1 + np.tanh(margin / 2))
    return probabilities


def check_splits(rows: Mapping[Split, Rows]) -> None:
    """Raise GenoslimError unless both splits hold two variants or more of either class."""
    for split in SPLITS:
        negatives, positives = (
            len(np.unique(rows[split].keys[rows[split].labels == label])) for label in (0, 1)
        )
        if min(positives, negatives) < FEWEST_OF_A_CLASS:
            raise GenoslimError(
                f"data: the {split} split has {positives} positive and {negatives} negative"
                f" variants; it must have at least {FEWEST_OF_A_CLASS} of both"
            )
