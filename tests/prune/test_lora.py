from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from click.testing import CliRunner
from tiny_checkpoints import FAMILIES, tiny_classifier
from torch import Tensor, nn

from genoslim import export_bundle, prune_layers
from genoslim.cli import main
from genoslim.data.dataset import read_data
from genoslim.errors import GenoslimError, UsageError
from genoslim.models import load, load_tokenizer
from genoslim.models.classifier import Classifier
from genoslim.models.record import read_training
from genoslim.prune import lora as lora_module
from genoslim.prune.execution import Executor
from genoslim.prune.finetune import Labelled, fine_tune, fine_tune_tokens, predict
from genoslim.prune.lora import adapted, require_peft, target_layers
from genoslim.prune.recipe import LoRA, Recipe, RecipeOptions
from genoslim.prune.search import SearchOptions
from genoslim.prune.tokens import TokenTable

RECIPE = Recipe(epochs=2, learning_rate=1e-2, batch_size=8, lora=LoRA(rank=2, alpha=8))
WHICH = {
    "dnabert2": {"attention.self.Wqkv", "attention.output.dense"},
    "nt_v1": {
        *(f"attention.self.{name}" for name in ("query", "key", "value")),
        *(f"{name}.dense" for name in ("attention.output", "intermediate", "output")),
    },
    "nt_v2": {
        *(f"attention.self.{name}" for name in ("query", "key", "value")),
        *(f"{name}.dense" for name in ("attention.output", "output")),
    },
}
"""The layers of a block that get adapters; NT v2's MLP begins with a gate, which is no such one."""
WHICH["hf:bert"] = WHICH["nt_v1"]


@pytest.fixture(params=[*FAMILIES, "hf:bert"])
def network(request: pytest.FixtureRequest, tmp_path: Path) -> Classifier:
    if request.param != "hf:bert":
        return tiny_classifier(request.param)
    sizes: dict[str, Any] = {"vocab_size": 15, "hidden_size": 32, "num_attention_heads": 4}
    config = transformers.BertConfig(**sizes, num_hidden_layers=3, intermediate_size=48)
    transformers.BertForSequenceClassification(config).save_pretrained(tmp_path)
    return load(tmp_path)


def _rows(count: int) -> Labelled:
    ids = torch.randint(5, 15, (count, 9), generator=torch.Generator().manual_seed(count))
    table = TokenTable(ids, torch.full((count,), 9), torch.arange(9))
    return Labelled(table, torch.arange(count) % 2)


def _logits(model: Classifier, rows: Labelled) -> Tensor:
    with torch.no_grad():
        logits: Tensor = model.eval()(*rows.tokens.batch(torch.arange(len(rows.labels))))
    return logits


def _weights(model: Classifier) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_merged_weights_give_the_logits_of_the_adapters(network: Classifier) -> None:
    rows, before = _rows(6), _weights(network)
    plain = _logits(network, rows)
    with adapted(network, LoRA(rank=3)):
        torch.testing.assert_close(_logits(network, rows), plain)
        with torch.no_grad():
            for parameter in network.parameters():
                if parameter.requires_grad:
                    parameter.add_(0.05 * torch.randn_like(parameter))
        unmerged = _logits(network, rows)
    assert not torch.allclose(unmerged, plain, atol=1e-3)
    torch.testing.assert_close(_logits(network, rows), unmerged, atol=1e-5, rtol=1e-5)
    after = network.state_dict()
    assert {name: value.shape for name, value in after.items()} == {
        name: value.shape for name, value in before.items()
    }
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_only_adapters_and_the_head_move(network: Classifier) -> None:
    before = _weights(network)
    names = [name.partition("network.")[2] or name for name in network.head]
    fine_tune_tokens(network, _rows(32), _rows(4), RECIPE, seed=0)
    moved = {name for name, value in network.state_dict().items() if (value != before[name]).any()}
    ours = {name for name in moved if not name.startswith(tuple(names))}
    blocks = {name.partition(".layer.")[2].partition(".")[2] for name in ours}
    assert blocks == {f"{layer}.weight" for layer in WHICH[network.family]}
    assert {name for name in before if name.startswith(tuple(names))} == moved - ours
    for name in ours:  # what was added has the adapters' rank: Wqkv's three share one
        change = (network.state_dict()[name] - before[name]).double()
        assert int(torch.linalg.matrix_rank(change, rtol=1e-4)) <= 2


def test_same_seed_same_bits() -> None:
    first, second = (tiny_classifier("dnabert2") for _ in range(2))
    for model in (first, second):
        fine_tune_tokens(model, _rows(32), _rows(4), RECIPE, seed=3)
        torch.rand(7)
    for name, value in first.state_dict().items():
        assert torch.equal(second.state_dict()[name], value), name


def test_a_planted_signal_is_learnt(nt_model: Path, data: Path) -> None:
    """From random weights, frozen but for adapters and head, far better than chance (0.69)."""
    model = load(nt_model, seed=0)
    recipe = replace(RECIPE, epochs=6, batch_size=16)
    tuned = fine_tune(model, load_tokenizer(nt_model), read_data(data), recipe, seed=0)
    assert tuned.validation_loss < 0.4


def test_the_best_weights_are_kept_as_without_lora(nt_model: Path, data: Path) -> None:
    model, tokenizer, labelled = load(nt_model, seed=0), load_tokenizer(nt_model), read_data(data)
    recipe = replace(RECIPE, epochs=None, patience=1, max_epochs=20, learning_rate=0.1)
    tuned = fine_tune(model, tokenizer, labelled, recipe, seed=0)
    assert tuned.step < tuned.steps
    held_out = Labelled.encode(tokenizer, labelled.split("validation"))
    loss = nn.functional.cross_entropy(_logits(model, held_out), held_out.labels)
    assert float(loss) == pytest.approx(tuned.validation_loss, abs=1e-5)


def test_layers_that_are_not_there_are_named() -> None:
    with pytest.raises(GenoslimError, match="no linear layer q_lin in its blocks; it has Wqkv, de"):
        target_layers(tiny_classifier("dnabert2"), LoRA(targets=("q_lin",)))
    assert len(target_layers(tiny_classifier("dnabert2"), LoRA(targets=("wo",)))) == 3
    with pytest.raises(GenoslimError, match="has no linear layer vo in its blocks"):
        target_layers(tiny_classifier("dnabert2"), LoRA(targets=("wo", "vo")))


def test_without_peft_the_call_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lora_module, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"--lora needs peft: pip install '\.\[lora\]'"):
        require_peft()


def test_options_make_lora() -> None:
    empty = dict.fromkeys(RecipeOptions.__annotations__)
    options: Any = {**empty, "lora": True}
    assert Recipe().changed(options).lora == LoRA()
    options = {**empty, "lora_rank": 4, "lora_targets": "query, value"}
    changed = Recipe().changed(options)
    assert changed.lora == LoRA(rank=4, targets=("query", "value"))
    assert changed.changed({**options, "lora_targets": None, "lora_alpha": 2}).lora == LoRA(
        rank=4, alpha=2, targets=("query", "value")
    )
    assert Recipe().changed({**empty}).lora is None  # type: ignore[typeddict-item]


@pytest.mark.parametrize(("field", "value"), [("rank", 0), ("alpha", 0), ("targets", ("",))])
def test_lora_refuses_what_makes_no_sense(field: str, value: Any) -> None:
    with pytest.raises(UsageError, match=f"lora: {field}"):
        LoRA(**{field: value})


def test_sweep_prune_and_export_with_adapters(nt_model: Path, data: Path, tmp_path: Path) -> None:
    run, slim = tmp_path / "run", tmp_path / "slim"
    call = f"sweep -m {nt_model} -d {data} -o {run} --lora --lora-rank 4 --learning-rate 1e-2"
    ending = "--epochs 2 --batch-size 16 --seeds 2 --layer-seeds 1 --workers 1 --device cpu"
    done = CliRunner().invoke(main, [*call.split(), *ending.split()])
    assert done.exit_code == 0, done.output
    pruned = prune_layers(
        run, output=slim, search=SearchOptions(trainings=4), executor=Executor(workers=1, threads=1)
    )
    assert {spec["training"] for spec in _trained(tmp_path)} >= {"healing", "supernet"}
    checkpoint = pruned.checkpoint("baseline")
    record = read_training(checkpoint)
    assert record is not None
    assert record.recipe["lora"] == {"rank": 4, "alpha": 16, "targets": LoRA().targets}
    assert load(checkpoint).state_dict().keys() == load(nt_model).state_dict().keys()
    with np.load(run / "trials" / str(record.trial) / "predictions.npz") as kept:
        test = read_data(data).split("test").sequences
        found = predict(load(checkpoint), load_tokenizer(checkpoint), test)
        np.testing.assert_array_equal(found, kept["test_logits"])
    export_bundle(checkpoint, tmp_path / "bundle", data=data, threads=1, allow_chance=True)


def _trained(folder: Path) -> list[dict[str, Any]]:
    """Return the specs of all trials in a folder, each with how it was trained."""
    specs = [json.loads(path.read_text()) for path in folder.glob("**/trials/*/spec.json")]
    assert all(spec["recipe"]["lora"]["rank"] == 4 for spec in specs)
    ways = ("healing", "supernet")
    return [
        spec | {"training": next((way for way in ways if way in spec), "pretrained")}
        for spec in specs
    ]
