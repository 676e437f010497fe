from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from genoslim.errors import UsageError
from genoslim.prune.run_folder import RunFolder
from genoslim.prune.search import SearchOptions
from genoslim.prune.slim_folder import refuse_other_models
from genoslim.prune.slim_model import Pruned
from genoslim.prune.verdicts import Rules

NO_SEARCH = SearchOptions(trainings=0)


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
