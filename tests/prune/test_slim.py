from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from judgements import judged

from genoslim.errors import GenoslimError, UsageError
from genoslim.models import load
from genoslim.models.record import read_training
from genoslim.prune.execution import Executor
from genoslim.prune.plan import plan
from genoslim.prune.run_folder import RunFolder
from genoslim.prune.search import SearchOptions
from genoslim.prune.slim import (
    Pruned,
    build_slim_models,
    caveats,
    choose,
    refuse_other_models,
)
from genoslim.prune.verdicts import Judgement, Role, Rules

NO_SEARCH = SearchOptions(trainings=0)
INLINE = Executor(workers=1, threads=1, device="cpu")


@pytest.mark.parametrize(
    ("roles", "aurocs", "removed", "others", "word"),
    [
        ("uncu", (0.8, 0.7, 0.5, 0.8), (0, 3), (0, 1, 3), ""),
        ("nnnn", (0.8, 0.7, 0.6, 0.8), (), (0, 1, 3), "`dearest layer`"),
        ("uuuu", (0.8, 0.9, 0.7, 0.8), (0, 1, 3), (0, 1, 3), "`never empty`"),
        ("cccc", (0.5, 0.5, 0.5, 0.5), (), (), "nothing is removed"),
        ("?c?u", (0.8, 0.5, 0.8, 0.8), (3,), (0, 2, 3), ""),
    ],
)
def test_choice_of_layers(
    roles: str, aurocs: Sequence[float], removed: object, others: object, word: str
) -> None:
    names: dict[str, Role] = {
        "u": "unfavourable",
        "n": "neutral",
        "c": "cornerstone",
        "?": "undecided",
    }
    verdicts = judged(*((names[r], a) for r, a in zip(roles, aurocs, strict=True)))
    first, second = choose(verdicts)
    assert (first.dropped, second.dropped) == (removed, others)
    assert word in first.reason + second.reason


def _lost(judgement: Judgement, *layers: int) -> Judgement:
    """The same, where every attempt without some layers collapsed at an AUROC of 0.1."""
    verdicts = []
    for verdict in judgement.verdicts:
        if verdict.layer in layers:
            evidence = replace(
                verdict.evidence,
                metrics=dict.fromkeys(verdict.evidence.metrics, 0.1),
                collapsed_seeds=(0,),
            )
            verdict = replace(verdict, role="undecided", evidence=evidence)
        verdicts.append(verdict)
    return replace(judgement, verdicts=tuple(verdicts))


def test_a_layer_that_collapsed_is_never_the_dearest() -> None:
    none = judged(("neutral", 0.8), ("neutral", 0.6), ("neutral", 0.7))
    for first, second in (choose(_lost(none, 0)), choose(_lost(none, 2))):
        assert (first.dropped, second.dropped) == ((), (0, 2))
    unfavourable = judged(("unfavourable", 0.8), ("unfavourable", 0.6))
    assert choose(unfavourable)[0].dropped == (0,)


def test_nothing_is_removed_where_nothing_is_judged() -> None:
    none = judged(("neutral", 0.8), ("neutral", 0.6))
    for choice in choose(replace(none, unjudged="the baseline is at chance")):
        assert choice.dropped == ()
        assert "(the baseline is at chance)" in choice.reason
    for choice in choose(_lost(none, 0, 1)):
        assert choice.dropped == ()
        assert "collapsed without each" in choice.reason


def test_the_three_models_load_with_the_layers_they_should_have(
    pruned: tuple[Path, Pruned],
) -> None:
    out, made = pruned
    expected = {
        "baseline": (0, 1, 2),
        "unfavourable_removed": (1, 2),
        "cornerstone_only": (1,),
    }
    for model in made.models:
        assert model.kept == expected[model.name]
        loaded = load(out / model.name)
        assert loaded.config.kept_layers == model.kept
        assert sum(p.numel() for p in loaded.parameters()) == model.parameters


def test_the_saved_seed_is_the_best_on_validation(pruned: tuple[Path, Pruned]) -> None:
    out, made = pruned
    for model in made.models:
        best = max(model.seeds, key=lambda seed: (seed.validation.auroc, -seed.seed))
        assert model.best_seed == best.seed
        record = read_training(out / model.name)
        assert record is not None
        assert record.seed == best.seed
        assert record.test == best.test
        assert record.fine_tune_seconds == best.fine_tune_seconds
        assert len(record.seeds) == 3


def test_the_baseline_is_the_sweeps_own_and_not_trained_again(
    pruned: tuple[Path, Pruned], finished: RunFolder
) -> None:
    out, made = pruned
    spec = next(s for s in plan(finished) if not s.dropped and s.seed == made.models[0].best_seed)
    mine, theirs = load(out / "baseline"), load(finished.trials.checkpoint(spec))
    for name, value in mine.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[name])
    assert spec.hash not in {path.name for path in (out / "trials").iterdir()}


def test_a_checkpoint_predicts_what_its_trial_predicted(
    pruned: tuple[Path, Pruned], finished: RunFolder
) -> None:
    import numpy as np

    from genoslim.data.dataset import LabelledData
    from genoslim.models import load_tokenizer
    from genoslim.prune.finetune import predict

    out, _ = pruned
    folder = out / "cornerstone_only"
    test = LabelledData.read(Path(finished.record.data)).split("test")
    logits = predict(load(folder), load_tokenizer(folder), test.sequences)
    record = read_training(folder)
    assert record is not None
    with np.load(out / "trials" / record.trial / "predictions.npz") as arrays:
        np.testing.assert_array_equal(logits, arrays["test_logits"])


def test_the_record_says_what_an_export_needs(pruned: tuple[Path, Pruned]) -> None:
    record = read_training(pruned[0] / "unfavourable_removed")
    assert record is not None
    assert record.dropped_layers == (0,)
    assert record.kept_layers == (1, 2)
    assert record.base_layers == 3
    assert record.window_length == 48
    assert record.assembly == "none"
    assert record.data_licence == "CC0-1.0"
    assert record.licence == "CC-BY-NC-SA-4.0"
    assert record.recipe["epochs"] == 3
    assert len(record.data_fingerprint) == 64


def test_pruning_again_trains_nothing(
    pruned: tuple[Path, Pruned], finished: RunFolder, caplog: pytest.LogCaptureFixture
) -> None:
    out, made = pruned
    with caplog.at_level(logging.INFO):
        again = build_slim_models(finished, made.judgement, out, executor=INLINE, search=NO_SEARCH)
    assert again.models == made.models
    assert "steps" not in caplog.text


def test_identical_models_are_made_once_and_said(finished: RunFolder, tmp_path: Path) -> None:
    verdicts = judged(*[("cornerstone", 0.5)] * 3)
    made = build_slim_models(
        finished, verdicts, tmp_path / "out", executor=INLINE, search=NO_SEARCH
    )
    assert [model.same_as for model in made.models] == [None, "baseline", "baseline"]
    for name in ("unfavourable_removed", "cornerstone_only"):
        assert (tmp_path / "out" / name).is_symlink()
        assert len(load(tmp_path / "out" / name).blocks) == 3
    assert any("identical to baseline" in note for note in made.notes)
    assert not (tmp_path / "out" / "trials").exists()


def test_a_run_folder_is_no_place_for_slim_models(finished: RunFolder) -> None:
    with pytest.raises(UsageError, match="is a run folder"):
        refuse_other_models(finished.folder, finished, Rules())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cornerstone_only", "cornerstone_only is no checkpoint of `genoslim prune`"),
        ("thesis", r"holds thesis and is no folder of slim models \(no prune.json\)"),
    ],
)
def test_a_folder_of_something_else_is_never_replaced(
    name: str, words: str, finished: RunFolder, tmp_path: Path
) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=words):
        refuse_other_models(tmp_path, finished, Rules())


def test_models_of_other_rules_or_of_another_run_are_refused(
    pruned: tuple[Path, Pruned], finished: RunFolder, tmp_path: Path
) -> None:
    out, _ = pruned
    refuse_other_models(out, finished, Rules())
    with pytest.raises(UsageError, match='rule is "paper" there and "tested" here') as caught:
        refuse_other_models(out, finished, Rules(rule="tested", drop=0.1))
    assert "drop is 0.05 there and 0.1 here" in str(caught.value)
    shutil.copytree(finished.folder, tmp_path / "copy")
    with pytest.raises(UsageError, match=r"run is .* there and .*copy here"):
        refuse_other_models(out, RunFolder(tmp_path / "copy"), Rules())


def test_models_of_a_run_that_was_moved_are_still_its_own(
    pruned: tuple[Path, Pruned], finished: RunFolder, tmp_path: Path
) -> None:
    content = json.loads((pruned[0] / "prune.json").read_text())
    (tmp_path / "prune.json").write_text(json.dumps({**content, "run": "/nowhere/run"}))
    refuse_other_models(tmp_path, finished, Rules())


def test_lost_weights_are_an_error_that_says_what_to_do(
    finished: RunFolder, tmp_path: Path
) -> None:
    shutil.copytree(finished.folder, tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    for spec in plan(run)[:3]:
        shutil.rmtree(run.trials.checkpoint(spec))
    verdicts = judged(("cornerstone", 0.5), ("neutral", 0.6), ("unfavourable", 0.8))
    with pytest.raises(
        GenoslimError, match=r"genoslim sweep -o .* makes those of the baseline again"
    ):
        build_slim_models(run, verdicts, tmp_path / "out", executor=INLINE, search=NO_SEARCH)
    assert not (tmp_path / "out" / "trials").exists()  # found out before training, not after


def test_caveats(finished: RunFolder) -> None:
    notes = " ".join(caveats(finished, Rules(split="test")))
    assert "selected on the test split" in notes
    assert "CC-BY-NC-SA-4.0: no commercial use" in notes
    assert "not pathogenicity" in notes
    assert "selected" not in " ".join(caveats(finished, Rules()))
