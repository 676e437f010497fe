from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from genoslim.codec import decode
from genoslim.data.dataset import read_data
from genoslim.errors import GenoslimError, UsageError
from genoslim.models import load, load_tokenizer
from genoslim.models.layers import remove_layers
from genoslim.prune.finetune import Labelled, fine_tune_tokens, predict_tokens
from genoslim.prune.healing import LOGITS_FILE, distillation, divergence, teacher_logits
from genoslim.prune.plan import plan, setting_of, spec_of
from genoslim.prune.recipe import Healing, Recipe, Supernet
from genoslim.prune.run_folder import RunFolder
from genoslim.prune.runner import TrialRunner


def _by_hand(student: list[float], teacher: list[float], label: int, how: Healing) -> float:
    """The loss of one row, written out in plain Python."""

    def softened(logits: list[float], temperature: float) -> list[float]:
        weights = [math.exp(value / temperature) for value in logits]
        return [weight / sum(weights) for weight in weights]

    p, q = softened(teacher, how.temperature), softened(student, how.temperature)
    divergence = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    hard = -math.log(softened(student, 1.0)[label])
    return how.share * how.temperature**2 * divergence + (1 - how.share) * hard


@pytest.mark.parametrize(
    "how", [Healing(teacher="t"), Healing(teacher="t", temperature=5, share=1)]
)
def test_loss_is_what_the_formula_gives_row_by_row(how: Healing) -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = (3 * torch.randn(7, 2, generator=generator) for _ in range(2))
    labels = torch.tensor([0, 1, 1, 0, 1, 0, 0])
    rows = torch.tensor([5, 0, 3])
    (found,) = distillation(labels, teacher, how)()(lambda taken: student[taken], rows)
    slow = [
        _by_hand(student[row].tolist(), teacher[row].tolist(), int(labels[row]), how)
        for row in rows
    ]
    assert float(found) == pytest.approx(sum(slow) / len(slow), rel=1e-5)


def test_a_student_that_agrees_with_its_teacher_has_no_divergence() -> None:
    logits = torch.tensor([[2.0, -1.0], [0.0, 30.0]])
    assert float(divergence(logits, logits, 2.0)) == pytest.approx(0.0, abs=1e-7)
    assert float(divergence(logits + 7.0, logits, 2.0)) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(("name", "value"), [("share", 1.5), ("temperature", 0.0)])
def test_senseless_numbers_are_refused(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"healing: {name} is {value}"):
        replace(Healing(teacher="t"), **{name: value})


def test_teachers_logits_are_computed_once(nt_model: Path, data: Path, tmp_path: Path) -> None:
    model = load(nt_model, seed=0)
    train = Labelled.encode(load_tokenizer(nt_model), read_data(data).split("train"))
    cache = tmp_path / LOGITS_FILE
    first = teacher_logits(model, train, cache)
    np.testing.assert_array_equal(first.numpy(), predict_tokens(model, train.tokens))
    np.save(cache, first.numpy() + 1)
    assert torch.equal(teacher_logits(model, train, cache), first + 1)
    cache.write_bytes(cache.read_bytes()[:-4])
    assert torch.equal(teacher_logits(model, train, cache), first)


def _healed(run: RunFolder, tmp_path: Path) -> TrialRunner:
    return TrialRunner(replace(setting_of(run, trials=tmp_path), teachers=(run.trials.folder,)))


def test_a_healed_trial_is_the_teacher_without_layers_trained_on_its_logits(
    own_run: RunFolder, tmp_path: Path
) -> None:
    teacher = plan(own_run)[0]
    how = Healing(teacher=teacher.hash)
    spec = replace(spec_of(own_run, (1,), 5), healing=how)
    runner = _healed(own_run, tmp_path)
    assert runner.run(spec, keep_weights=False) == "done"
    assert runner.run(spec, keep_weights=False) == "found"
    trial = runner.store.read(spec)
    assert trial is not None

    model = load(own_run.trials.checkpoint(teacher))
    train, validation = runner.encoded["train"], runner.encoded["validation"]
    logits = torch.from_numpy(predict_tokens(model, train.tokens))
    remove_layers(model, (1,))
    goal = distillation(train.labels, logits, how)
    fine_tune_tokens(model, train, validation, spec.recipe, seed=5, objective=goal)
    expected = predict_tokens(model, runner.encoded["test"].tokens)
    np.testing.assert_array_equal(trial.predictions.test, expected)


def test_a_lost_teacher_is_named(finished: RunFolder, tmp_path: Path) -> None:
    spec = replace(spec_of(finished, (1,), 0), healing=Healing(teacher="0123"))
    with pytest.raises(GenoslimError, match="weights of trial 0123, which others"):
        _healed(finished, tmp_path).run(spec, keep_weights=False)


def test_without_healing_the_hash_is_what_it_was() -> None:
    from genoslim.prune.trial import TrialSpec

    spec = TrialSpec(
        model="a", model_fingerprint="f", data_fingerprint="d", dropped=(2,), seed=0,
        recipe=Recipe(),
    )  # fmt: skip
    healed = replace(spec, healing=Healing(teacher="t"))
    supernet = replace(spec, dropped=(), supernet=Supernet(teacher="t"))
    assert spec.hash == OLD_HASH
    others = [
        healed,
        replace(spec, healing=Healing(teacher="u")),
        supernet,
        replace(spec, dropped=()),
    ]
    assert len({spec.hash, *(other.hash for other in others)}) == 5
    assert healed.name == "without layer 2, healed, seed 0"
    assert supernet.name == "baseline, supernet, seed 0"
    for one in (spec, healed, supernet):
        assert decode(TrialSpec, one.content, "spec.json", exact=True) == one
    with pytest.raises(GenoslimError, match="a supernet has all layers"):
        replace(healed, supernet=Supernet(teacher="t"))


OLD_HASH = "b7e4d99296cf6958"
"""Of this spec, before trials could be healed."""
