"""Masked-token pretraining."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from genoslim.errors import UsageError
from genoslim.models.checkpoint import new_masked_lm
from genoslim.models.pretrain import PretrainingRecipe, mask_tokens, pretrain
from genoslim.models.tokenizer import SequenceTokenizer

ConfigOf = Callable[[str], dict[str, Any]]
TokenizerOf = Callable[[str], SequenceTokenizer]


def test_masking(tokenizer_of: TokenizerOf) -> None:
    tokenizer = tokenizer_of("nt_v1")
    ids, _ = tokenizer.pad(tokenizer.encode(["ACGTTG" * 60] * 300 + ["AC"]))
    generator = np.random.default_rng(1)
    masked, targets = mask_tokens(ids, tokenizer, fraction=0.15, generator=generator)
    chosen, ordinary = targets != -100, ~np.isin(ids, list(tokenizer.special_ids))
    assert not (chosen & ~ordinary).any()
    assert (targets[chosen] == ids[chosen]).all()
    assert (masked[~chosen] == ids[~chosen]).all()
    assert chosen.sum() / ordinary.sum() == pytest.approx(0.15, abs=0.01)
    assert (masked[chosen] == tokenizer.mask_id).mean() == pytest.approx(0.8, abs=0.03)
    assert (masked[chosen] == ids[chosen]).mean() == pytest.approx(0.1, abs=0.03)
    assert not (set(masked[chosen]) & tokenizer.special_ids) - {tokenizer.mask_id}


def test_learns_and_repeats(family: str, config_of: ConfigOf, tokenizer_of: TokenizerOf) -> None:
    recipe = PretrainingRecipe(steps=30, batch_size=8, learning_rate=1e-2, warmup_steps=3)
    losses, states = [], []
    for _ in range(2):
        model = new_masked_lm(config_of(family) | {"num_hidden_layers": 1}, seed=2)
        losses.append(pretrain(model, tokenizer_of(family), ["ACGTTG" * 5] * 16, recipe))
        states.append(model.state_dict())
    assert losses[0] == losses[1]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert np.mean(losses[0][-5:]) < 0.7 * np.mean(losses[0][:5])
    assert not model.training


def test_progress(config_of: ConfigOf, tokenizer_of: TokenizerOf) -> None:
    told: list[int] = []
    recipe = PretrainingRecipe(steps=2, batch_size=2, warmup_steps=0)
    model = new_masked_lm(config_of("dnabert2"))
    tokenizer = tokenizer_of("dnabert2")
    pretrain(model, tokenizer, ["ACGT" * 9], recipe, progress=lambda step, _: told.append(step))
    assert told == [0, 1]


@pytest.mark.parametrize(
    "change", [{"steps": 0}, {"warmup_steps": 9}, {"batch_size": 0}, {"masked_fraction": 1.0}]
)
def test_recipes_that_cannot_be(change: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="pretraining"):
        PretrainingRecipe(**({"steps": 9, "warmup_steps": 3} | change))
