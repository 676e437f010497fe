from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import some_metrics
from click.testing import CliRunner

from genoslim.bench.benchmark import benchmark
from genoslim.bench.evidence import Basis
from genoslim.bench.ledger import (
    Opening,
    effective,
    figures_known,
    ledgers,
    openings,
    record_opening,
    refuse_afterthought,
    seen_before,
)
from genoslim.bench.plan import BenchPlan, PlannedModel, read_plan, write_plan
from genoslim.bench.planning import plan_benchmark
from genoslim.bench.rule import Machine, Rule
from genoslim.bench.subjects import open_subject
from genoslim.bundle.manifest import DataRecord
from genoslim.cli import main
from genoslim.data.dataset import LabelledData
from genoslim.errors import GateError, GenoslimError, UsageError
from genoslim.stats.metrics import compute_metrics

SHORT: dict[str, Any] = {
    **{"seconds": 0.01, "threads": 1, "backend": "onnxruntime", "device": "cpu"},
    "floors": "none",
}


def plan_at(hour: int, *candidates: str, **rule: Any) -> BenchPlan:
    return BenchPlan(
        sealed_at=f"2026-01-01T{hour:02}:00:00+00:00",
        genoslim="0",
        data="data.parquet",
        data_fingerprint="f" * 64,
        test_rows="e" * 64,
        basis=Basis(measure="AUROC", unit="row", units=400, positives=200, negatives=200),
        baseline=PlannedModel(name="full", path="full", digest="full"),
        candidates=tuple(PlannedModel(name=c, path=c, digest=c) for c in candidates),
        rule=Rule(**rule),
        machine=Machine(),
    )


def opened(hour: int, plan: BenchPlan) -> Opening:
    return Opening(opened_at=f"2026-01-01T{hour:02}:30:00+00:00", output="out", plan=plan)


def test_a_plan_reads_back_as_it_was_sealed(tmp_path: Path) -> None:
    plan = plan_at(1, "a", "b", margin=0.02, min_sensitivity=0.8)
    write_plan(tmp_path / "plan.json", plan)
    assert read_plan(tmp_path / "plan.json") == plan
    assert json.loads((tmp_path / "plan.json").read_text())["seal"] == plan.seal


@pytest.mark.parametrize(
    ("place", "value"),
    [(("rule", "margin"), 0.05), (("sealed_at",), "2025-01-01T00:00:00+00:00"), (("data",), "x")],
)
def test_an_edited_plan_is_refused(tmp_path: Path, place: tuple[str, ...], value: object) -> None:
    path = tmp_path / "plan.json"
    write_plan(path, plan_at(1, "a"))
    content = json.loads(path.read_text())
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    path.write_text(json.dumps(content))
    with pytest.raises(GateError, match=r"plan\.json: was changed after it was sealed"):
        read_plan(path)


def test_what_is_no_plan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GenoslimError, match="no such file; `genoslim bench plan` writes one"):
        read_plan(tmp_path / "plan.json")
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(GenoslimError, match="no plan of a benchmark"):
        read_plan(tmp_path / "plan.json")


def test_a_rule_made_after_figures_of_its_candidates_were_seen_is_found() -> None:
    first = plan_at(1, "a", "b")
    known = [opened(2, first)]
    assert seen_before(plan_at(3, "b", margin=0.05), known) is known[0]
    assert seen_before(plan_at(3, "a"), known) is known[0]  # fewer models are another rule
    assert seen_before(plan_at(3, "c", margin=0.05), known) is None  # nobody has seen c
    assert seen_before(plan_at(1, "a", margin=0.05), known) is None  # it was made before
    assert seen_before(plan_at(3, "b", "a"), known) is None  # the same rule again


def test_a_baseline_that_was_a_candidate_and_a_candidate_that_was_the_baseline_were_seen() -> None:
    plan = plan_at(1, "a")
    known = [opened(2, plan)]
    (candidate,) = plan.candidates
    swapped = replace(plan_at(3, "b"), baseline=candidate, candidates=(plan.baseline,))
    assert seen_before(swapped, known) is known[0]
    chosen = replace(plan_at(3, "b"), baseline=candidate)
    assert seen_before(chosen, known) is known[0]
    with pytest.raises(GateError, match=f"the test figures of {candidate.name} were seen at"):
        refuse_afterthought(chosen, known[0])


def test_a_rule_that_is_repeated_was_fixed_the_first_time() -> None:
    first, other = plan_at(1, "a", "b"), plan_at(3, "b", "a", margin=0.05)
    known = [opened(2, first), opened(4, other)]
    assert effective(plan_at(5, "b", "a"), known) is first
    again = effective(plan_at(5, "a", "b", margin=0.05), known)
    assert again is other
    assert seen_before(again, known) is known[0]  # an afterthought stays one


def test_the_ledger_lies_beside_the_data_and_in_the_users_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("GENOSLIM_LEDGER")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    data, copy = tmp_path / "one" / "data.parquet", tmp_path / "two" / "copy.parquet"
    plan = plan_at(1, "a")
    record_opening(data, plan, tmp_path / "out")
    beside, home = ledgers(data, plan.test_rows)
    assert beside == tmp_path / "one" / "data.parquet.openings.jsonl"
    assert home.parent == tmp_path / "home" / "genoslim"
    for place in (data, copy):  # a copy of the data is known by its fingerprint
        (found,) = openings(place, plan.test_rows)
        assert found.plan == plan
    home.unlink()
    assert len(openings(data, plan.test_rows)) == 1
    beside.write_text(beside.read_text() + "half a li")
    assert len(openings(data, plan.test_rows)) == 1
    assert "line 2 is no opening and is left out" in caplog.text


def test_an_opening_that_cannot_be_remembered_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GENOSLIM_LEDGER", str(tmp_path / "file"))
    record_opening(tmp_path / "data.parquet", plan_at(1, "a"), tmp_path / "out")
    assert "cannot be remembered: set GENOSLIM_LEDGER" in caplog.text


@pytest.fixture(scope="module")
def models(make_bundle: Callable[..., Path]) -> list[Path]:
    return [make_bundle("first", seed=1), make_bundle("second", seed=2)]


def test_a_sealed_plan_is_followed(models: list[Path], data_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    plan = plan_benchmark(
        models, data_file, output=path, margin=0.03, correction="sequence", **SHORT
    )
    assert (plan.rule.margin, plan.rule.correction) == (0.03, "sequence")
    assert plan.basis.positives + plan.basis.negatives == 60
    (candidate,) = plan.candidates
    assert candidate.path == str(models[1])
    assert candidate.p50_ms is not None
    assert candidate.validation_difference is not None
    assert read_plan(path) == plan
    found = benchmark([], data_file, output=tmp_path / "out", plan=path, seconds=0.01, quick=True)
    assert found.plan == plan
    assert [model.subject.path for model in found.models] == models
    assert (found.settings.margin, found.settings.threads) == (0.03, 1)
    assert read_plan(tmp_path / "out" / "plan.json") == plan
    assert json.loads((tmp_path / "out" / "bench.json").read_text())["plan"]["seal"] == plan.seal
    assert plan.seal in (tmp_path / "out" / "report.html").read_text()
    with pytest.raises(UsageError, match=r"plan\.json: is there already; a plan is not replaced"):
        plan_benchmark(models, data_file, output=path, **SHORT)
    with pytest.raises(UsageError, match=r"margin is 0\.01, but the plan says 0\.03"):
        benchmark(models, data_file, output=tmp_path / "out", plan=path, margin=0.01)
    with pytest.raises(GateError, match="in the plan, but not among the models named"):
        benchmark(models[:1], data_file, output=tmp_path / "out", plan=path)
    with pytest.raises(GateError, match="not the baseline of the plan, or changed since"):
        benchmark(models[::-1], data_file, output=tmp_path / "out", plan=path)


def test_a_plan_for_other_data_or_models_is_refused(
    models: list[Path], data_file: Path, make_data: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "plan.json"
    plan = plan_benchmark(models, data_file, output=path, **SHORT)
    make_data(groups=0).write(tmp_path / "other.parquet")
    with pytest.raises(GateError, match="it was changed, or is another data set"):
        benchmark([], tmp_path / "other.parquet", output=tmp_path / "out", plan=path)
    stranger = replace(plan, candidates=(replace(plan.candidates[0], digest="0" * 64),))
    write_plan(path, stranger)
    with pytest.raises(GateError, match="second: not in the plan, or changed since it was sealed"):
        benchmark([], data_file, output=tmp_path / "out", plan=path)


def test_without_a_plan_the_rule_is_sealed_before_the_test_split_is_opened(
    models: list[Path], data_file: Path, tmp_path: Path
) -> None:
    steps: list[str] = []
    found = benchmark(
        models, data_file, output=tmp_path / "one", quick=True, progress=steps.append, **SHORT
    )
    after = steps[steps.index("scoring validation with first") :]
    names = [step.split(", by the rule")[0] for step in after]
    assert names == [
        *("scoring validation with first", "scoring validation with second"),
        "opening the test split",
        *("scoring test with first", "scoring test with second", "comparing"),
    ]
    (opening,) = openings(data_file, found.plan.test_rows)
    assert opening.plan == found.plan
    assert opening.when > found.plan.when
    assert not found.exploratory
    again = benchmark(models, data_file, output=tmp_path / "two", quick=True, **SHORT)
    assert again.plan == found.plan  # the same rule was fixed the first time


def test_a_rule_made_after_the_test_split_was_seen_decides_nothing_unless_told(
    models: list[Path], data_file: Path, tmp_path: Path
) -> None:
    benchmark(models, data_file, output=tmp_path / "one", quick=True, **SHORT)
    other = {"margin": 0.2, "quick": True, **SHORT}
    with pytest.raises(GateError, match="the test figures of second were seen at"):
        benchmark(models, data_file, output=tmp_path / "two", progress=pytest.fail, **other)
    del other["quick"]
    with pytest.raises(GateError, match="a rule that is made afterwards decides nothing"):
        plan_benchmark(models, data_file, output=tmp_path / "plan.json", **other)
    arguments = [*map(str, models), "-d", str(data_file), "-o", str(tmp_path / "two")]
    done = CliRunner().invoke(
        main, ["bench", *arguments, "--margin", "0.2", "--floors", "none", "--quick"]
    )
    assert (done.exit_code, (tmp_path / "two").exists()) == (3, False)
    told = ["--margin", "0.2", "--floors", "none", "--quick", "--seconds", "0.01"]
    done = CliRunner().invoke(main, ["bench", *arguments, *told, "--exploratory"])
    assert "EXPLORATORY" in done.stdout
    assert "exploratory: " in done.stderr
    record = json.loads((tmp_path / "two" / "bench.json").read_text())
    assert record["exploratory"]
    assert record["decision"]["summary"].startswith("exploratory: ")
    assert "<b>Exploratory:</b>" in (tmp_path / "two" / "report.html").read_text()


def test_another_precision_is_another_rule() -> None:
    plan = plan_at(2, "a")
    half = replace(plan, machine=Machine(precision="bf16"))
    assert not plan.same_terms(half)
    assert seen_before(half, [opened(1, plan_at(1, "a"))]) is not None


def test_another_column_makes_no_unseen_rows(
    models: list[Path], data_file: Path, data: LabelledData, tmp_path: Path
) -> None:
    benchmark(models, data_file, output=tmp_path / "one", quick=True, **SHORT)
    copy = tmp_path / "elsewhere" / "copy.parquet"
    copy.parent.mkdir()
    annotated = replace(data, annotations={"conservation": np.linspace(0, 1, len(data))})
    assert annotated.fingerprint != data.fingerprint
    annotated.write(copy)
    with pytest.raises(GateError, match="the test figures of second were seen at"):
        benchmark(models, copy, output=tmp_path / "two", margin=0.2, **SHORT)


def test_the_command_seals_a_plan_and_another_one_follows_it(
    models: list[Path], data_file: Path, tmp_path: Path
) -> None:
    path = str(tmp_path / "plan.json")
    done = CliRunner().invoke(
        main,
        [
            *("bench", "plan", *map(str, models), "-d", str(data_file), "-o", path),
            *("--margin", "0.02", "--floors", "none", "--seconds", "0.01", "--threads", "1"),
        ],
    )
    assert done.exit_code == 0, done.stderr
    plan = read_plan(Path(path))
    assert plan.seal in done.stdout
    assert "NOTHING CAN BE DECIDED: the test split has 30 positive and 30 negative" in (
        done.stdout.replace("\n", " ")
    )
    assert max(map(len, done.stdout.splitlines())) <= 90
    done = CliRunner().invoke(
        main,
        [
            *("bench", "--plan", path, "-d", str(data_file), "-o", str(tmp_path / "out")),
            *("--quick", "--seconds", "0.01"),
        ],
    )
    assert done.exit_code == 3
    assert f"({plan.seal[:12]}), before the test split was" in done.stdout
    assert "were known before" not in done.stdout


def test_figures_in_a_models_own_record_are_known(
    make_checkpoint: Callable[..., Path], make_bundle: Callable[..., Path], data: LabelledData
) -> None:
    metrics = compute_metrics([0, 1], [0.2, 0.8])
    here, elsewhere = (DataRecord(fingerprint=f, source="") for f in (data.fingerprint, "f" * 64))
    for known, path in (
        (True, make_checkpoint("told", test=metrics)),
        (False, make_checkpoint("untold")),
        (False, make_checkpoint("other", test=metrics, data_fingerprint="elsewhere")),
        (True, make_bundle("told", data=here, metrics={"test": some_metrics()})),
        (False, make_bundle("other", data=elsewhere, metrics={"test": some_metrics()})),
    ):
        assert figures_known(open_subject(path, "m"), data.fingerprint) == known
