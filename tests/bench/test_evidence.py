from __future__ import annotations

import numpy as np
import pytest

from genoslim.bench.decision import Candidate, decide
from genoslim.bench.evidence import Basis, Evidence, Loss, weigh
from genoslim.bench.rule import Rule
from genoslim.prune.measure import Rows, Sample
from genoslim.stats.delong import paired_auroc
from genoslim.stats.paired_seeds import Design
from genoslim.stats.student import t_quantile

RULE = Rule(margin=0.05)


def sample(labels: np.ndarray, *, keys: np.ndarray | None = None, groups: int = 0) -> Sample:
    """A test split whose groups, if any, validation has not."""
    size = len(labels)
    rows = np.arange(size).astype(np.str_)
    names = np.array([f"locus {i // 2 % groups}" if groups else "" for i in range(size)])
    test = Rows(labels, rows if keys is None else keys, names)
    known = Rows(labels, rows, np.full(size, "other" if groups else ""))
    return Sample.of({"validation": known, "test": test}, "test")


def some_scores(size: int, models: int = 2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Balanced labels and probabilities of like quality, with common noise."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(size) % 2).astype(np.int8)
    noise = rng.normal(size=(size, 1)) + 0.5 * rng.normal(size=(size, models))
    return labels, 1 / (1 + np.exp(-(2.0 * labels[:, None] + noise)))


def deployed(evidence: list[Evidence], basis: Basis, rule: Rule = RULE) -> str | None:
    models = [
        Candidate(
            name=str(place),
            digest=str(place),
            baseline=found.loss is None,
            speed_up=1.0 + place,
            p95=0.01,
            memory=1,
            size=1,
            evidence=found,
        )
        for place, found in enumerate(evidence)
    ]
    return decide(models, rule=rule, basis=basis).deploy


def test_independent_rows_are_compared_as_delong_does_with_students_t() -> None:
    labels, scores = some_scores(400)
    first, second = weigh(sample(labels), scores, rule=RULE)
    delong = paired_auroc(labels, scores[:, 0], scores[:, 1])
    assert (first.loss, first.auroc) == (None, pytest.approx(delong.first))
    assert second.loss is not None
    assert second.loss.difference == pytest.approx(delong.difference)
    reach = t_quantile(0.95, int(min(labels.sum(), 400 - labels.sum())) - 1) * delong.standard_error
    assert second.loss.lower_bound == pytest.approx(delong.difference - reach)
    assert (second.loss.p_value <= 0.05) == (second.loss.lower_bound >= -0.05)


@pytest.mark.parametrize("size", [4, 40, 198])
def test_few_perfectly_separated_rows_never_pass(size: int) -> None:
    labels = (np.arange(size) % 2).astype(np.int8)
    scores = np.stack([labels * 0.8 + 0.1, labels * 0.6 + 0.2], axis=1)
    one = sample(labels)
    found = weigh(one, scores, rule=RULE)
    assert deployed(found, Basis.of(one)) == "0"


def test_where_nothing_varies_the_number_of_rows_speaks() -> None:
    """A margin of 0.05 takes 59 rows of the rarer class without a difference, 0.01 takes 299."""
    for margin, each in ((0.05, 59), (0.01, 299)):
        for rows in (each - 1, each):
            labels = np.repeat([0, 1], rows).astype(np.int8)
            scores = np.stack([labels * 0.8 + 0.1] * 2, axis=1)
            loss = weigh(sample(labels), scores, rule=Rule(margin=margin))[1].loss
            assert loss is not None
            assert (loss.difference, loss.needed) == (0.0, max(each, 100))
            assert (loss.p_value <= 0.05) == (loss.lower_bound > -margin) == (rows == each)


def test_scores_that_are_all_tied_are_not_better_than_chance() -> None:
    labels, scores = some_scores(400)
    scores[:, 1] = 0.5
    one = sample(labels)
    found = weigh(one, scores, rule=Rule(margin=0.49))
    assert found[1].low <= 0.5
    assert deployed(found, Basis.of(one), Rule(margin=0.49)) == "0"


def test_groups_that_validation_lacks_are_the_unit() -> None:
    labels, scores = some_scores(2000)
    four, twenty = sample(labels, groups=4), sample(labels, groups=20)
    basis = Basis.of(four)
    assert (basis.measure, basis.unit, basis.units) == ("macro AUROC", "group", 4)
    assert basis.refusal.startswith("the test split has 4 groups with both classes")
    assert deployed(weigh(four, scores, rule=RULE), basis) == "0"
    assert Basis.of(twenty).refusal == ""
    found = weigh(twenty, scores, rule=RULE)
    assert deployed(found, Basis.of(twenty)) == "1"


def test_a_single_group_has_figures_but_decides_nothing() -> None:
    labels, scores = some_scores(400)
    one = sample(labels, groups=1)
    found = weigh(one, scores, rule=RULE)
    assert found[0].auroc > 0.8
    assert "has 1 group with the rarer class" in Basis.of(one).refusal


def test_variants_that_recur_count_once() -> None:
    labels, scores = some_scores(400)
    twice = sample(np.repeat(labels, 2), keys=np.repeat(np.arange(400), 2).astype(np.str_))
    basis = Basis.of(twice)
    assert (basis.unit, basis.units, basis.positives) == ("variant", 400, 200)
    once = weigh(sample(labels), scores, rule=RULE)[1].loss
    found = weigh(twice, np.repeat(scores, 2, axis=0), rule=RULE)[1].loss
    assert once is not None
    assert found is not None
    assert found.lower_bound == pytest.approx(once.lower_bound, abs=2e-4)


def test_seeds_that_vary_widen_the_bound() -> None:
    labels, scores = some_scores(1000, models=6)
    design = Design(("full",) * 3 + ("slim",) * 3, (0, 1, 2) * 2)
    rng = np.random.default_rng(3)
    noisy = scores + 0.25 * rng.normal(size=6) * labels[:, None]
    quiet, wide = (weigh(sample(labels), one, rule=RULE, design=design) for one in (scores, noisy))
    assert len(quiet) == len(wide) == 2
    first, second = quiet[1].loss, wide[1].loss
    assert first is not None
    assert second is not None
    assert second.high - second.low > 1.5 * (first.high - first.low)


def test_a_sensitivity_is_tested_where_it_is_asked_for() -> None:
    labels, scores = some_scores(400)
    calls = scores >= 0.5
    assert weigh(sample(labels), scores, rule=RULE, calls=calls)[0].sensitivity is None
    asked = Rule(margin=0.05, min_sensitivity=0.5)
    found = weigh(sample(labels), scores, rule=asked, calls=calls)[1]
    assert found.sensitivity is not None
    assert found.sensitivity.sensitivity == calls[labels == 1, 1].mean()
    assert found.p_value >= found.sensitivity.p_value


@pytest.mark.parametrize(
    ("interval", "noninferior", "words"),
    [
        ((-0.112, -0.081, -0.049), False, "worse, by 0.081 (0.049 to 0.112)"),
        ((-0.007, -0.004, -0.001), True, "non-inferior, but worse, by 0.0040 (0.0010 to 0.0070)"),
        ((0.001, 0.02, 0.039), True, "better, by 0.020 (0.001 to 0.039)"),
        ((-0.01, 0.002, 0.014), True, "non-inferior"),
        ((-0.06, -0.01, 0.04), False, "not shown to be non-inferior"),
    ],
)
def test_words_say_what_is_shown(
    interval: tuple[float, float, float], noninferior: bool, words: str
) -> None:
    low, value, high = interval
    loss = Loss(difference=value, low=low, high=high, lower_bound=low, p_value=0.5, needed=9)
    assert loss.verdict(noninferior) == words


def test_groups_in_which_nothing_varies_are_counted_not_their_rows() -> None:
    labels = (np.arange(700) % 2).astype(np.int8)
    scores = np.stack([labels * 0.8 + 0.1] * 2, axis=1)
    seven = sample(labels, groups=7)
    loss = weigh(seven, scores, rule=RULE)[1].loss
    assert loss is not None
    assert loss.p_value == pytest.approx(0.95**7)
    assert deployed([*weigh(seven, scores, rule=RULE)], Basis.of(seven)) == "0"


def test_a_worse_model_is_refused_and_says_so() -> None:
    labels, scores = some_scores(2000)
    rng = np.random.default_rng(9)
    scores[:, 1] = np.where(rng.random(2000) < 0.3, 0.5, scores[:, 1])
    one = sample(labels)
    found = weigh(one, scores, rule=RULE)
    assert found[1].loss is not None
    assert found[1].loss.high < -RULE.margin
    assert found[1].loss.verdict(False).startswith("worse, by 0.")
    assert deployed(found, Basis.of(one)) == "0"
