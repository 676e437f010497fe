from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from genoslim.codec import decode, plain
from genoslim.errors import GenoslimError, UsageError
from genoslim.prune.recipe import Recipe


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("learning_rate", 0.0),
        ("clip", -1.0),
        ("weight_decay", -0.1),
        ("warmup_steps", -1),
        ("batch_size", 0),
        ("patience", 0),
        ("max_epochs", 0),
        ("epochs", 0),
        ("evaluate_every", 0),
        ("precision", "fp8"),
        ("learning_rate", float("nan")),
    ],
)
def test_refuses_what_makes_no_sense_and_quotes_it(field: str, value: Any) -> None:
    with pytest.raises(UsageError, match=f"{field} is .*{value}"):
        Recipe(**{field: value})


def test_dictionary_round_trip() -> None:
    recipe = Recipe(epochs=5, evaluate_every=200, precision="bf16")
    assert decode(Recipe, plain(recipe), "recipe") == recipe


def test_unknown_field_is_named() -> None:
    with pytest.raises(GenoslimError, match="unknown field momentum"):
        decode(Recipe, {"momentum": 0.9}, "recipe", exact=True)


def test_rate_rises_then_falls_to_zero() -> None:
    recipe = Recipe(learning_rate=1.0, warmup_steps=4)
    rates = [recipe.rate(step, 100) for step in range(101)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert all(b < a for a, b in pairwise(rates[4:]))
    assert rates[100] == 0


def test_warm_up_takes_at_most_a_tenth_of_a_short_run() -> None:
    recipe = Recipe(learning_rate=1.0, warmup_steps=50)
    assert recipe.rate(1, 10) == pytest.approx(1.0)


def test_fixed_epochs_keep_the_last_weights() -> None:
    assert not Recipe(epochs=5).keeps_best
    assert Recipe(epochs=5).most_epochs == 5
    assert Recipe().keeps_best
    assert Recipe(max_epochs=7).most_epochs == 7
