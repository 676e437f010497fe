"""The model that the search adds to the paper's two, and what is written beside it."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from browser import plotted
from click.testing import CliRunner

from genoslim.cli import main
from genoslim.data.dataset import read_data
from genoslim.models import load, load_tokenizer
from genoslim.models.record import read_training
from genoslim.prune.execution import Executor
from genoslim.prune.finetune import predict
from genoslim.prune.frontier import Frontier
from genoslim.prune.plan import plan
from genoslim.prune.run_folder import RunFolder
from genoslim.prune.search import SearchOptions
from genoslim.prune.slim_model import Pruned
from genoslim.prune.trial import RETRIES
from genoslim.prune.verbs import prune_layers
from genoslim.prune.verdicts import Rules

INLINE = Executor(workers=1, threads=1, device="cpu")
RULES = Rules(margin=0.3)
SEARCH = SearchOptions(trainings=6, strategies=("sleb",))


@pytest.fixture(scope="module")
def made(finished: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Pruned]:
    """Models of a copy of the shared run, at a margin that is easily kept."""
    folder = tmp_path_factory.mktemp("third")
    shutil.copytree(finished.folder, folder / "run")
    return folder, prune_layers(
        folder / "run", output=folder / "out", rules=RULES, executor=INLINE, search=SEARCH
    )


def test_the_smallest_model_stands_beside_the_papers_two(made: tuple[Path, Pruned]) -> None:
    folder, pruned = made
    names = [model.name for model in pruned.models]
    assert names == [
        "baseline",
        "unfavourable_removed",
        "cornerstone_only",
        "smallest_noninferior",
    ]
    assert [model.training for model in pruned.models[:3]] == ["pretrained"] * 3
    third = pruned.models[3]
    assert pruned.frontier is not None
    assert pruned.frontier.smallest is not None
    assert third.kept == pruned.frontier.smallest.kept
    assert len(third.test["auroc"].values) == 3
    network = load(folder / "out" / "smallest_noninferior")
    assert network.config.kept_layers == third.kept
    record = read_training(folder / "out" / "smallest_noninferior")
    assert record is not None
    assert (record.healing is None) == (third.training == "pretrained")
    assert record.chosen_because == pruned.frontier.reason
    assert f"smallest_noninferior: {pruned.frontier.reason}" in pruned.notes


def test_its_checkpoint_predicts_what_its_trial_predicted(made: tuple[Path, Pruned]) -> None:
    folder, pruned = made
    best = next(s for s in pruned.models[3].seeds if s.seed == pruned.models[3].best_seed)
    out = folder / "out" / "smallest_noninferior"
    test = read_data(Path(RunFolder(folder / "run").record.data)).split("test")
    logits = predict(load(out), load_tokenizer(out), test.sequences)
    (found,) = folder.glob(f"*/**/trials/{best.trial}/predictions.npz")
    with np.load(found) as arrays:
        np.testing.assert_array_equal(logits, arrays["test_logits"])


def test_frontier_and_picture_are_written(made: tuple[Path, Pruned]) -> None:
    folder, pruned = made
    assert pruned.frontier is not None
    assert Frontier.read(folder / "out" / "frontier.json") == pruned.frontier
    assert (folder / "out" / "frontier.png").read_bytes().startswith(b"\x89PNG")
    assert "frontier" not in json.loads((folder / "out" / "prune.json").read_text())
    page = pruned.report.read_text()
    for name in ("frontier-layers", "frontier-ms"):
        assert {row["layers"] for row in plotted(page, name)} >= set(pruned.frontier.sizes)
    for size in pruned.frontier.sizes:
        assert re.search(rf"<t[dh][^>]*>{size}</t[dh]>", page)


def test_the_command_prints_the_frontier_and_trains_nothing_twice(
    made: tuple[Path, Pruned], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = made

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a model was trained again")

    monkeypatch.setattr("genoslim.prune.runner.fine_tune_tokens", refuse)
    arguments = ["prune", str(folder / "run"), "-o", str(folder / "out"), "--margin", "0.3"]
    arguments += ["--trainings", "6", "--strategy", "sleb", "--workers", "1", "--device", "cpu"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.stderr
    assert "the frontier, AUROC on validation, which chose" in result.stdout
    assert "noninferior" in result.stdout


def test_without_a_search_no_old_frontier_is_left(made: tuple[Path, Pruned]) -> None:
    folder, _ = made
    shutil.copytree(folder / "out", folder / "other", symlinks=True)
    pruned = prune_layers(
        folder / "run",
        output=folder / "other",
        rules=RULES,
        executor=INLINE,
        search=SearchOptions(trainings=0),
    )
    assert len(pruned.models) == 3
    assert not (folder / "other" / "frontier.json").exists()


def test_an_unknown_strategy_is_a_usage_error(finished: RunFolder, tmp_path: Path) -> None:
    arguments = ["prune", str(finished.folder), "-o", str(tmp_path), "--strategy", "luck"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert "no strategy luck" in result.stderr


def test_a_run_that_learnt_nothing_is_pruned_without_a_search(
    finished: RunFolder, tmp_path: Path
) -> None:
    """Where every baseline collapsed there is no model to heal from; the paper's two are built."""
    shutil.copytree(finished.folder, tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    for spec in (one for one in plan(run) if not one.dropped):
        trial = run.trials.read(spec)
        assert trial is not None
        for number in range(RETRIES, -1, -1):
            attempt = spec.again(number)
            if number:
                shutil.copytree(run.trials.path(spec), run.trials.path(attempt))
            lost = replace(trial.result, hash=attempt.hash, collapsed="stuck at ln 2")
            run.trials.write_result(attempt, lost, trial.predictions)
    pruned = prune_layers(run.folder, output=tmp_path / "out", rules=RULES, executor=INLINE)
    assert pruned.frontier is None
    assert [model.name for model in pruned.models][:1] == ["baseline"]
