from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from genoslim.errors import GenoslimError
from genoslim.prune.judging import judge_layers, judge_run
from genoslim.prune.plan import plan
from genoslim.prune.run_folder import RunFolder
from genoslim.prune.verdicts import Rules


def test_what_is_on_disk_is_judged_by_any_rules(finished: RunFolder) -> None:
    by_default = judge_layers(str(finished.folder))
    assert by_default == judge_run(finished, Rules())
    rules = Rules(rule="tested", margin=0.3)
    tested = judge_layers(finished.folder, rules=rules)
    assert tested.rules == rules
    assert [verdict.layer for verdict in tested.verdicts] == [0, 1, 2]
    assert tested.baseline == by_default.baseline


def test_an_unfinished_sweep_is_not_judged(finished: RunFolder, tmp_path: Path) -> None:
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
