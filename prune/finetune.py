"""Fine-tune one classifier, and predict with one."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import GenoslimError
from ..models.batches import GPU_BATCH_TOKENS
from ..models.classifier import Classifier
from ..models.precision import Precision, autocast, float32_products, resolve_precision
from ..models.tokenizer import SequenceTokenizer
from .lora import adapted
from .micro_batch import MicroBatch, memory_told
from .recipe import Recipe
from .tokens import TokenTable

if TYPE_CHECKING:
    from ..data.dataset import LabelledData

_log = logging.getLogger(__name__)

TRAINING_TOKENS = GPU_BATCH_TOKENS
"""Tokens of a step that go through the network at once, padding included.

Memory is then linear in the length of rows: the attention bias of 16,384 tokens takes 16,384 x
heads x length x 4 bytes, 1.6 GB for 12 heads and rows of 2,048 tokens.
"""
_CPU_EVALUATION_TOKENS = 4096
"""What small networks are evaluated fastest with on a CPU."""
StepCallback = Callable[[int, int], None]
"""Called with the optimiser steps done and the most there can be."""

Forward = Callable[[Tensor], Tensor]
"""Takes row numbers int64[b] of the training rows, returns their logits float32[b, labels]."""
Losses = Callable[[Forward, Tensor], Iterable[Tensor]]
"""Gives the losses of some rows of a step, each a mean over these; their gradients add up.

Each is backpropagated before the next is asked for, so that one graph is held at a time. The first
is the one that the history tells.
"""
Objective = Callable[[], Losses]
"""Called once an optimiser step, whose rows may then be taken in parts."""


@dataclass(frozen=True)
class Evaluation:
    """The losses after `step` optimiser steps; `train_loss` is the mean since the one before."""

    step: int
    train_loss: float
    validation_loss: float


@dataclass(frozen=True)
class FineTuned:
    """What fine-tuning did to the model it was given.

    `step` is the optimiser step whose weights the model now has, `steps` how many were made,
    `seconds` the wall-clock time of training with its evaluations of the validation loss,
    `precision` the one used, `stopped` why it ended, `micro_batch` the rows of a step that are
    worked on at once, if they are as long as the longest. `sequences` counts training rows gone
    through, once an epoch each.
    """

    step: int
    steps: int
    seconds: float
    precision: Precision
    stopped: Literal["epochs", "patience", "max_epochs", "diverged"]
    micro_batch: int
    history: tuple[Evaluation, ...]
    sequences: int
    steps_an_epoch: int

    @property
    def validation_loss(self) -> float:
        """The validation loss (nats) of the weights that were kept; NaN if it diverged."""
        return next((e.validation_loss for e in self.history if e.step == self.step), math.nan)


@dataclass(frozen=True)
class Labelled:
    """A token table with its labels int64[n] on the same device."""

    tokens: TokenTable
    labels: Tensor

    @classmethod
    def encode(
        cls, tokenizer: SequenceTokenizer, data: LabelledData, *, device: torch.device | None = None
    ) -> Labelled:
        """Encode the rows of `data`."""
        labels = torch.from_numpy(data.labels.astype(np.int64)).to(device)
        return cls(TokenTable.encode(tokenizer, data.sequences, device=device), labels)


def fine_tune(
    model: Classifier,
    tokenizer: SequenceTokenizer,
    data: LabelledData,
    recipe: Recipe,
    *,
    seed: int,
    device: torch.device | None = None,
    progress: StepCallback | None = None,
) -> FineTuned:
    """Fine-tune `model` in place on the train split, watched on the validation split.

    On a CPU with a fixed number of threads the result is a function of the arguments alone.
    The model ends on `device` (default CPU) in evaluation mode.
    """
    target = torch.device("cpu") if device is None else device
    train = Labelled.encode(tokenizer, data.split("train"), device=target)
    validation = Labelled.encode(tokenizer, data.split("validation"), device=target)
    return fine_tune_tokens(model, train, validation, recipe, seed=seed, progress=progress)


def cross_entropy(labels: Tensor) -> Objective:
    """Return the plain objective: the cross-entropy (nats) with labels int64[n]."""

    def losses(forward: Forward, rows: Tensor) -> Iterator[Tensor]:
        yield functional.cross_entropy(forward(rows), labels[rows.to(labels.device)])

    return lambda: losses


def fine_tune_tokens(
    model: Classifier,
    train: Labelled,
    validation: Labelled,
    recipe: Recipe,
    *,
    seed: int,
    objective: Objective | None = None,
    progress: StepCallback | None = None,
) -> FineTuned:
    """Fine-tune `model` in place on encoded rows; see `fine_tune`.

    `objective` is what a step minimises, by default `cross_entropy` of the labels. A step whose
    rows do not fit into memory at once is done in parts; GenoslimError if one row does not.
    """
    if not len(train.tokens) or not len(validation.tokens):
        raise GenoslimError(
            f"fine-tuning needs rows: {len(train.tokens)} to train on,"
            f" {len(validation.tokens)} to validate on"
        )
    device = train.labels.device
    with memory_told("training"), _seeded(seed, device):
        model.to(device)
        goal = objective or cross_entropy(train.labels)
        with adapted(model, recipe.lora):
            return _Training(model, train, validation, recipe, seed, goal, progress).run()


def evaluation_tokens(device: torch.device) -> int:
    """Return how many tokens go through a network at once without gradients, padding included."""
    return GPU_BATCH_TOKENS if device.type == "cuda" else _CPU_EVALUATION_TOKENS


def predict(
    model: Classifier,
    tokenizer: SequenceTokenizer,
    sequences: Sequence[str],
    *,
    batch_tokens: int | None = None,
    device: torch.device | None = None,
) -> np.ndarray:
    """Return logits float32[n, labels] in the order of `sequences`, in float32 throughout."""
    target = torch.device("cpu") if device is None else device
    model.to(target)
    tokens = TokenTable.encode(tokenizer, sequences, device=target)
    return predict_tokens(model, tokens, batch_tokens=batch_tokens)


def predict_tokens(
    model: Classifier,
    tokens: TokenTable,
    *,
    batch_tokens: int | None = None,
    precision: Precision = "fp32",
) -> np.ndarray:
    """Return logits float32[n, labels] in row order; leaves the model in evaluation mode.

    At most `batch_tokens` tokens, padding included, are computed at once, but one row at least; by
    default `evaluation_tokens`.
    """
    device = tokens.ids.device
    batch = MicroBatch(batch_tokens or evaluation_tokens(device), "prediction")
    with float32_products(precision, device):
        return _logits(model, tokens, batch, precision).cpu().numpy()


class _Training:
    """The state of one fine-tuning run."""

    def __init__(
        self,
        model: Classifier,
        train: Labelled,
        validation: Labelled,
        recipe: Recipe,
        seed: int,
        objective: Objective,
        progress: StepCallback | None,
    ) -> None:
        self.model = model
        self.train = train
        self.validation = validation
        self.recipe = recipe
        self.objective = objective
        self.progress = progress
        self.device = train.labels.device
        self.precision = resolve_precision(recipe.precision, self.device)
        self.generator = torch.Generator().manual_seed(seed)
        self.steps_an_epoch = math.ceil(len(train.tokens) / recipe.batch_size)
        self.total = self.steps_an_epoch * recipe.most_epochs
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(
            _decay_groups(model, recipe.weight_decay), lr=recipe.learning_rate, fused=True
        )
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")
        self.micro_batch = MicroBatch(TRAINING_TOKENS, "training")
        self.evaluation_batch = MicroBatch(evaluation_tokens(self.device), "evaluation")
        self.history: list[Evaluation] = []
        self.sequences = 0
        self.best: tuple[int, list[Tensor]] | None = None

    def run(self) -> FineTuned:
        """Train until the recipe says stop, and leave the kept weights in the model."""
        started = time.perf_counter()
        with float32_products(self.precision, self.device):
            steps, stopped = self._train()
        kept = steps
        if self.recipe.keeps_best and self.best is not None:
            kept, weights = self.best
            _overwrite(self.parameters, weights)
        self.model.eval()
        _synchronise(self.device)
        seconds = time.perf_counter() - started
        return FineTuned(
            kept,
            steps,
            seconds,
            self.precision,
            stopped,
            min(self.recipe.batch_size, self.micro_batch.rows(self.train.tokens.widest)),
            tuple(self.history),
            self.sequences,
            self.steps_an_epoch,
        )

    def _train(self) -> tuple[int, Literal["epochs", "patience", "max_epochs", "diverged"]]:
        every = self.recipe.evaluate_every or self.steps_an_epoch
        losses: list[Tensor] = []
        step = 0
        self.model.train()
        for step, rows in enumerate(self._rows(), start=1):
            losses.append(self._step(step - 1, rows))
            self.sequences += len(rows)
            if self.progress is not None:
                self.progress(step, self.total)
            if step % every == 0 or step == self.total:
                self._evaluate(step, losses)
                losses.clear()
                if not math.isfinite(self.history[-1].validation_loss):
                    return step, "diverged"
                if self._out_of_patience():
                    return step, "patience"
        return step, "epochs" if self.recipe.epochs is not None else "max_epochs"

    def _rows(self) -> Iterator[Tensor]:
        for _ in range(self.recipe.most_epochs):
            yield from self.train.tokens.shuffled(self.recipe.batch_size, self.generator)

    def _step(self, step: int, rows: Tensor) -> Tensor:
        """Make one optimiser step and return its loss, left on the device."""
        rate = self.recipe.rate(step, self.total)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        loss = self._gradients(rows)
        self.scaler.unscale_(self.optimiser)
        nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        return loss

    def _gradients(self, rows: Tensor) -> Tensor:
        """Leave the gradients of a step in the parameters and return its first loss.

        What memory allows is done at once; each part counts by its rows, so that the gradients are
        those of the whole. Done again, it draws the same dropout.
        """
        losses = self.objective()
        drawn = _random_state(self.device)

        def accumulate(parts: tuple[Tensor, ...]) -> Tensor:
            _restore(drawn, self.device)
            self.optimiser.zero_grad(set_to_none=True)
            return torch.stack([self._backward(losses, part, len(rows)) for part in parts]).sum()

        return self.micro_batch.over(rows, self.train.tokens.width(rows), accumulate)

    def _backward(self, losses: Losses, part: Tensor, total: int) -> Tensor:
        """Add the gradients of a part of a step's rows; return its share of the first loss."""
        first = None
        for loss in losses(self._forward, part):
            share = loss * (len(part) / total)
            self.scaler.scale(share).backward()  # type: ignore[no-untyped-call]
            first = share.detach() if first is None else first
        assert first is not None
        return first

    def _forward(self, rows: Tensor) -> Tensor:
        with autocast(self.precision, self.device):
            logits: Tensor = self.model(*self.train.tokens.batch(rows))
        return logits.float()

    def _evaluate(self, step: int, losses: list[Tensor]) -> None:
        """Note the losses, and the weights if they are the best so far and wanted."""
        tokens = self.validation.tokens
        logits = _logits(self.model, tokens, self.evaluation_batch, self.precision)
        loss = float(functional.cross_entropy(logits, self.validation.labels))
        self.model.train()
        lowest = min((e.validation_loss for e in self.history), default=math.inf)
        self.history.append(Evaluation(step, float(torch.stack(losses).mean()), loss))
        if self.recipe.keeps_best and loss < lowest:
            self.best = step, _copied(self.parameters)

    def _out_of_patience(self) -> bool:
        if not self.recipe.keeps_best or self.best is None:
            return False
        since = sum(e.step > self.best[0] for e in self.history)
        return since >= self.recipe.patience


def _logits(
    model: Classifier,
    tokens: TokenTable,
    batch: MicroBatch,
    precision: Precision,
) -> Tensor:
    """Return logits float32[n, labels] in row order, from batches of near-equal length."""
    model.eval()
    device = tokens.ids.device
    out = torch.empty(len(tokens), model.config.num_labels, device=device)

    def fill(parts: tuple[Tensor, ...]) -> None:
        for part in parts:
            out[part.to(device)] = model(*tokens.batch(part)).float()

    with torch.inference_mode(), autocast(precision, device):
        for rows in tokens.by_length(batch.tokens):
            batch.over(rows, tokens.width(rows), fill)
    return out


def _decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Decay matrices only: biases and LayerNorm weights (one dimension) are left alone."""
    trained = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.dim() > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.dim() <= 1], "weight_decay": 0.0},
    ]


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch for the body (dropout draws from it) and give the caller's state back."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def _random_state(device: torch.device) -> tuple[Tensor, ...]:
    """Return the state that dropout on `device` draws from."""
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    return tuple(states)


def _restore(states: tuple[Tensor, ...], device: torch.device) -> None:
    """Set the state that dropout on `device` draws from."""
    torch.set_rng_state(states[0])
    for state in states[1:]:
        torch.cuda.set_rng_state(state, device)


def _copied(parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    return [parameter.detach().to("cpu", copy=True) for parameter in parameters]


@torch.no_grad()
def _overwrite(parameters: Iterable[nn.Parameter], weights: Iterable[Tensor]) -> None:
    for parameter, weight in zip(parameters, weights, strict=True):
        parameter.copy_(weight)


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
