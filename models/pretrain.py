"""Masked-token pretraining, the recipe of the shipped small models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..errors import UsageError
from .masked_lm import MaskedLM
from .tokenizer import SequenceTokenizer

_IGNORED = -100


@dataclass(frozen=True, kw_only=True)
class PretrainingRecipe:
    """How to pretrain: BERT's masking (Devlin et al. 2019, arXiv 1810.04805, section 3.1).

    Of the `masked_fraction` of ordinary tokens chosen, 80 % become the mask token, 10 % a random
    ordinary token and 10 % stay. AdamW, linear warm-up, then linear decay to zero.
    """

    steps: int = 4000
    batch_size: int = 64
    learning_rate: float = 1e-3
    warmup_steps: int = 400
    weight_decay: float = 0.01
    clip: float = 1.0
    masked_fraction: float = 0.15
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch_size < 1 or not 0 <= self.warmup_steps < self.steps:
            raise UsageError(
                f"pretraining: steps {self.steps}, batch_size {self.batch_size}, warmup_steps"
                f" {self.warmup_steps}: the first two must be at least 1, warm-up below steps"
            )
        if not 0 < self.masked_fraction < 1:
            raise UsageError(
                f"pretraining: masked_fraction is {self.masked_fraction}; it must lie in (0, 1)"
            )


def mask_tokens(
    input_ids: np.ndarray,
    tokenizer: SequenceTokenizer,
    *,
    fraction: float,
    generator: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Return masked ids and targets, both int64 [batch, tokens]; unasked targets are -100."""
    ordinary = ~np.isin(input_ids, list(tokenizer.special_ids))
    chosen = ordinary & (generator.random(input_ids.shape) < fraction)
    targets = np.where(chosen, input_ids, _IGNORED)
    fate = generator.random(input_ids.shape)
    masked = np.where(chosen & (fate < 0.8), tokenizer.mask_id, input_ids)
    candidates = np.setdiff1d(np.arange(tokenizer.vocab_size), list(tokenizer.special_ids))
    random_ids = generator.choice(candidates, size=input_ids.shape)
    return np.where(chosen & (fate >= 0.9), random_ids, masked), targets


def pretrain(
    model: MaskedLM,
    tokenizer: SequenceTokenizer,
    sequences: Sequence[str],
    recipe: PretrainingRecipe,
    *,
    progress: Callable[[int, float], None] | None = None,
) -> list[float]:
    """Train `model` in place to fill in masked tokens; return the loss (nats a token) per step.

    On a CPU with a fixed number of threads the result is a function of the arguments alone.
    """
    torch.manual_seed(recipe.seed)
    generator = np.random.default_rng(recipe.seed)
    rows = tokenizer.encode(sequences)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, recipe))
    losses: list[float] = []
    model.train()
    for step, batch in zip(range(recipe.steps), _batches(rows, recipe, generator), strict=False):
        input_ids, attention_mask = tokenizer.pad(batch)
        masked, targets = mask_tokens(
            input_ids, tokenizer, fraction=recipe.masked_fraction, generator=generator
        )
        logits = model(torch.from_numpy(masked), torch.from_numpy(attention_mask))
        loss = _loss(logits, torch.from_numpy(targets))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
        if progress is not None:
            progress(step, losses[-1])
    model.eval()
    return losses


def _loss(logits: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=_IGNORED)


def _rate(step: int, recipe: PretrainingRecipe) -> float:
    if step < recipe.warmup_steps:
        return (step + 1) / recipe.warmup_steps
    return (recipe.steps - step) / (recipe.steps - recipe.warmup_steps)


def _batches(
    rows: list[np.ndarray], recipe: PretrainingRecipe, generator: np.random.Generator
) -> Iterator[list[np.ndarray]]:
    """Yield batches for ever, every row once an epoch in a new order."""
    while True:
        order = generator.permutation(len(rows))
        for start in range(0, len(order), recipe.batch_size):
            yield [rows[i] for i in order[start : start + recipe.batch_size]]
