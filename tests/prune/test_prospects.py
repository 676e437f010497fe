from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

from genoslim.prune.execution import Executor
from genoslim.prune.measure import Rows, Sample
from genoslim.prune.plan import plan
from genoslim.prune.prospects import AUROC, assumed, prospects
from genoslim.prune.run_folder import RunFolder
from genoslim.prune.sweep import outlook, sweep
from genoslim.stats.power import auroc_variance


def _sample(loci: int, size: int = 40) -> Sample:
    n = max(loci, 1) * size
    names = np.arange(n).astype(np.str_)
    groups = np.array([f"locus {i // size}" if loci else "" for i in range(n)])
    here = Rows((np.arange(n) % 2).astype(np.int8), names, groups)
    other = Rows(here.labels, names, np.array(["" for _ in range(n)]))
    return Sample.of({"validation": here, "test": other}, "validation")


def test_what_is_assumed_follows_from_the_rows() -> None:
    known = assumed(_sample(0, 1000))
    assert known.units == 1000
    assert known.rows_variance == pytest.approx(0.8 * auroc_variance(AUROC, 500, 500))
    loci = assumed(_sample(4))
    assert loci.units == 4
    assert loci.rows_variance > 0.03**2 / 4


def test_four_loci_can_find_next_to_nothing() -> None:
    said = {
        loci: prospects(_sample(loci), layers=12, seeds=2, baseline_seeds=3) for loci in (4, 40)
    }
    assert said[4].startswith("with 4 validation groups and 2 seeds a layer a loss of 0.05 macro")
    found = {n: float(text.split("probability ")[1].split(" ")[0]) for n, text in said.items()}
    assert found[4] < 0.2 < found[40]
    nothing = prospects(_sample(1), layers=12, seeds=2, baseline_seeds=3)
    assert nothing == "with fewer than 2 validation groups of a class no layer can be judged"


def test_a_sweep_says_it_before_it_trains_and_knows_better_once_the_baseline_is_done(
    finished: RunFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(finished.folder, tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    one = Executor(workers=1, threads=1, device="cpu")
    with caplog.at_level(logging.INFO):
        sweep(run, executor=one)
    assert "is found with probability" not in caplog.text  # nothing is left to train
    (run.trials.path(plan(run)[-1]) / "result.json").unlink()
    with caplog.at_level(logging.INFO):
        sweep(run, executor=one)
    first, *_ = [record.message for record in caplog.records]
    assert "1 seed a layer a loss of 0.05 AUROC is found with probability" in first
    assert "measured on the baseline: AUROC" in first
    (run.trials.path(plan(run)[0]) / "result.json").unlink()
    assert "; assumed: AUROC 0.85, sd over seeds 0.010" in outlook(run)
