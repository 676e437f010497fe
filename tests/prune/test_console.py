from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from judgements import judged

from genoslim.prune.console import estimates_text, judgement_text, models_text, plan_text
from genoslim.prune.estimates import LayerEstimates
from genoslim.prune.importance import Estimate
from genoslim.prune.judging import judge_run
from genoslim.prune.measure import SPLITS
from genoslim.prune.plan import PlannedTrial, plan
from genoslim.prune.run_folder import RunFolder
from genoslim.prune.slim_model import Pruned, SlimModel
from genoslim.prune.verdicts import Judgement, Role, Rules, Spread


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("  ") if cell]


def _deep() -> Judgement:
    """Every role, in 24 layers."""
    roles = ("unfavourable", "cornerstone", "neutral", "undecided")
    return judged(*((roles[i % 4], 0.5 + i / 100) for i in range(24)))  # type: ignore[misc]


def test_a_judgement_has_the_baseline_its_sd_and_a_line_a_layer() -> None:
    title, heads, rule, baseline, deviation, *layers = judgement_text(_deep()).splitlines()
    assert title == "without each layer, validation split, rule paper:"
    named = ["layer", "role", "accuracy", "AUROC", "F1", "TP", "rate", "tested", "stable"]
    assert heads.split() == named
    assert set(rule.strip()) == {"\u2500"}
    assert baseline.split() == ["baseline", *["0.8000"] * 4]
    assert deviation.split() == ["\u00b1", "sd", *["0.0100"] * 4]
    assert len(layers) == 24
    assert layers[3].split() == ["3", "undecided", *["0.5300"] * 4, "unclear"]


def test_what_verdicts_rest_on_is_said_below_them() -> None:
    judgement = judged(("neutral", 0.7), ("undecided", 0.6))
    first, second = judgement.verdicts
    first = replace(first, evidence=replace(first.evidence, stability=0.617, luck="a seed's luck"))
    lost = replace(second.evidence, planned_seeds=3, collapsed_seeds=(1, 1001))
    judgement = replace(
        judgement,
        verdicts=(first, replace(second, evidence=lost)),
        baseline_collapsed_seeds=(1,),
        unjudged="it is at chance",
        notes=(
            "pairing by seed removes 40% of the variance between seeds and much else besides it",
        ),
    )
    lines = judgement_text(judgement).splitlines()
    assert lines[5].split()[-2:] == ["unclear", "62%"]
    assert lines[6].endswith("1 of 3 seeds")
    assert lines[7:] == [
        "NO LAYER IS JUDGED: it is at chance",
        "baseline: seed 1 collapsed and does not count",
        "pairing by seed removes 40% of the variance between seeds and much else besides",
        "  it",
        "layer 0: a seed's luck",
    ]


def test_a_single_seed_has_no_deviation() -> None:
    judgement = judged(("neutral", 0.7))
    alone = {name: Spread(0.8, None, (0.8,)) for name in judgement.baseline}
    text = judgement_text(replace(judgement, baseline=alone))
    assert "sd" not in text
    assert "baseline" in text


def test_macro_auroc_is_there_where_rows_have_groups(finished: RunFolder) -> None:
    judgement = judge_run(finished, Rules())
    text = judgement_text(judgement)
    assert "macro" in text
    assert f"{judgement.baseline_macro_auroc:.4f}" in text
    assert "macro" not in judgement_text(_deep())


def test_a_model_that_is_worse_and_one_that_chose_nothing(pruned: tuple[Path, Pruned]) -> None:
    base, worse, lost = pruned[1].models
    assert worse.evidence is not None
    assert lost.evidence is not None
    worse = replace(worse, evidence=replace(worse.evidence, held=(), worse=()))
    survivor = replace(lost.evidence, planned_seeds=3, seeds=(0,))
    alone = {name: Spread(spread.mean, None, (spread.mean,)) for name, spread in lost.test.items()}
    lost = replace(lost, usable_seeds=1, best_seed=None, evidence=survivor, test=alone)
    rows = models_text([base, worse, lost]).splitlines()
    found = {row[:15].strip(): row for row in rows}
    assert found["seeds"].split() == ["seeds", "3", "3", "1", "of", "3"]
    assert found["paper's bands"].split()[2:] == ["WORSE", "undecided"]
    assert found["AUROC"].count("\u00b1") == 2


def test_tables_fit_80_columns(finished: RunFolder, pruned: tuple[Path, Pruned]) -> None:
    for text in (
        judgement_text(_deep()),
        judgement_text(judge_run(finished, Rules())),
        models_text(pruned[1].models),
    ):
        assert max(map(len, text.splitlines())) <= 80


def test_models_side_by_side(pruned: tuple[Path, Pruned]) -> None:
    models = pruned[1].models
    title, heads, _, *rows = models_text(models).splitlines()
    assert title == "mean \u00b1 sd over seeds, without sd where seeds collapsed:"
    assert heads.split() == [word for model in models for word in model.name.split("_")]
    on_validation, on_test = ([row.strip() for row in rows].index(f"on {s}") for s in SPLITS)
    assert rows[0].split() == ["layers", "3", "2", "1"]
    assert rows[1].split() == ["seeds", "3", "3", "3"]
    for split, part in zip(SPLITS, (rows[on_validation:on_test], rows[on_test:]), strict=True):
        found = {row[:14].strip(): row for row in part}
        values = [str(getattr(model, split)["auroc"]) for model in models]
        assert _cells(found["AUROC"])[1:] == values
    share = models[2].fine_tune_seconds.mean / models[0].fine_tune_seconds.mean
    assert f"({share:.2f}x)" in found["fine-tuning"]
    assert "the same as" not in found


def test_a_model_that_is_another_one_says_so(pruned: tuple[Path, Pruned]) -> None:
    base, second, third = pruned[1].models
    models: list[SlimModel] = [base, replace(second, same_as="baseline"), third]
    last = models_text(models).splitlines()[-1]
    assert last.split() == ["the", "same", "as", "baseline"]


@pytest.mark.parametrize(
    ("lost", "words"),
    [
        (None, []),
        ((0.3, 0.2, 0.1), ["+1.00", "-1.00", "to", "+1.00", "+1.00", "1.00", "1.00"]),
        ((0.1, 0.1, 0.1), ["none", "none", "0.00", "1.00"]),
    ],
)
def test_estimates_with_and_without_a_sweep(
    lost: tuple[float, ...] | None, words: list[str]
) -> None:
    one = Estimate("cka", (0.5, 0.4, 0.1), 1.25, "somebody", passes=1, backward=0)
    distinct = lost is not None and lost[0] > lost[1]
    roles: tuple[Role, ...] = ("neutral",) * 3
    if distinct:
        roles = ("cornerstone", "neutral", "unfavourable")
    estimates = LayerEstimates(
        model="m",
        data=Path("d"),
        rows=4,
        methods=(one,),
        scored={"cka": "m"},
        lost=lost,
        roles=roles,
    )
    text = estimates_text(estimates)
    lines = [line.split() for line in text.splitlines() if "cka" in line]
    assert lines == [["cka", "1", "1.25", "2", "1", "0"], *([["cka", *words]] if words else [])]
    assert ("agrees with itself" in text) == (lost is not None)
    assert max(map(len, text.splitlines())) <= 80
    known = estimates_text(replace(estimates, ceiling=0.5))
    assert ("with the others: +0.50" in known) == (lost is not None)


def test_the_plan_is_what_a_shell_can_cut(finished: RunFolder) -> None:
    specs = plan(finished)
    text = plan_text([PlannedTrial(specs[0], "done"), PlannedTrial(specs[4], "to do")])
    assert text == f"{specs[0].hash}\t-\t0\tdone\n{specs[4].hash}\t1\t0\tto do"
