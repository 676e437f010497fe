"""The verbs as a Python program and as a command line calls them."""

from __future__ import annotations

import json
import logging
import re
import shutil
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from browser import plotted
from click.testing import CliRunner

from genoslim.cli import main
from genoslim.data.dataset import read_data
from genoslim.errors import UsageError
from genoslim.prune.execution import Executor
from genoslim.prune.plan import SweepConfig, plan
from genoslim.prune.run_folder import RunFolder
from genoslim.prune.search import SearchOptions
from genoslim.prune.verbs import plan_sweep, prune_layers, run_sweep, run_trial
from genoslim.prune.verdicts import Rules

INLINE = Executor(workers=1, threads=1, device="cpu")
NO_SEARCH = SearchOptions(trainings=0)


def _genoslim(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def test_a_sweep_leaves_layers_and_a_report(
    own_run: RunFolder, config: SweepConfig, caplog: pytest.LogCaptureFixture
) -> None:
    """The same call on a finished sweep trains nothing and judges it."""
    with caplog.at_level(logging.INFO):
        result = run_sweep(
            config.model, config.data, output=own_run.folder, recipe=config.recipe, executor=INLINE
        )
    assert "steps" not in caplog.text
    assert (result.folder, result.trials) == (own_run.folder, 6)
    written = json.loads((own_run.folder / "layers.json").read_text())
    assert [row["layer"] for row in written["verdicts"]] == [0, 1, 2]
    assert written["rules"]["split"] == "validation"
    assert result.judgement.baseline_macro_auroc is not None
    page = result.report.read_text()
    assert page.count("<figure") == 6  # four metrics, differences, subgroups
    assert [row["layer"] for row in plotted(page, "metric-f1")] == [0, 1, 2]
    assert "macro AUROC" in page
    assert not re.search(r"""(src|href)=["']http""", page)


def test_a_dry_run_lists_the_plan_and_leaves_no_trace(
    finished: RunFolder, config: SweepConfig, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    listed = plan_sweep(config, out)
    assert [trial.spec for trial in listed] == plan(finished)
    assert {trial.state for trial in listed} == {"to do"}
    assert not out.exists()
    assert {trial.state for trial in plan_sweep(config, finished.folder)} == {"done"}


def test_a_dry_run_binds_no_folder_to_what_it_listed(config: SweepConfig, tmp_path: Path) -> None:
    out = tmp_path / "run"
    options = ("sweep", "-m", config.model, "-d", str(config.data), "-o", str(out))
    code, text, errors = _genoslim(*options, "--epochs", "3", "--dry-run")
    assert (code, errors) == (0, "")
    first, *others = [line.split("\t") for line in text.splitlines()]
    assert first[1:] == ["-", "0", "to do"]
    assert [line[1:3] for line in others] == [
        ["-", "1"],
        ["-", "2"],
        *([str(n), str(seed)] for n in range(3) for seed in range(2)),
    ]
    assert not out.exists()
    code, again, _ = _genoslim(*options, "--epochs", "4", "--dry-run")
    assert code == 0
    assert again != text


def test_one_trial_of_a_folder_that_is_not_there_yet(
    config: SweepConfig, finished: RunFolder, tmp_path: Path
) -> None:
    """What the tasks of a job array do, without a call before them that makes the folder."""
    spec = plan(finished)[3]
    run_trial(config, tmp_path / "run", spec.hash, executor=INLINE)
    states = {trial.spec.hash: trial.state for trial in plan_sweep(config, tmp_path / "run")}
    assert [name for name, state in states.items() if state == "done"] == [spec.hash]


def test_a_folder_of_something_else_is_no_run(config: SweepConfig, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"holds thesis.txt and is no run folder"):
        plan_sweep(config, tmp_path)
    with pytest.raises(UsageError, match=r"holds thesis.txt and is no run folder"):
        run_sweep(config.model, config.data, output=tmp_path, executor=INLINE)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_models_of_another_rule_stay_and_the_same_rule_goes_on(
    finished: RunFolder, tmp_path: Path
) -> None:
    out = tmp_path / "slim"
    first = prune_layers(finished.folder, output=out, search=NO_SEARCH, executor=INLINE)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match='rule is "paper" there and "tested" here'):
        prune_layers(finished.folder, output=out, rules=Rules(rule="tested"), executor=INLINE)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    again = prune_layers(finished.folder, output=out, search=NO_SEARCH, executor=INLINE)
    assert again == first
    assert again.report.exists()


def test_the_command_prune(finished: RunFolder, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, text, errors = _genoslim(
        "prune", str(finished.folder), "-o", str(out), "--workers", "1", "--device", "cpu",
        "--absolute", "--f1", "macro", "--trainings", "0",
    )  # fmt: skip
    assert code == 0, errors
    assert "mean \u00b1 sd over seeds" in text
    assert "macro AUROC" in text
    assert max(map(len, text.splitlines())) <= 80
    assert (out / "report.html").exists()
    rules = json.loads((out / "prune.json").read_text())["judgement"]["rules"]
    assert rules["relative"] is False
    assert rules["measuring"]["f1"] == "macro"
    code, _, errors = _genoslim("prune", str(finished.folder), "-o", str(out))
    assert code == 2
    assert "relative is false there and true here" in errors


def test_the_defaults_of_the_command_prune_are_those_of_the_rules() -> None:
    stated = {option.name: option.default for option in main.commands["prune"].params}
    for field in fields(Rules):
        if field.name in stated:
            assert stated[field.name] == field.default, field.name


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
    found, _, errors = _genoslim(*arguments)
    assert found == code
    assert word in errors
    assert len(errors.strip().splitlines()) == 1


def test_slim_models_do_not_go_where_searches_are_kept(finished: RunFolder) -> None:
    place = finished.folder / "frontier"
    code, _, errors = _genoslim("prune", str(finished.folder), "-o", str(place))
    assert code == 2
    assert errors.startswith(f"genoslim: {place}: searches of the run are kept there")
    assert not place.exists()


def test_a_sweep_goes_on_with_data_that_has_moved(finished: RunFolder, tmp_path: Path) -> None:
    moved = tmp_path / "moved.parquet"
    shutil.copy(finished.record.data, moved)
    code, told, errors = _genoslim(
        "sweep", "-o", str(finished.folder), "-d", str(moved), "--dry-run"
    )
    assert (code, errors) == (0, "")
    assert [line.split("\t")[-1] for line in told.splitlines()] == ["done"] * 6
    other = tmp_path / "other.parquet"
    read_data(moved).subset(np.arange(200)).write(other)
    code, _, errors = _genoslim("sweep", "-o", str(finished.folder), "-d", str(other))
    assert code == 1
    assert f"(the data here: {other})" in errors


def test_epochs_exclude_patience(finished: RunFolder) -> None:
    code, _, errors = _genoslim(
        "sweep", "-o", str(finished.folder), "--epochs", "3", "--patience", "2"
    )
    assert code == 2
    assert "excludes --patience" in errors


def test_another_recipe_for_a_run_is_refused(finished: RunFolder) -> None:
    code, _, errors = _genoslim("sweep", "-o", str(finished.folder), "--clip", "2", "--dry-run")
    assert code == 1
    assert "recipe clip is 1.0 there and 2.0 here" in errors
