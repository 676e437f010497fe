from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from genoslim.codec import decode
from genoslim.errors import GenoslimError
from genoslim.prune.measure import Rows
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
    assert decode(TrialSpec, SPEC.content, "spec.json", exact=True) == SPEC


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


def _between(low: float, high: float, labels: np.ndarray, *, learnt: bool) -> np.ndarray:
    """Probabilities over [low, high], those of positives the higher ones if `learnt`."""
    values = np.linspace(low, high, len(labels))
    return values[np.argsort(np.argsort(labels, kind="stable"))] if learnt else values


@pytest.mark.parametrize(
    ("loss", "probabilities", "labels", "word"),
    [
        (0.6931, np.full(100, 0.49), BALANCED, "AUROC 0.500"),
        (0.6920, _between(0.3, 0.7, BALANCED, learnt=False), BALANCED, "that of chance"),  # mixed
        (2.5, np.tile([0.01, 0.99, 0.99, 0.01], 25), BALANCED, "AUROC 0.500"),  # sure of itself
        (0.5623, np.full(100, 0.25), SKEWED, "AUROC 0.500"),
        (0.6900, _between(0.3, 0.7, 1 - BALANCED, learnt=True), BALANCED, "AUROC 0.000"),
        (None, np.full(100, 0.5), BALANCED, "not a number"),
        (math.nan, np.full(100, 0.5), BALANCED, "not a number"),
        (0.6920, _between(0.488, 0.499, BALANCED, learnt=True), BALANCED, "one class"),
        (0.6931, _between(0.499, 0.501, BALANCED, learnt=True), BALANCED, "vary by"),
        (0.60, _between(0.1, 0.49, BALANCED, learnt=True), BALANCED, ""),  # ranks, level is off
        (0.45, _between(0.0, 0.49, SKEWED, learnt=True), SKEWED, ""),  # learnt, rarely positive
        (0.70, _between(0.2, 0.49, RARE, learnt=True), RARE, ""),  # where positives were more
        (0.70, _between(0.2, 0.49, RARE, learnt=True), RARE[::-1], "AUROC 0."),  # the wrong way
    ],
)
def test_collapse(
    loss: float | None, probabilities: np.ndarray, labels: np.ndarray, word: str
) -> None:
    found = collapse(loss, probabilities, _rows(labels))
    assert (word in found) if word else found == ""


def test_rows_of_one_variant_are_one_observation() -> None:
    """Twelve variants in 20 tissues each do not show what 240 rows would."""
    labels = np.tile([0, 1], 6)
    scores = np.random.default_rng(4).normal(size=12) + 0.2 * labels
    labels, scores = np.repeat(labels, 20), np.repeat(1 / (1 + np.exp(-scores)), 20)
    alone = Rows(labels, np.arange(240).astype(np.str_), np.array([""] * 240))
    recurring = replace(alone, keys=np.repeat(np.arange(12), 20).astype(np.str_))
    assert collapse(0.6, scores, alone) == ""
    assert "that of chance" in collapse(0.6, scores, recurring)


def _rows(labels: np.ndarray) -> Rows:
    n = len(labels)
    return Rows(labels.astype(np.int8), np.arange(n).astype(np.str_), np.array([""] * n))


def test_probabilities_are_a_softmax_even_of_huge_logits() -> None:
    logits = np.array([[0, 0], [1000, -1000], [-1000, 1000], [0.5, 1.5]], dtype=np.float32)
    found = Predictions(logits, logits).probabilities()["test"]
    assert found == pytest.approx([0.5, 0, 1, 1 / (1 + math.exp(-1))])


def test_diverged_logits_give_one_half() -> None:
    logits = np.full((2, 2), np.nan, dtype=np.float32)
    assert Predictions(logits, logits).probabilities()["test"].tolist() == [0.5, 0.5]
