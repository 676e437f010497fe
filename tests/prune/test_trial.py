from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from genoslim.errors import GenoslimError
from genoslim.prune.recipe import Recipe
from genoslim.prune.trial import Predictions, TrialSpec, collapse

SPEC = TrialSpec(
    model="a",
    model_fingerprint="f",
    data_fingerprint="d",
    dropped=(2,),
    seed=0,
    recipe=Recipe(),
)


def test_hash_is_of_the_content_and_not_of_the_place() -> None:
    assert replace(SPEC, model="elsewhere").hash == SPEC.hash
    others = [
        replace(SPEC, model_fingerprint="g"),
        replace(SPEC, data_fingerprint="e"),
        replace(SPEC, dropped=()),
        replace(SPEC, seed=1),
        replace(SPEC, recipe=Recipe(epochs=3)),
    ]
    assert len({SPEC.hash, *(other.hash for other in others)}) == 6
    assert len(SPEC.hash) == 16


def test_round_trip() -> None:
    assert TrialSpec.from_dict(SPEC.to_dict()) == SPEC


def test_dropped_layers_are_sorted_and_unique() -> None:
    with pytest.raises(GenoslimError, match="sorted and unique"):
        replace(SPEC, dropped=(2, 1))


def test_retry_differs_in_the_seed_alone() -> None:
    assert SPEC.again(0) == SPEC
    assert SPEC.again(2) == replace(SPEC, seed=2000)


def test_names() -> None:
    assert SPEC.name == "without layer 2, seed 0"
    assert replace(SPEC, dropped=(1, 2)).name == "without layers 1 2, seed 0"
    assert replace(SPEC, dropped=()).name == "baseline, seed 0"


BALANCED = np.array([0, 1] * 50)
SKEWED = np.array([0, 0, 0, 1] * 25)
RARE = np.repeat([0, 1], [90, 10])


@pytest.mark.parametrize(
    ("loss", "probabilities", "labels", "word"),
    [
        (0.6931, np.full(100, 0.49), BALANCED, "one class"),
        (0.6920, np.linspace(0.40, 0.49, 100), BALANCED, "one class"),
        (0.6931, np.tile([0.499, 0.501], 50), BALANCED, "vary by"),
        (0.5623, np.full(100, 0.25), SKEWED, "one class"),
        (None, np.full(100, 0.5), BALANCED, "not a number"),
        (math.nan, np.full(100, 0.5), BALANCED, "not a number"),
        (0.6931, np.tile([0.3, 0.7], 50), BALANCED, ""),  # wrong, but not constant
        (0.60, np.linspace(0.1, 0.49, 100), BALANCED, ""),  # ranks, threshold is off
        (0.45, np.linspace(0.0, 0.49, 100), SKEWED, ""),  # learnt, rarely positive
        (0.70, np.linspace(0.2, 0.49, 100), RARE, ""),  # learnt, where positives were more
        (0.70, np.linspace(0.2, 0.49, 100), RARE[::-1], "one class"),  # the wrong way round
    ],
)
def test_collapse(
    loss: float | None, probabilities: np.ndarray, labels: np.ndarray, word: str
) -> None:
    found = collapse(loss, probabilities, labels)
    assert (word in found) if word else found == ""


def test_probabilities_are_a_softmax_even_of_huge_logits() -> None:
    logits = np.array([[0, 0], [1000, -1000], [-1000, 1000], [0.5, 1.5]], dtype=np.float32)
    found = Predictions(logits, logits).probabilities()["test"]
    assert found == pytest.approx([0.5, 0, 1, 1 / (1 + math.exp(-1))])


def test_diverged_logits_give_one_half() -> None:
    logits = np.full((2, 2), np.nan, dtype=np.float32)
    assert Predictions(logits, logits).probabilities()["test"].tolist() == [0.5, 0.5]
