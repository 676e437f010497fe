from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from judgements import judged

from genoslim.cli import main
from genoslim.errors import GenoslimError, UsageError
from genoslim.models import load
from genoslim.models.record import read_training
from genoslim.prune.run_folder import RunFolder
from genoslim.prune.search import SearchOptions
from genoslim.prune.slim import Pruned, caveats, choose, judge_run, prune
from genoslim.prune.sweep import Executor, plan
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


def test_nothing_is_removed_where_nothing_isjudged() -> None:
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
    verdicts = made.judgement
    with pytest.MonkeyPatch.context() as patch, caplog.at_level(logging.INFO):
        patch.setattr("genoslim.prune.slim.judge_run", lambda run, rules: verdicts)
        again = prune(finished, out, rules=Rules(), executor=INLINE, search=NO_SEARCH)
    assert again.models == made.models
    assert "steps" not in caplog.text


def test_identical_models_are_made_once_and_said(finished: RunFolder, tmp_path: Path) -> None:
    verdicts = judged(*[("cornerstone", 0.5)] * 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("genoslim.prune.slim.judge_run", lambda run, rules: verdicts)
        made = prune(finished, tmp_path / "out", rules=Rules(), executor=INLINE, search=NO_SEARCH)
    assert [model.same_as for model in made.models] == [None, "baseline", "baseline"]
    for name in ("unfavourable_removed", "cornerstone_only"):
        assert (tmp_path / "out" / name).is_symlink()
        assert len(load(tmp_path / "out" / name).blocks) == 3
    assert any("identical to baseline" in note for note in made.notes)
    assert not (tmp_path / "out" / "trials").exists()


def _prune_into(run: RunFolder, out: Path) -> None:
    prune(run, out, rules=Rules(), executor=INLINE, search=NO_SEARCH)


def test_a_run_folder_is_no_place_for_slim_models(finished: RunFolder) -> None:
    with pytest.raises(UsageError, match="is a run folder"):
        _prune_into(finished, finished.folder)


def test_a_folder_of_something_else_is_never_replaced(finished: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "cornerstone_only").mkdir()
    (tmp_path / "cornerstone_only" / "notes.txt").write_text("mine")
    with pytest.raises(
        GenoslimError, match="cornerstone_only is no checkpoint of `genoslim prune`"
    ):
        _prune_into(finished, tmp_path)
    assert (tmp_path / "cornerstone_only" / "notes.txt").read_text() == "mine"


def test_an_unfinished_sweep_is_notjudged(finished: RunFolder, tmp_path: Path) -> None:
    shutil.copytree(finished.folder, tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    (run.trials.path(plan(run)[-1]) / "result.json").unlink()
    with pytest.raises(GenoslimError, match=r"without layer 2, seed 0\) is not done; finish"):
        judge_run(run, Rules())


def test_a_collapsed_trial_is_not_judged_before_its_retry(
    finished: RunFolder, tmp_path: Path
) -> None:
    shutil.copytree(finished.folder, tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    trial = run.trials.read(plan(run)[-1])
    assert trial is not None
    lost = replace(trial.result, collapsed="stuck at ln 2")
    run.trials.write_result(trial.spec, lost, trial.predictions)
    with pytest.raises(GenoslimError, match=r"without layer 2, seed 1000\) is not done; finish"):
        judge_run(run, Rules())


def test_lost_weights_are_an_error_that_says_what_to_do(
    finished: RunFolder, tmp_path: Path
) -> None:
    shutil.copytree(finished.folder, tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    for spec in plan(run)[:3]:
        shutil.rmtree(run.trials.checkpoint(spec))
    with pytest.MonkeyPatch.context() as patch:
        verdicts = judged(("cornerstone", 0.5), ("neutral", 0.6), ("unfavourable", 0.8))
        patch.setattr("genoslim.prune.slim.judge_run", lambda run, rules: verdicts)
        with pytest.raises(
            GenoslimError, match=r"genoslim sweep -o .* makes those of the baseline again"
        ):
            prune(run, tmp_path / "out", rules=Rules(), executor=INLINE, search=NO_SEARCH)
    assert not (tmp_path / "out" / "trials").exists()  # found out before training, not after


def test_caveats(finished: RunFolder) -> None:
    notes = " ".join(caveats(finished, Rules(split="test")))
    assert "selected on the test split" in notes
    assert "CC-BY-NC-SA-4.0: no commercial use" in notes
    assert "not pathogenicity" in notes
    assert "selected" not in " ".join(caveats(finished, Rules()))


def _invoke(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def test_show(pruned: tuple[Path, Pruned], finished: RunFolder) -> None:
    out, _ = pruned
    code, text, _ = _invoke("show", str(finished.folder))
    assert code == 0
    assert "trials: 6 of 6 done" in text
    code, text, _ = _invoke("show", str(out))
    assert code == 0
    assert "cornerstone_only" in text
    code, text, _ = _invoke("show", str(out / "cornerstone_only"))
    assert code == 0
    assert "layers kept: 1\n" in text


_WITHOUT_TORCH = """
import sys
for name in ("torch", "transformers", "safetensors", "scipy", "pyarrow", "jinja2", "matplotlib"):
    sys.modules[name] = None
from genoslim.cli import main
main(prog_name="genoslim")
"""


def test_show_without_torch_says_what_it_can(
    pruned: tuple[Path, Pruned], finished: RunFolder
) -> None:
    for folder, expected in (
        (finished.folder, "trials: 6 have a result"),
        (pruned[0], "cornerstone_only"),
        (pruned[0] / "cornerstone_only", "layers kept: 1\n"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", _WITHOUT_TORCH, "show", str(folder)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout
        assert ("torch" in done.stderr) == (folder != pruned[0])


def test_show_says_no_when_a_checkpoint_is_gone(
    pruned: tuple[Path, Pruned], tmp_path: Path
) -> None:
    shutil.copytree(pruned[0], tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / "baseline")
    code, _, errors = _invoke("show", str(tmp_path / "out"))
    assert code == 3
    assert "no checkpoint of baseline" in errors


def test_prune_command(finished: RunFolder, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, text, errors = _invoke(
        "prune", str(finished.folder), "-o", str(out), "--workers", "1", "--device", "cpu",
        "--absolute", "--f1", "macro", "--trainings", "0",
    )  # fmt: skip
    assert code == 0, errors
    assert "test split, mean \u00b1 sd over 3 seeds" in text
    assert "macro AUROC" in text
    assert (out / "report.html").exists()
    rules = json.loads((out / "prune.json").read_text())["judgement"]["rules"]
    assert rules["relative"] is False
    assert rules["measuring"]["f1"] == "macro"


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("sweep", "-o", "RUN"), 2, "-m MODEL and -d DATA are needed"),
        (("sweep", "-m", "x", "-o", "RUN"), 2, "give both -m and -d, or neither"),
        (("prune", ".", "-o", "OUT"), 1, "is not a run folder"),
    ],
)
def test_wrong_calls_end_in_one_line(
    arguments: tuple[str, ...],
    code: int,
    word: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    found, _, errors = _invoke(*arguments)
    assert found == code
    assert word in errors
    assert len(errors.strip().splitlines()) == 1


def test_epochs_exclude_patience(finished: RunFolder) -> None:
    code, _, errors = _invoke(
        "sweep", "-o", str(finished.folder), "--epochs", "3", "--patience", "2"
    )
    assert code == 2
    assert "excludes --patience" in errors
