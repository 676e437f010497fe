from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from genoslim.data.dataset import read_data
from genoslim.errors import GenoslimError
from genoslim.models import load, load_tokenizer
from genoslim.models.classifier import Classifier
from genoslim.prune import finetune
from genoslim.prune.finetune import (
    FineTuned,
    Labelled,
    Objective,
    cross_entropy,
    fine_tune_tokens,
    predict_tokens,
)
from genoslim.prune.healing import distillation
from genoslim.prune.micro_batch import MicroBatch, memory_told, out_of_memory
from genoslim.prune.recipe import Healing, Recipe, Supernet
from genoslim.prune.supernet import sandwich

RECIPE = Recipe(epochs=1, learning_rate=1e-2, batch_size=15)
"""128 rows: eight steps of 15 and one of 8."""

Goal = Callable[[Classifier, Labelled], Objective]
GOALS: dict[str, Goal] = {
    "labels": lambda model, train: cross_entropy(train.labels),
    "healing": lambda model, train: distillation(
        train.labels, torch.eye(2)[train.labels] * 3, Healing(teacher="t")
    ),
    "supernet": lambda model, train: sandwich(
        model, train.labels, Supernet(teacher="t", smallest=1), seed=3
    ),
}


@pytest.fixture(scope="module")
def splits(nt_model: Path, data: Path) -> tuple[Labelled, Labelled]:
    labelled, tokenizer = read_data(data), load_tokenizer(nt_model)
    train, validation = (
        Labelled.encode(tokenizer, labelled.split(name)) for name in ("train", "validation")
    )
    return train, validation


def _no_room_above(tokens: int, module: nn.Module) -> None:
    """Have a module fail as torch does when memory is short, for more than so many tokens."""

    def refuse(_: nn.Module, args: tuple[Tensor, ...]) -> None:
        if args[0].shape[:2].numel() > tokens:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    module.register_forward_pre_hook(refuse)


def _without_dropout(model: Classifier) -> Classifier:
    for part in model.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    return model


def _tuned(
    model: Classifier, splits: tuple[Labelled, Labelled], goal: Goal = GOALS["labels"]
) -> FineTuned:
    train, validation = splits
    return fine_tune_tokens(model, train, validation, RECIPE, seed=0, objective=goal(model, train))


@pytest.mark.parametrize("goal", GOALS.values(), ids=GOALS)
def test_halved_micro_batches_make_the_steps_of_the_whole_batch(
    goal: Goal,
    nt_model: Path,
    splits: tuple[Labelled, Labelled],
    caplog: pytest.LogCaptureFixture,
) -> None:
    free, short = (load(nt_model).double() for _ in range(2))
    width = splits[0].tokens.widest
    _no_room_above(4 * width, short)
    whole, parted = (_tuned(model, splits, goal) for model in (free, short))
    assert (whole.micro_batch, parted.micro_batch) == (15, 3)
    for name, value in free.state_dict().items():
        torch.testing.assert_close(short.state_dict()[name], value, atol=1e-5, rtol=1e-5)
    (seen,), (again,) = whole.history, parted.history
    assert again.train_loss == pytest.approx(seen.train_loss, abs=1e-6)
    told = [line for line in caplog.messages if "in training" in line]
    assert [line.split("with ", 1)[1].split(",")[0] for line in told] == [
        f"15 rows of {width} tokens at a time: going on with 7",
        f"7 rows of {width} tokens at a time: going on with 3",
    ]


@pytest.mark.parametrize("goal", GOALS.values(), ids=GOALS)
@pytest.mark.parametrize("kind", ["model", "nt_model"])
def test_a_budget_of_tokens_makes_the_steps_of_the_whole_batch(
    goal: Goal,
    kind: str,
    data: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Rows of many lengths too, without dropout, whose draws would differ."""
    folder = request.getfixturevalue(kind)
    labelled, tokenizer = read_data(data), load_tokenizer(folder)
    splits = tuple(
        Labelled.encode(tokenizer, labelled.split(name)) for name in ("train", "validation")
    )
    free, parted = (_without_dropout(load(folder).double()) for _ in range(2))
    whole = _tuned(free, (splits[0], splits[1]), goal)
    monkeypatch.setattr(finetune, "TRAINING_TOKENS", 4 * splits[0].tokens.widest)
    assert (whole.micro_batch, _tuned(parted, (splits[0], splits[1]), goal).micro_batch) == (15, 4)
    for name, value in free.state_dict().items():
        torch.testing.assert_close(parted.state_dict()[name], value, atol=1e-5, rtol=1e-5)
    assert "memory" not in caplog.text


def test_what_failed_leaves_no_trace_in_dropout(
    model: Path, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Running out early or late in the network, before or after dropout drew, gives the same."""
    labelled, tokenizer = read_data(data), load_tokenizer(model)
    splits = tuple(
        Labelled.encode(tokenizer, labelled.split(name)) for name in ("train", "validation")
    )
    early, late = load(model), load(model)
    room = 8 * splits[0].tokens.widest
    _no_room_above(room, early)
    _no_room_above(room, late.blocks[-1])
    for network in (early, late):
        assert 4 <= _tuned(network, (splits[0], splits[1])).micro_batch <= 7
    for name, value in early.state_dict().items():
        assert torch.equal(late.state_dict()[name], value), name


def test_no_room_for_one_row(nt_model: Path, splits: tuple[Labelled, Labelled]) -> None:
    model = load(nt_model)
    _no_room_above(0, model)
    told = r"out of memory in training with 1 row of \d+ tokens at a time: use"
    with pytest.raises(GenoslimError, match=told):
        _tuned(model, splits)


def test_no_room_for_the_optimiser(nt_model: Path, splits: tuple[Labelled, Labelled]) -> None:
    """Fewer rows at a time would not help, so it is not tried."""

    def refuse(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    handle = register_optimizer_step_pre_hook(refuse)
    try:
        with pytest.raises(GenoslimError, match="out of memory in training: use a device"):
            _tuned(load(nt_model), splits)
    finally:
        handle.remove()


def test_predictions_are_made_of_fewer_rows(
    nt_model: Path, splits: tuple[Labelled, Labelled], caplog: pytest.LogCaptureFixture
) -> None:
    model = load(nt_model)
    expected = predict_tokens(model, splits[0].tokens)
    width = splits[0].tokens.widest
    _no_room_above(20 * width, model)
    found = predict_tokens(model, splits[0].tokens)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    told = [line for line in caplog.messages if "memory" in line]
    assert [line.split(":")[0] for line in told] == [
        f"out of memory in prediction with {rows} rows of {width} tokens at a time"
        for rows in (128, 64, 32)
    ]


def test_torchs_own_complaint_is_known() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**55)
    assert out_of_memory(caught.value)
    assert not out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_other_errors_are_passed_on() -> None:
    rows = torch.arange(4)
    with pytest.raises(RuntimeError, match="cannot be multiplied"), memory_told("training"):
        MicroBatch(40, "training").over(rows, 10, lambda parts: torch.ones(2, 3) @ torch.ones(2, 3))


def test_a_batch_below_the_size_is_halved_itself() -> None:
    batch = MicroBatch(320, "training")

    def work(parts: tuple[Tensor, ...]) -> list[int]:
        if len(parts[0]) > 5:
            raise torch.OutOfMemoryError("no")
        return [len(part) for part in parts]

    assert batch.over(torch.arange(12), 10, work) == [3, 3, 3, 3]
    assert [batch.rows(width) for width in (10, 6, 31)] == [3, 5, 1]
