from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t as student

from genoslim.errors import GenoslimError, UsageError
from genoslim.prune.measure import Measuring, Rows, Split, measure
from genoslim.prune.recipe import Recipe
from genoslim.prune.trial import Predictions, Trial, TrialResult, TrialSpec
from genoslim.prune.verdicts import (
    BaselineComparison,
    Judgement,
    Rules,
    Spread,
    by_paper,
    by_test,
    judge_trials,
)

ALL = ("accuracy", "auroc", "f1", "true_positive_rate")
NONE: tuple[str, ...] = ()


@pytest.mark.parametrize(
    ("worse", "held", "role"),
    [
        (ALL, NONE, "cornerstone"),
        (ALL[:3], NONE, "neutral"),
        (NONE, ALL, "unfavourable"),
        (NONE, ALL[:3], "unfavourable"),
        (NONE, ALL[:2], "neutral"),
        (ALL[3:], ALL[:3], "unfavourable"),
        (ALL, ALL[:3], "undecided"),
        (ALL, ALL[:2], "undecided"),
        (ALL[:2], ALL, "undecided"),  # two of the four that held count for nothing
        (ALL[:1], ALL, "unfavourable"),  # the other three hold and are not worse
        (ALL[:1], ALL[:1], "neutral"),
    ],
)
def test_paper_rule(worse: Sequence[str], held: Sequence[str], role: str) -> None:
    assert by_paper(worse, held)[0] == role


@pytest.mark.parametrize(
    ("mean", "relative", "value", "worse"),
    [
        (0.80, True, 0.76, True),  # exactly 5 % of 0.80
        (0.80, True, 0.7601, False),
        (0.80, False, 0.75, True),  # exactly 5 points
        (0.80, False, 0.76, False),
        (0.40, True, 0.38, True),
        (0.40, False, 0.38, False),
        (1.00, True, 0.95, True),
        (1.00, False, 0.95, True),
    ],
)
def test_five_per_cent_relative_and_absolute(
    mean: float, relative: bool, value: float, worse: bool
) -> None:
    assert (value <= Rules(relative=relative).worst_allowed(mean)) is worse


def test_standard_deviation_of_three_seeds() -> None:
    values = (0.70, 0.72, 0.74)
    assert Spread.of(values).sd == pytest.approx(0.02)
    assert Spread.of(values, sample=False).sd == pytest.approx(0.02 * (2 / 3) ** 0.5)
    assert Spread.of((0.7,)).sd is None
    with pytest.raises(GenoslimError, match="at least one value"):
        Spread.of(())


def _comparison(difference: float, different: float, inferior: float) -> BaselineComparison:
    return BaselineComparison(
        difference=difference,
        standard_error=0.01,
        degrees_of_freedom=1e6,
        low=difference - 0.02,
        high=difference + 0.02,
        p_different=different,
        p_inferior=inferior,
        method="DeLong",
    )


@pytest.mark.parametrize(
    ("difference", "different", "inferior", "role", "finding"),
    [
        (+0.03, 0.01, 0.001, "unfavourable", "better"),
        (+0.001, 0.9, 0.01, "unfavourable", "equivalent"),
        (-0.002, 0.04, 0.01, "unfavourable", "equivalent"),  # a loss, but within the margin
        (-0.10, 0.001, 1.0, "cornerstone", "worse"),
        (-0.02, 0.01, 0.9, "neutral", "worse"),
        (-0.02, 0.3, 0.6, "undecided", "unclear"),
        (+0.02, 0.2, 0.2, "undecided", "unclear"),
    ],
)
def test_tested_rule(
    difference: float, different: float, inferior: float, role: str, finding: str
) -> None:
    found = by_test(_comparison(difference, different, inferior), -0.04, Rules(rule="tested"))
    assert found[:2] == (role, finding)


@pytest.mark.parametrize("values", [{"drop": 0}, {"margin": 1.0}, {"alpha": -0.1}])
def test_rules_refuse_what_makes_no_sense(values: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=f"{next(iter(values))} is"):
        Rules(**values)


N = 600
_LABELS = np.arange(N) % 2


def _rows(*, recurring: bool = False) -> dict[Split, Rows]:
    keys = np.arange(N) // 2 // (3 if recurring else 1) if recurring else np.arange(N)
    rows = Rows(_LABELS.astype(np.int8), keys.astype(np.str_), np.array([""] * N))
    return {"validation": rows, "test": rows}


def _trial(
    dropped: tuple[int, ...], seed: int, quality: float, *, collapsed: str = "", noise: int = 0
) -> Trial:
    """A trial whose AUROC grows with `quality`; equal `noise` means equal ranking errors."""
    generator = np.random.default_rng(noise)
    margin = (2 * _LABELS - 1) * quality + generator.normal(size=N)
    if collapsed:
        margin = np.full(N, -1e-3)
    logits = np.stack([np.zeros(N), margin], axis=1).astype(np.float32)
    predictions = Predictions(logits, logits)
    measured = measure(_rows(), predictions.probabilities(), Measuring())
    spec = TrialSpec(
        model="m",
        model_fingerprint="m",
        data_fingerprint="d",
        dropped=dropped,
        seed=seed,
        recipe=Recipe(),
    )
    result = TrialResult(
        hash=spec.hash,
        validation=measured.validation,
        test=measured.test,
        macro_auroc=measured.macro_auroc,
        validation_loss=0.5,
        fine_tune_seconds=1.0,
        evaluation_seconds=0.1,
        step=10,
        steps=10,
        stopped="epochs",
        history=((10, 0.5, 0.5),),
        collapsed=collapsed,
        parameters=100,
        device="cpu",
        threads=1,
        precision="fp32",
    )
    return Trial(spec, result, predictions)


def _baseline(quality: float = 1.5) -> list[list[Trial]]:
    return [[_trial((), seed, quality, noise=seed)] for seed in range(3)]


def _roles(judgement: Judgement) -> dict[int, str]:
    return {verdict.layer: verdict.role for verdict in judgement.verdicts}


def test_judges_by_the_paper() -> None:
    layers = {
        0: [[_trial((0,), 0, 1.6, noise=0)]],
        1: [[_trial((1,), 0, 0.2, noise=0)]],
        2: [[_trial((2,), 0, 1.25, noise=0)]],
    }
    judgement = judge_trials(_baseline(), layers, _rows(), Rules())
    assert _roles(judgement) == {0: "unfavourable", 1: "cornerstone", 2: "neutral"}
    assert judgement.layers("cornerstone") == (1,)
    assert judgement.baseline_seeds == (0, 1, 2)


@pytest.mark.parametrize("recurring", [False, True])
def test_judges_by_tests(recurring: bool) -> None:
    quality = {0: 3.0, 1: 0.2, 2: 1.44}
    layers = {
        layer: [[_trial((layer,), seed, value, noise=seed)] for seed in range(3)]
        for layer, value in quality.items()
    }
    rules = Rules(rule="tested", repeats=200)
    judgement = judge_trials(_baseline(), layers, _rows(recurring=recurring), rules)
    assert _roles(judgement) == {0: "unfavourable", 1: "cornerstone", 2: "undecided"}
    findings = [verdict.evidence.finding for verdict in judgement.verdicts]
    assert findings == ["better", "worse", "unclear"]
    comparison = judgement.verdicts[0].evidence.comparison
    assert comparison is not None
    assert comparison.method == ("clustered bootstrap" if recurring else "DeLong")
    assert set(comparison.intervals) == {"accuracy", "f1", "true_positive_rate"}


def test_three_seeds_are_few() -> None:
    """Where seeds vary much more than the sample tells, the p-value is that of t with 2 degrees."""
    baseline = [[_trial((), seed, quality)] for seed, quality in enumerate((0.9, 1.5, 2.4))]
    judgement = judge_trials(baseline, {0: [[_trial((0,), 0, 0.6)]]}, _rows(), Rules(rule="tested"))
    found = judgement.verdicts[0].evidence.comparison
    assert found is not None
    assert found.degrees_of_freedom == pytest.approx(2.35, abs=0.1)
    ratio = -found.difference / found.standard_error
    assert found.p_different == pytest.approx(2 * student.sf(ratio, found.degrees_of_freedom))
    assert found.high == pytest.approx(
        found.difference + student.ppf(0.975, found.degrees_of_freedom) * found.standard_error
    )
    assert ratio > 2
    assert judgement.verdicts[0].role == "undecided"


def test_seeds_without_a_layer_tell_how_much_seeds_vary() -> None:
    layers = {0: [[_trial((0,), seed, 0.3 + 0.2 * seed)] for seed in range(3)]}
    found = judge_trials(_baseline(), layers, _rows(), Rules()).verdicts[0].evidence.comparison
    assert found is not None
    assert found.degrees_of_freedom == pytest.approx(5.2, abs=0.1)


def test_identical_predictions_are_equivalent_within_the_seeds_spread() -> None:
    same = [[_trial((), seed, 3.0, noise=0)] for seed in range(3)]
    judgement = judge_trials(same, {0: [[_trial((0,), 0, 3.0)]]}, _rows(), Rules(rule="tested"))
    assert judgement.verdicts[0].evidence.finding == "equivalent"
    assert judgement.verdicts[0].role == "unfavourable"


def test_a_collapse_that_a_retry_mends_does_not_count() -> None:
    attempts = [_trial((0,), 0, 0, collapsed="stuck"), _trial((0,), 1000, 1.6, noise=0)]
    verdict = judge_trials(_baseline(), {0: [attempts]}, _rows(), Rules()).verdicts[0]
    assert verdict.role == "unfavourable"
    assert verdict.evidence.seeds == (1000,)
    assert verdict.evidence.collapsed_seeds == (0,)


@pytest.mark.parametrize("rule", ["paper", "tested"])
def test_a_layer_whose_every_attempt_collapsed_is_undecided(rule: str) -> None:
    attempts = [_trial((0,), seed, 0, collapsed="stuck at ln 2") for seed in (0, 1000, 2000)]
    rules = Rules(rule=rule)  # type: ignore[arg-type]
    verdict = judge_trials(_baseline(), {0: [attempts]}, _rows(), rules).verdicts[0]
    assert (verdict.role, verdict.evidence.finding) == ("undecided", "unclear")
    assert "every seed without it (0, 1000, 2000) COLLAPSED: stuck" in verdict.evidence.reason
    assert not verdict.evidence.decides


def test_a_survivor_of_two_seeds_decides_nothing() -> None:
    lost = [_trial((0,), 1 + 1000 * n, 0, collapsed="stuck") for n in range(3)]
    seeds = [[_trial((0,), 0, 0.2, noise=0)], lost]
    verdict = judge_trials(_baseline(), {0: seeds}, _rows(), Rules()).verdicts[0]
    assert verdict.role == "undecided"
    assert "only 1 of 2 seeds without it is usable" in verdict.evidence.reason
    assert (verdict.evidence.usable_seeds, verdict.evidence.planned_seeds) == (1, 2)


def test_chance_that_an_older_version_took_for_sound_has_collapsed() -> None:
    verdict = judge_trials(_baseline(), {0: [[_trial((0,), 0, 0.0)]]}, _rows(), Rules()).verdicts[0]
    assert verdict.role == "undecided"
    assert "is that of chance" in verdict.evidence.reason


def test_a_baseline_at_chance_judges_no_layer() -> None:
    """The labels of the split that selects have nothing to do with what the model learnt."""
    rows = _rows()["test"]
    on_test = replace(rows, labels=np.random.default_rng(0).permutation(rows.labels))
    both: dict[Split, Rows] = {"validation": _rows()["validation"], "test": on_test}
    layers = {0: [[_trial((0,), 0, 1.5)]]}
    judgement = judge_trials(_baseline(), layers, both, Rules(split="test"))
    assert "is not shown to beat chance" in judgement.unjudged
    assert _roles(judgement) == {0: "undecided"}
    assert judge_trials(_baseline(), layers, both, Rules()).unjudged == ""


def test_a_collapsed_baseline_decides_nothing() -> None:
    lost = [[_trial((), seed, 0, collapsed="stuck") for seed in (s, s + 1000)] for s in range(3)]
    verdict = judge_trials(lost, {0: [[_trial((0,), 0, 1.5)]]}, _rows(), Rules()).verdicts[0]
    assert verdict.role == "undecided"
    assert "every seed of the baseline collapsed" in verdict.evidence.reason


def test_one_baseline_seed_has_no_spread() -> None:
    verdict = judge_trials(
        _baseline()[:1], {0: [[_trial((0,), 0, 1.5)]]}, _rows(), Rules()
    ).verdicts[0]
    assert verdict.role == "undecided"
    assert "at least 2" in verdict.evidence.reason


def test_a_missing_trial_is_an_error() -> None:
    with pytest.raises(GenoslimError, match="layer 0 has trials that are not done"):
        judge_trials(_baseline(), {0: [[]]}, _rows(), Rules())


def test_metrics_are_those_of_the_split_that_selects() -> None:
    rows = _rows()
    layers = {0: [[_trial((0,), 0, 1.0)]]}
    for split, f1 in itertools.product(("validation", "test"), ("binary", "macro")):
        rules = Rules(split=split, measuring=Measuring(f1=f1))  # type: ignore[arg-type]
        assert judge_trials(_baseline(), layers, rows, rules).rules.split == split


def test_youden_threshold_comes_from_validation() -> None:
    trial = _trial((), 0, 1.5)
    logits = trial.predictions.test + np.array([0, 4])
    shifted = Predictions(logits, logits)
    fixed = measure(_rows(), shifted.probabilities(), Measuring())
    youden = measure(_rows(), shifted.probabilities(), Measuring(threshold="youden"))
    assert youden.test.accuracy > fixed.test.accuracy + 0.2
    assert youden.test.threshold == youden.validation.threshold > 0.5
    assert youden.test.auroc == fixed.test.auroc


def test_macro_auroc_over_groups() -> None:
    rows = _rows()["validation"]
    grouped = Rows(rows.labels, rows.keys, np.array([f"g{i // 2 % 3}" for i in range(N)]))
    both: dict[Split, Rows] = {"validation": grouped, "test": rows}
    measured = measure(both, _trial((), 0, 1.5).predictions.probabilities(), Measuring())
    assert measured.macro_auroc["validation"] == pytest.approx(measured.validation.auroc, abs=0.03)
    assert measured.macro_auroc["test"] is None
