"""The verbs of models in Python."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from genoslim.errors import UsageError
from genoslim.models import shipped
from genoslim.models.model import Model, drop_layers, load_model, save_model


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model("shipped:nt", seed=3)


def logits(model: Model) -> torch.Tensor:
    ids, mask = map(torch.from_numpy, model.tokenizer.pad(model.tokenizer.encode(["ACGTTG" * 4])))
    with torch.no_grad():
        found: torch.Tensor = model.network(ids, mask)
    return found


def test_what_is_loaded(model: Model) -> None:
    assert repr(model) == "Model('shipped:nt', nt_v1, 12 layers)"
    assert (model.family, model.depth) == ("nt_v1", 12)
    assert model.kept_layers == tuple(range(12))
    assert model.record is not None
    assert model.record.licence == "Apache-2.0"
    assert torch.equal(logits(model), logits(load_model(shipped()["nt"], seed=3)))
    assert not torch.equal(logits(model), logits(load_model("shipped:nt", seed=4)))


def test_layers_are_dropped_from_a_copy(model: Model) -> None:
    before = logits(model)
    slim = drop_layers(model, [11, 0])
    assert (slim.depth, slim.kept_layers) == (10, tuple(range(1, 11)))
    assert (model.depth, len(model.network.blocks)) == (12, 12)
    assert torch.equal(logits(model), before)
    assert not torch.equal(logits(slim), before)
    with torch.no_grad():
        next(slim.network.parameters()).add_(1)
    assert torch.equal(logits(model), before)
    assert drop_layers(model, []).record == model.record
    with pytest.raises(UsageError, match=r"no layer \[12\]; the model has 0 to 11"):
        drop_layers(model, [12])


def test_a_saved_model_comes_back_bit_for_bit_and_says_what_it_was_made_from(
    model: Model, tmp_path: Path
) -> None:
    slim = drop_layers(drop_layers(model, [0]), [0, 10])
    save_model(slim, tmp_path / "slim")
    back = load_model(tmp_path / "slim")
    assert torch.equal(logits(back), logits(slim))
    assert back.kept_layers == tuple(range(2, 11))
    record = back.record
    assert record is not None
    assert (record.base_model, record.base_layers) == ("shipped:nt", 12)
    assert record.dropped_layers == (0, 1, 11)
    assert record.kept_layers == tuple(range(2, 11))
    assert not record.fine_tuned
    save_model(back, tmp_path / "slim")
    again = drop_layers(load_model(tmp_path / "slim"), [8]).record
    assert again is not None
    assert (again.base_layers, again.kept_layers) == (9, tuple(range(8)))


def test_nothing_else_is_replaced_by_a_checkpoint(model: Model, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"holds thesis\.txt and is no checkpoint"):
        save_model(model, tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UsageError, match=r"holds thesis\.txt, no part of a checkpoint"):
        save_model(model, tmp_path)
