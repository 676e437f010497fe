from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t as student

from genoslim.errors import GenoslimError
from genoslim.prune.judgement import judge_trials
from genoslim.prune.measure import Measuring, Rows, Sample, Split, measure
from genoslim.prune.recipe import Recipe
from genoslim.prune.trial import Predictions, Trial, TrialResult, TrialSpec
from genoslim.prune.verdicts import Judgement, Rules

N = 600
QUICK = Rules(repeats=20)
TESTED = Rules(rule="tested", repeats=20)
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
    judgement = judge_trials(_baseline(), layers, _rows(), QUICK)
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
    rules = Rules(rule="tested", repeats=50)
    judgement = judge_trials(_baseline(), layers, _rows(recurring=recurring), rules)
    assert _roles(judgement) == {0: "unfavourable", 1: "cornerstone", 2: "undecided"}
    findings = [verdict.evidence.finding for verdict in judgement.verdicts]
    assert findings == ["better", "worse", "unclear"]
    comparison = judgement.verdicts[1].evidence.comparison
    assert comparison is not None
    assert (comparison.method, comparison.pairs) == ("paired by seed", 3)
    assert (comparison.unit, comparison.units) == (("variant", 100) if recurring else ("row", 600))
    assert set(comparison.intervals) == {"accuracy", "f1", "true_positive_rate"}
    assert all(high < -0.1 for _, high in comparison.intervals.values())
    assert judgement.verdicts[1].evidence.stability == 1.0


def _lucky(*, layer_seeds: int, shift: Sequence[float] = (0.6, 0, 0)) -> Judgement:
    """Twelve layers that do nothing, where seed 0 has luck that its runs share."""
    luck = np.asarray(shift)
    baseline = [[_trial((), seed, 1.5 + luck[seed], noise=seed)] for seed in range(3)]
    layers = {
        layer: [
            [_trial((layer,), seed, 1.5 + luck[seed] + 0.02 * (layer % 3), noise=seed)]
            for seed in range(layer_seeds)
        ]
        for layer in range(12)
    }
    return judge_trials(baseline, layers, _rows(), TESTED)


def test_pairing_takes_out_what_the_seeds_share() -> None:
    judgement = _lucky(layer_seeds=2)
    assert judgement.seeds is not None
    assert judgement.seeds.removed > 0.9
    assert judgement.seeds.freedom == 12
    assert judgement.notes[0].startswith("pairing by seed removes 100% of the variance")
    for verdict in judgement.verdicts:
        comparison = verdict.evidence.comparison
        assert comparison is not None
        assert comparison.difference < 0.01  # unpaired it would be 0.01 to 0.02
        assert comparison.pairs == 2


def test_one_seed_a_layer_is_judged_by_the_baselines_spread_and_shows_little() -> None:
    baseline = [[_trial((), seed, quality)] for seed, quality in enumerate((0.9, 1.5, 2.4))]
    layers = {0: [[_trial((0,), 0, 0.6)]], 1: [[_trial((1,), 0, 1.5)]]}
    judgement = judge_trials(baseline, layers, _rows(), TESTED)
    found = judgement.verdicts[0].evidence.comparison
    assert found is not None
    assert (found.method, found.pairs, found.degrees_of_freedom) == ("unpaired", 0, 2)
    ratio = -found.difference / found.standard_error
    assert ratio > 2
    assert found.p_different == pytest.approx(2 * 2 * student.sf(ratio, 2))  # of two layers
    assert judgement.verdicts[0].role == "undecided"
    assert judgement.seeds is None
    assert "--layer-seeds 2" in judgement.notes[0]


def test_the_paper_says_where_a_seeds_luck_explains_its_verdict() -> None:
    """The layer's one seed is the baseline's best: above the mean of all, below its own pair."""
    baseline = [[_trial((), seed, quality)] for seed, quality in enumerate((1.2, 0.9, 0.85))]
    judgement = judge_trials(baseline, {0: [[_trial((0,), 0, 0.95)]]}, _rows(), QUICK)
    verdict = judgement.verdicts[0]
    assert verdict.role == "unfavourable"
    assert verdict.evidence.luck.startswith("a seed's luck: against the baseline of seed 0 alone")
    assert "alone it would be neutral (3 of 4 metrics fall" in verdict.evidence.luck
    assert verdict.evidence.luck in verdict.evidence.reason
    of_all = {0: [[_trial((0,), seed, 0.95)] for seed in range(3)]}
    assert judge_trials(baseline, of_all, _rows(), QUICK).verdicts[0].evidence.luck == ""


@pytest.mark.parametrize("rule", ["paper", "tested"])
def test_stability_is_how_often_other_rows_give_the_same_role(rule: str) -> None:
    quality = {0: 1.6, 1: 0.2, 2: 1.41}
    layers = {
        layer: [[_trial((layer,), seed, value, noise=seed)] for seed in range(2)]
        for layer, value in quality.items()
    }
    rules = Rules(rule=rule, repeats=200)  # type: ignore[arg-type]
    clear, lost, close = judge_trials(_baseline(), layers, _rows(), rules).verdicts
    assert lost.evidence.stability == 1.0
    assert clear.evidence.stability is not None
    assert close.evidence.stability is not None
    if rule == "paper":
        assert close.evidence.stability < 0.9 <= clear.evidence.stability
    again = judge_trials(_baseline(), layers, _rows(), rules).verdicts[2]
    assert again.evidence.stability == close.evidence.stability


def _in_loci(count: int, *, shared: bool) -> dict[Split, Rows]:
    """The same rows in so many loci a split: the same in both, or others."""
    rows = _rows()["validation"]
    loci = np.array([f"locus {i // 2 % count}" for i in range(N)])
    others = loci if shared else np.char.add("other ", loci)
    return {"validation": replace(rows, groups=loci), "test": replace(rows, groups=others)}


def test_four_loci_are_four_and_macro_auroc_decides() -> None:
    layers = {0: [[_trial((0,), seed, 1.2, noise=seed)] for seed in range(3)]}
    rules = TESTED
    found = {}
    for count, shared in ((4, False), (4, True)):
        judged = judge_trials(_baseline(), layers, _in_loci(count, shared=shared), rules)
        found[shared] = judged.verdicts[0].evidence.comparison
    assert found[False] is not None
    assert found[True] is not None
    assert (found[False].unit, found[False].units, found[False].macro) == ("group", 4, True)
    assert (found[True].unit, found[True].units, found[True].macro) == ("row", 600, False)
    assert (
        "macro AUROC changes by"
        in judge_trials(_baseline(), layers, _in_loci(4, shared=False), rules)
        .verdicts[0]
        .evidence.reason
    )


def test_one_locus_judges_no_layer() -> None:
    layers = {0: [[_trial((0,), 0, 1.2)]]}
    judgement = judge_trials(_baseline(), layers, _in_loci(1, shared=False), QUICK)
    assert "has no interval: needs at least 2 clusters" in judgement.unjudged
    assert judgement.verdicts[0].role == "undecided"


def test_groups_that_both_splits_have_are_categories() -> None:
    assert Sample.of(_in_loci(3, shared=True), "validation").unit == "row"
    held_out = Sample.of(_in_loci(3, shared=False), "validation")
    assert (held_out.unit, held_out.macro, held_out.measure) == ("group", True, "macro AUROC")
    assert Sample.of(_rows(recurring=True), "test").unit == "variant"


def test_a_layer_with_none_of_the_baselines_seeds_cannot_be_tested() -> None:
    layers = {
        0: [[_trial((0,), seed, 1.5, noise=seed)] for seed in (1000, 1001)],
        1: [[_trial((1,), seed, 1.5, noise=seed)] for seed in (0, 1)],
    }
    rules = TESTED
    lost, compared = judge_trials(_baseline(), layers, _rows(), rules).verdicts
    assert (lost.role, lost.evidence.comparison) == ("undecided", None)
    assert "no usable seed in common" in lost.evidence.reason
    assert compared.evidence.comparison is not None
    by_paper = judge_trials(_baseline(), layers, _rows(), QUICK).verdicts[0]
    assert by_paper.role == "unfavourable"


def test_identical_predictions_are_equivalent_within_the_seeds_spread() -> None:
    same = [[_trial((), seed, 3.0, noise=0)] for seed in range(3)]
    judgement = judge_trials(same, {0: [[_trial((0,), 0, 3.0)]]}, _rows(), TESTED)
    assert judgement.verdicts[0].evidence.finding == "equivalent"
    assert judgement.verdicts[0].role == "unfavourable"


def test_a_collapse_that_a_retry_mends_does_not_count() -> None:
    attempts = [_trial((0,), 0, 0, collapsed="stuck"), _trial((0,), 1000, 1.6, noise=0)]
    verdict = judge_trials(_baseline(), {0: [attempts]}, _rows(), QUICK).verdicts[0]
    assert verdict.role == "unfavourable"
    assert verdict.evidence.seeds == (1000,)
    assert verdict.evidence.collapsed_seeds == (0,)


@pytest.mark.parametrize("rule", ["paper", "tested"])
def test_a_layer_whose_every_attempt_collapsed_is_undecided(rule: str) -> None:
    attempts = [_trial((0,), seed, 0, collapsed="stuck at ln 2") for seed in (0, 1000, 2000)]
    rules = Rules(rule=rule)  # type: ignore[arg-type]
    verdict = judge_trials(_baseline(), {0: [attempts]}, _rows(), rules).verdicts[0]
    assert (verdict.role, verdict.evidence.finding) == ("undecided", "unclear")
    assert "every seed (0, 1000, 2000) COLLAPSED: stuck" in verdict.evidence.reason
    assert not verdict.evidence.decides


def test_a_survivor_of_two_seeds_decides_nothing() -> None:
    lost = [_trial((0,), 1 + 1000 * n, 0, collapsed="stuck") for n in range(3)]
    seeds = [[_trial((0,), 0, 0.2, noise=0)], lost]
    verdict = judge_trials(_baseline(), {0: seeds}, _rows(), QUICK).verdicts[0]
    assert verdict.role == "undecided"
    assert "only 1 of 2 seeds is usable" in verdict.evidence.reason
    assert (verdict.evidence.usable_seeds, verdict.evidence.planned_seeds) == (1, 2)


def test_chance_that_an_older_version_took_for_sound_has_collapsed() -> None:
    verdict = judge_trials(_baseline(), {0: [[_trial((0,), 0, 0.0)]]}, _rows(), QUICK).verdicts[0]
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
    assert judge_trials(_baseline(), layers, both, QUICK).unjudged == ""


def test_a_collapsed_baseline_decides_nothing() -> None:
    lost = [[_trial((), seed, 0, collapsed="stuck") for seed in (s, s + 1000)] for s in range(3)]
    verdict = judge_trials(lost, {0: [[_trial((0,), 0, 1.5)]]}, _rows(), QUICK).verdicts[0]
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
        judge_trials(_baseline(), {0: [[]]}, _rows(), QUICK)


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
