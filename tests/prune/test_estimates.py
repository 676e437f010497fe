from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from genoslim.cli import main
from genoslim.data.dataset import read_data
from genoslim.errors import GenoslimError, UsageError
from genoslim.prune.estimates import estimate_layers
from genoslim.prune.importance import METHODS
from genoslim.prune.plan import plan
from genoslim.prune.run_folder import RunFolder


def test_rows_are_drawn_by_the_seed(finished: RunFolder) -> None:
    def scores(rows: int, seed: int) -> tuple[float, ...]:
        where = finished.record.model, finished.record.data
        found = estimate_layers(*where, methods=["cka"], rows=rows, seed=seed, device="cpu")
        assert found.rows == min(rows, 64)
        return found.methods[0].scores

    assert scores(16, 0) == scores(16, 0) != scores(16, 1)
    assert scores(1000, 0) == pytest.approx(scores(64, 1))


def test_without_a_sweep_there_is_nothing_to_agree_with(finished: RunFolder) -> None:
    found = estimate_layers(
        finished.record.model, finished.record.data, methods=["last"], rows=4, device="cpu"
    )
    assert "sweep" not in found.to_dict()
    with pytest.raises(UsageError, match="give `run`"):
        found.agreement(found.methods[0])


def test_an_unknown_method_is_quoted(finished: RunFolder) -> None:
    where = finished.record.model, finished.record.data
    with pytest.raises(UsageError, match="method 'luck' is not one of block_influence"):
        estimate_layers(*where, methods=["luck"], rows=4)  # type: ignore[list-item]


def test_other_data_than_the_runs_are_refused(finished: RunFolder, tmp_path: Path) -> None:
    data = read_data(Path(finished.record.data))
    data.subset(np.arange(len(data)) > 0).write(tmp_path / "other.parquet")
    with pytest.raises(GenoslimError, match=r"other.parquet: fingerprint .*, the run .* is of"):
        estimate_layers(finished.record.model, tmp_path / "other.parquet", run=finished.folder)


def test_command_compares_with_a_run(finished: RunFolder, tmp_path: Path) -> None:
    record = finished.record
    out = tmp_path / "estimate.json"
    where = ["-m", record.model, "-d", record.data, "-o", str(out)]
    compare = ["--run", str(finished.folder), "--rows", "16"]
    result = CliRunner().invoke(main, ["estimate", *where, *compare])
    assert result.exit_code == 0, result.stderr
    found = json.loads(out.read_text())
    assert set(found["methods"]) == set(METHODS)
    assert set(found["methods"]["taylor"]["agreement"]) == {
        *("spearman", "low", "high", "kendall", "least", "roles"),
    }
    assert found["sweep"]["agreement_with_itself"] is None
    assert [found["methods"][name]["passes"] for name in ("cka", "frozen", "sleb")] == [1, 4, 5]
    assert found["methods"]["window_shapley"]["passes"] == 1 + 3 + 2
    assert len(found["sweep"]["auroc_lost_without"]) == 3
    assert "Spearman" in result.stdout
    assert found["scored"]["cka"] == record.model
    assert found["scored"]["taylor"].endswith("checkpoint")


def test_command_refuses_the_run_of_another_model(
    finished: RunFolder, model: Path, tmp_path: Path
) -> None:
    where = ["-m", str(model), "-d", finished.record.data, "-o", str(tmp_path / "e.json")]
    result = CliRunner().invoke(main, ["estimate", *where, "--run", str(finished.folder)])
    assert result.exit_code == 1
    assert f"{model}: the run {finished.folder} is of {finished.record.model}" in result.stderr


def test_command_wants_a_trained_head_for_losses(finished: RunFolder, tmp_path: Path) -> None:
    record = finished.record
    base = ["estimate", "-d", record.data, "-o", str(tmp_path / "e.json"), "--rows", "8"]
    result = CliRunner().invoke(main, [*base, "-m", record.model, "--method", "fisher"])
    assert result.exit_code == 2
    assert "fisher needs a fine-tuned model" in result.stderr
    result = CliRunner().invoke(main, [*base, "-m", record.model])
    assert result.exit_code == 0
    assert "frozen is left out" in result.stderr
    tuned = str(finished.trials.checkpoint(plan(finished)[0]))
    result = CliRunner().invoke(main, [*base, "-m", tuned, "--method", "fisher"])
    assert result.exit_code == 0, result.stderr
