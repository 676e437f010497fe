from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from genoslim.bench.benchmark import benchmark
from genoslim.bench.plan import read_plan
from genoslim.bench.planning import plan_benchmark
from genoslim.bench.seeds import FurtherSeed, design_of, open_further
from genoslim.bench.subjects import Subject, open_subjects
from genoslim.bundle.manifest import FineTuning
from genoslim.cli import main
from genoslim.errors import GenoslimError, UsageError
from genoslim.stats.ranks import auroc

SHORT: dict[str, Any] = {"seconds": 0.01, "threads": 1, "device": "cpu", "floors": "none"}


@pytest.fixture(scope="module")
def arms(make_bundle: Callable[..., Path]) -> dict[str, list[Path]]:
    """Two models of three seeds each."""
    return {
        name: [
            make_bundle(f"{name}{seed}", seed=10 * place + seed, fine_tuning=FineTuning(seed=seed))
            for seed in range(3)
        ]
        for place, name in enumerate(("full", "slim"))
    }


def subject(name: str, seed: int | None, like: Path) -> Subject:
    return replace(open_subjects([like])[0], name=name, path=Path(name), seed=seed)


def test_means_over_seeds_decide_and_are_sealed(
    arms: dict[str, list[Path]], data_file: Path, tmp_path: Path
) -> None:
    models = [paths[0] for paths in arms.values()]
    seeds = {paths[0]: paths[1:] for paths in arms.values()}
    path = tmp_path / "plan.json"
    plan = plan_benchmark(models, data_file, output=path, seeds=seeds, **SHORT)
    assert [len(model.seeds) for model in (plan.baseline, *plan.candidates)] == [2, 2]
    found = benchmark([], data_file, output=tmp_path / "out", plan=path, quick=True, seconds=0.01)
    assert [model.evidence.seeds for model in found.models] == [3, 3]
    loss = found.models[1].evidence.loss
    assert loss is not None
    assert "3 seeds" in (tmp_path / "out" / "report.html").read_text()
    with np.load(tmp_path / "out" / "predictions.npz") as kept:
        assert kept["seed_of"].tolist() == [0, 0, 1, 1]
        names = ["test_logits_0", "test_logits_1", *(f"test_seed_logits_{i}" for i in range(4))]
        aurocs = [auroc(kept["test_labels"], kept[n][:, 1] - kept[n][:, 0]) for n in names]
    of_full, of_slim = (np.mean([aurocs[i] for i in places]) for places in ((0, 2, 3), (1, 4, 5)))
    assert loss.difference == pytest.approx(of_slim - of_full)
    assert loss.difference != pytest.approx(aurocs[1] - aurocs[0])


def test_the_command_takes_seeds_by_model(
    arms: dict[str, list[Path]], data_file: Path, tmp_path: Path
) -> None:
    full, slim = arms["full"], arms["slim"]
    path = tmp_path / "plan.json"
    arguments = ["bench", "plan", str(full[0]), str(slim[0]), "-d", str(data_file), "-o", str(path)]
    options = ["--floors", "none", "--seconds", "0.01", "--threads", "1"]
    pairs = [f"{paths[0]}={other}" for paths in (full, slim) for other in paths[1:]]
    done = CliRunner().invoke(
        main, [*arguments, *options, *(word for pair in pairs for word in ("--seed-of", pair))]
    )
    assert done.exit_code == 0, done.stderr
    planned = read_plan(path).candidates[0].seeds
    assert [seed.path for seed in planned] == list(map(str, slim[1:]))
    assert json.loads(path.read_text())["baseline"]["seeds"][0]["path"] == str(full[1])
    done = CliRunner().invoke(main, [*arguments, "--seed-of", "nothing"])
    assert done.exit_code == 2
    assert "expected MODEL=PATH" in done.stderr


def test_a_model_that_is_not_named_has_no_seeds(arms: dict[str, list[Path]]) -> None:
    subjects = open_subjects(arms["full"][:1])
    with pytest.raises(UsageError, match="slim0: has further seeds, but is none of the models"):
        open_further(subjects, {arms["slim"][0]: arms["slim"][1:]})


@pytest.mark.parametrize(
    ("own", "further", "words"),
    [
        ((0, None), [(1, 1)], "slim: its record names no seed"),
        ((0, 0), [(1, 0)], "slim: seed 0 is given twice"),
        ((0, 5), [(0, 1), (1, 6)], "slim: has no seed in common with the baseline"),
        ((0, 0), [(0, 1)], "full: how much seeds vary cannot be told"),
    ],
)
def test_seeds_that_cannot_be_compared_are_refused(
    own: tuple[int, int | None],
    further: list[tuple[int, int]],
    words: str,
    arms: dict[str, list[Path]],
) -> None:
    like = arms["full"][0]
    subjects = [subject(n, seed, like) for n, seed in zip(("full", "slim"), own, strict=True)]
    others = [FurtherSeed(subject=subject("o", seed, like), place=p) for p, seed in further]
    with pytest.raises(GenoslimError, match=words):
        design_of(subjects, others)


def test_a_seed_of_another_model_is_refused(
    arms: dict[str, list[Path]], make_checkpoint: Callable[..., Path]
) -> None:
    models = open_subjects([paths[0] for paths in arms.values()])
    deeper = make_checkpoint("deeper", layers=models[1].layers + 1)
    with pytest.raises(
        UsageError, match=f"{deeper}: no further seed of {models[1].path}: format a"
    ):
        open_further(models, {models[1].path: [deeper]})


def test_one_seed_each_needs_no_design(arms: dict[str, list[Path]]) -> None:
    assert design_of([subject("full", None, arms["full"][0])], []) is None
