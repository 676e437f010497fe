from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from genoslim.data.dataset import LabelledData, read_data
from genoslim.models import load, load_tokenizer
from genoslim.prune.finetune import fine_tune, predict, predict_tokens
from genoslim.prune.recipe import Recipe
from genoslim.prune.tokens import TokenTable

RECIPE = Recipe(epochs=2, learning_rate=1e-2, batch_size=16)


def _tuned(folder: Path, data: LabelledData, recipe: Recipe = RECIPE, *, seed: int = 0):  # type: ignore[no-untyped-def]
    model = load(folder, seed=seed)
    return model, fine_tune(model, load_tokenizer(folder), data, recipe, seed=seed)


@pytest.fixture(scope="module")
def labelled(data: Path) -> LabelledData:
    return read_data(data)


def test_same_seed_same_bits(model: Path, labelled: LabelledData) -> None:
    first, tuned = _tuned(model, labelled)
    torch.manual_seed(12345)  # the caller's state must not matter
    second, again = _tuned(model, labelled)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name
    assert replace(tuned, seconds=0) == replace(again, seconds=0)


def test_another_seed_another_model(model: Path, labelled: LabelledData) -> None:
    first, second = (_tuned(model, labelled, seed=seed)[0] for seed in (0, 1))
    weights = first.state_dict(), second.state_dict()
    assert any(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_the_callers_random_state_is_left_alone(model: Path, labelled: LabelledData) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    _tuned(model, labelled)
    assert torch.equal(torch.rand(3), expected)


def test_learns(nt_model: Path, labelled: LabelledData) -> None:
    model, tuned = _tuned(nt_model, labelled, replace(RECIPE, epochs=4))
    assert tuned.steps == 4 * 8
    assert tuned.step == tuned.steps
    assert tuned.stopped == "epochs"
    assert [look.step for look in tuned.history] == [8, 16, 24, 32]
    assert tuned.validation_loss < 0.2
    assert not model.training


def test_patience_keeps_the_weights_of_the_lowest_loss(
    nt_model: Path, labelled: LabelledData
) -> None:
    recipe = Recipe(patience=2, max_epochs=40, evaluate_every=3, learning_rate=5e-2, batch_size=16)
    model, tuned = _tuned(nt_model, labelled, recipe)
    losses = {look.step: look.validation_loss for look in tuned.history}
    assert tuned.step == min(losses, key=lambda step: losses[step])
    if tuned.stopped == "patience":
        assert sum(step > tuned.step for step in losses) == 2
    held_out = labelled.split("validation")
    logits = torch.from_numpy(predict(model, load_tokenizer(nt_model), held_out.sequences))
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(held_out.labels).long())
    assert float(loss) == pytest.approx(tuned.validation_loss, abs=1e-6)


def test_divergence_ends_training(nt_model: Path, labelled: LabelledData) -> None:
    model = load(nt_model)
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    tuned = fine_tune(model, load_tokenizer(nt_model), labelled, RECIPE, seed=0)
    assert tuned.stopped == "diverged"
    assert len(tuned.history) == 1


def test_progress_counts_steps(nt_model: Path, labelled: LabelledData) -> None:
    seen: list[tuple[int, int]] = []
    model = load(nt_model)
    fine_tune(
        model,
        load_tokenizer(nt_model),
        labelled,
        replace(RECIPE, epochs=1),
        seed=0,
        progress=lambda step, total: seen.append((step, total)),
    )
    assert seen == [(step, 8) for step in range(1, 9)]


def test_predictions_do_not_depend_on_the_batch(model: Path, labelled: LabelledData) -> None:
    network, tokenizer = load(model), load_tokenizer(model)
    sequences = [row[: 20 + i % 25] for i, row in enumerate(labelled.sequences[:50])]
    together = predict(network, tokenizer, sequences)
    alone = np.concatenate([predict(network, tokenizer, [row]) for row in sequences])
    assert together.dtype == np.float32
    np.testing.assert_allclose(together, alone, atol=1e-6)
    for budget in (1, 100, 1000):
        found = predict(network, tokenizer, sequences, batch_tokens=budget)
        np.testing.assert_allclose(found, alone, atol=1e-6)


@pytest.mark.parametrize("kind", ["model", "nt_model"])
def test_lengths_rounded_up_give_the_same_logits_and_gradients(
    kind: str, labelled: LabelledData, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(kind)
    network, tokenizer = load(folder).double(), load_tokenizer(folder)
    sequences = [row[: 20 + i % 25] for i, row in enumerate(labelled.sequences[:50])]
    table = TokenTable.encode(tokenizer, sequences)
    rounded = replace(table, multiple=16)
    expected = predict_tokens(network, table)
    np.testing.assert_allclose(predict_tokens(network, rounded), expected, atol=1e-6)
    gradients = []
    for tokens in (table, rounded):
        network.zero_grad()
        network(*tokens.batch(torch.arange(50))).square().sum().backward()
        gradients.append([p.grad.clone() for p in network.parameters() if p.grad is not None])
    for wanted, found in zip(*gradients, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)


def test_biases_and_norms_are_not_decayed(nt_model: Path, labelled: LabelledData) -> None:
    """With a rate of (nearly) nothing but decay left, only matrices would shrink."""
    from genoslim.prune.finetune import _decay_groups

    decayed, spared = _decay_groups(load(nt_model), 0.01)
    assert all(p.dim() > 1 for p in decayed["params"])  # type: ignore[attr-defined]
    assert all(p.dim() == 1 for p in spared["params"])  # type: ignore[attr-defined]
    assert spared["weight_decay"] == 0


def test_bf16_trains_when_asked_for(
    nt_model: Path, labelled: LabelledData, caplog: pytest.LogCaptureFixture
) -> None:
    _, tuned = _tuned(nt_model, labelled, replace(RECIPE, epochs=4, precision="bf16"))
    assert tuned.precision == "bf16"
    assert tuned.validation_loss < 0.5
    assert "many times slower" in caplog.text
