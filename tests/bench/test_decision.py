from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genoslim.bench.decision import Candidate, decide
from genoslim.bench.evidence import Basis, Evidence, Loss
from genoslim.bench.rule import Rule
from genoslim.stats.sensitivity import SensitivityTest

ENOUGH = Basis(measure="AUROC", unit="row", units=400, positives=200, negatives=200)
RULE = Rule(margin=0.01)
SHOWN = Loss(difference=0.0, low=-0.006, high=0.006, lower_bound=-0.005, p_value=0.001, needed=300)
LOST = replace(SHOWN, difference=-0.02, low=-0.031, high=-0.009, lower_bound=-0.029, p_value=0.96)
OPEN = replace(SHOWN, low=-0.02, high=0.02, lower_bound=-0.017, p_value=0.2)


def candidate(name: str, loss: Loss | None = SHOWN, low: float = 0.7, **changes: Any) -> Candidate:
    values: dict[str, Any] = {
        "name": name,
        "digest": name,
        "baseline": loss is None,
        "speed_up": 2.0,
        "p95": 0.010,
        "memory": 100_000_000,
        "size": 100,
        "evidence": Evidence(auroc=0.8, low=low, loss=loss),
    }
    return Candidate(**(values | changes))


def at(p_value: float) -> Loss:
    return replace(SHOWN, p_value=p_value)


FULL = candidate("full", None, speed_up=1.0, p95=0.020, memory=200_000_000, size=200)


def decided(*candidates: Candidate, basis: Basis = ENOUGH, **rule: Any) -> Any:
    return decide(candidates, rule=replace(RULE, **rule), basis=basis)


def test_the_fastest_non_inferior_model_is_chosen() -> None:
    found = decided(FULL, candidate("a"), candidate("b", speed_up=3.0))
    assert (found.deploy, found.passed) == ("b", True)
    assert found.reasons["b"] == (
        "chosen: the fastest eligible model, 3.00x the speed of the baseline"
    )
    assert found.reasons["a"] == "not chosen: slower, 2.00x against 3.00x of b"
    assert found.reasons["full"] == "not chosen: slower, 1.00x against 3.00x of b"
    assert found.summary == "deploy b: the fastest model non-inferior at a margin of 0.01"


def test_an_inferior_model_is_not_chosen_however_fast() -> None:
    found = decided(FULL, candidate("poor", LOST, speed_up=9.0), candidate("a"))
    assert found.deploy == "a"
    assert "worse, by 0.020 (0.009 to 0.031)" in found.reasons["poor"]
    found = decided(FULL, candidate("open", OPEN, speed_up=9.0), candidate("a"))
    assert found.deploy == "a"
    assert (
        "lower bound of its AUROC difference, -0.017, is not above -0.01" in found.reasons["open"]
    )


def test_holm_asks_more_of_one_among_many() -> None:
    """By itself 0.03 passes; with another that fails it would have to be 0.025."""
    assert decided(FULL, candidate("a", at(0.03))).passed
    found = decided(FULL, candidate("a", at(0.03)), candidate("b", OPEN))
    assert not found.passed
    assert found.tests["a"].adjusted_p == pytest.approx(0.06)
    assert "among 2 models: p = 0.03 is 0.06 with Holm's correction" in found.reasons["a"]
    found = decided(FULL, candidate("a", at(0.03)), candidate("b", at(0.02)))
    assert found.tests["a"].adjusted_p == pytest.approx(0.04)
    assert found.passed


def test_a_sequence_goes_from_the_slowest_to_the_fastest_and_stops() -> None:
    slow, middle, fast = (
        candidate(name, at(p), speed_up=s)
        for name, p, s in (("slow", 0.04, 1.5), ("middle", 0.2, 2.0), ("fast", 0.001, 9.0))
    )
    found = decided(FULL, fast, middle, slow, correction="sequence")
    assert found.deploy == "slow"
    assert found.tests["fast"].adjusted_p == 0.2
    assert "not tested: a slower model before it in the sequence" in found.reasons["fast"]
    sealed = decide(
        [FULL, fast, middle, slow],
        rule=replace(RULE, correction="sequence"),
        basis=ENOUGH,
        order=["fast", "middle", "slow"],
    )
    assert sealed.deploy == "fast"


def test_what_is_out_of_the_question_costs_the_others_nothing() -> None:
    """A model over a limit, or a copy, is no hypothesis: the family is what is left."""
    late = candidate("late", OPEN, p95=0.5)
    twin = candidate("twin", OPEN, digest="full")
    for correction in ("holm", "sequence"):
        found = decided(
            FULL, late, twin, candidate("a", at(0.04)), max_p95_ms=100, correction=correction
        )
        assert found.deploy == "a"
        assert found.tests["late"].adjusted_p is None
        assert not found.tests["late"].passed


def test_without_any_other_model_the_baseline_stays_and_the_gate_says_no() -> None:
    found = decided(FULL, candidate("poor", LOST))
    assert (found.deploy, found.passed) == ("full", False)
    assert found.summary.startswith("keep full: no other model is shown to be non-inferior to it")


def test_a_slower_model_that_passes_lets_the_baseline_be_chosen() -> None:
    found = decided(FULL, candidate("slow", speed_up=0.8))
    assert (found.deploy, found.passed) == ("full", True)
    assert found.reasons["full"].startswith("chosen: the baseline itself")


def test_the_limits_bind_every_model() -> None:
    found = decided(FULL, candidate("a"), max_p95_ms=15)
    assert (found.deploy, found.passed) == ("a", True)
    assert found.reasons["full"] == "not chosen: p95 of 20 ms is over the limit of 15 ms"
    found = decided(FULL, candidate("a"), max_memory_mb=150)
    assert found.deploy == "a"
    assert "peak memory of 200 MB is over the limit of 150 MB" in found.reasons["full"]
    none = decided(FULL, candidate("a"), max_p95_ms=1, max_memory_mb=50)
    assert (none.deploy, none.passed) == (None, False)
    assert none.summary == (
        "deploy none: no model is better than chance and non-inferior"
        " at a margin of 0.01 with p95 within 1 ms and memory within 50 MB"
    )


def test_a_sensitivity_must_be_shown() -> None:
    reached = SensitivityTest(least=0.8, sensitivity=0.9, lower_bound=0.85, p_value=0.001)
    missed = replace(reached, sensitivity=0.82, lower_bound=0.76, p_value=0.3)
    full = replace(FULL, evidence=replace(FULL.evidence, sensitivity=reached))
    models = [
        replace(one, evidence=replace(one.evidence, sensitivity=found))
        for one, found in ((candidate("a"), missed), (candidate("b", speed_up=1.5), reached))
    ]
    found = decided(full, *models, min_sensitivity=0.8)
    assert found.deploy == "b"
    assert found.reasons["a"] == (
        "not chosen: not shown to have a sensitivity of 0.8: found 0.8200,"
        " with a lower bound of 0.7600"
    )


def test_every_fault_is_named() -> None:
    poor = candidate("poor", OPEN, p95=0.030)
    reason = decided(FULL, poor, max_p95_ms=25).reasons["poor"]
    assert "non-inferior" in reason
    assert "p95 of 30 ms" in reason


def test_an_objection_bars_a_model_and_a_merit_is_told() -> None:
    base = candidate("full", None, baseline=True, speed_up=1.0)
    slow, fast = (
        candidate("slow", speed_up=2.0, merits=("beats k-mers",)),
        candidate("fast", speed_up=4.0, objections=("loses one skill",)),
    )
    found = decided(base, slow, fast)
    assert found.deploy == "slow"
    assert found.reasons["slow"].endswith("; beats k-mers")
    assert found.reasons["fast"] == "not chosen: loses one skill"
    kept = decided(base, fast)
    assert (
        kept.summary == "keep full: fast is non-inferior at a margin of 0.01, but loses one skill"
    )
    nothing = decided(candidate("full", None, baseline=True, objections=("no better than k-mers",)))
    assert (nothing.deploy, nothing.passed) == (None, False)
    assert nothing.summary == ("deploy none: the baseline is no better than k-mers")


def test_a_copy_is_not_chosen_over_what_it_copies() -> None:
    found = decided(FULL, candidate("a"), candidate("twin", digest="a", speed_up=2.1))
    assert found.deploy == "a"
    assert found.reasons["twin"] == "not chosen: a copy of a"


def test_the_baseline_alone_or_with_copies_passes() -> None:
    assert decided(FULL).passed
    found = decided(FULL, candidate("twin", digest="full"))
    assert (found.deploy, found.passed) == ("full", True)
    assert not decided(FULL, max_p95_ms=1).passed
    alone = decided(FULL).summary
    assert alone == "deploy full: the only model, shown to be better than chance"


def test_equally_fast_models_go_by_size_then_by_order() -> None:
    assert decided(FULL, candidate("a"), candidate("small", size=50)).deploy == "small"
    found = decided(FULL, candidate("a"), candidate("b"))
    assert found.deploy == "a"
    assert found.reasons["b"].startswith("not chosen: no faster than a")


@pytest.mark.parametrize(
    ("basis", "words"),
    [
        (
            Basis(measure="macro AUROC", unit="group", units=4, positives=900, negatives=900),
            "the test split has 4 groups with both classes, and groups are the unit: a decision"
            " needs 5 at least",
        ),
        (
            Basis(measure="AUROC", unit="variant", units=300, positives=99, negatives=200),
            "99 positive and 200 negative variants: a decision needs 100 of each at least",
        ),
    ],
)
def test_too_few_rows_or_groups_decide_nothing(basis: Basis, words: str) -> None:
    found = decided(FULL, candidate("a"), basis=basis)
    assert (found.deploy, found.passed) == ("full", False)
    assert found.summary.startswith("keep full: nothing can be decided: the test split has")
    assert words in found.reasons["a"]
    assert f"with about 300 {basis.unit}s" in found.reasons["a"]
    assert f"about 300 {basis.unit}s" in found.summary
    assert decided(FULL, basis=basis).passed  # nothing is asked
    guess = decided(candidate("full", None, low=0.4), candidate("a"), basis=basis)
    assert guess.summary.startswith("deploy none: nothing can be decided: the test split has")


@given(
    st.lists(
        st.builds(
            candidate,
            st.uuids().map(str),
            st.floats(0, 1).map(at),
            speed_up=st.floats(0.1, 10),
            p95=st.floats(0.001, 0.1),
        ),
        max_size=6,
    ),
    st.none() | st.floats(1, 100),
    st.sampled_from(["holm", "sequence"]),
)
def test_what_is_chosen_is_always_allowed(
    others: list[Candidate], limit: float | None, correction: str
) -> None:
    models = [FULL, *others]
    found = decided(*models, max_p95_ms=limit, correction=correction)
    allowed = [
        model
        for model in models
        if (model.baseline or found.tests[model.name].passed)
        and (limit is None or model.p95 * 1000 <= limit)
    ]
    assert (found.deploy is None) == (not allowed)
    if found.deploy is not None:
        best = next(model for model in models if model.name == found.deploy)
        assert best in allowed
        assert best.speed_up == pytest.approx(max(model.speed_up for model in allowed))
    assert set(found.reasons) == {model.name for model in models}
    assert sum(reason.startswith("chosen") for reason in found.reasons.values()) == bool(allowed)
    for test in found.tests.values():
        assert not test.passed or test.p_value <= 0.05


def test_a_model_no_better_than_chance_is_never_chosen() -> None:
    found = decided(FULL, candidate("guess", low=0.5), margin=0.5)
    assert (found.deploy, found.passed) == ("full", False)
    assert "0.5000, is not above 0.5" in found.reasons["guess"]


def test_nothing_follows_from_a_baseline_no_better_than_chance() -> None:
    guess = candidate("full", None, low=0.449)
    found = decided(guess, candidate("a", speed_up=9.0))
    assert (found.deploy, found.passed) == (None, False)
    assert "0.4490, is not above 0.5" in found.reasons["full"]
    assert "nothing follows" in found.reasons["a"]
    assert found.summary.startswith("deploy none")


FEW = Basis(measure="macro AUROC", unit="group", units=4, positives=200, negatives=200)


def test_the_baseline_in_another_form_is_not_tested_where_nothing_can_be_decided() -> None:
    half = candidate("half", OPEN, speed_up=3.0, same=True, merits=("its own weights",))
    found = decided(FULL, half, candidate("slim", speed_up=9.0), basis=FEW)
    assert (found.deploy, found.passed) == ("half", True)
    assert found.summary == "deploy half: the baseline's own weights in the fastest form"
    assert found.reasons["half"].endswith("the speed of the baseline; its own weights")
    assert "nothing can be decided: the test split has 4 groups" in found.reasons["slim"]
    assert found.tests["half"].adjusted_p is None
    other = decided(FULL, replace(half, same=False), basis=FEW)
    assert (other.deploy, other.passed) == ("full", False)


def test_the_baseline_in_a_slower_form_passes_no_gate_for_the_others() -> None:
    half = candidate("half", OPEN, speed_up=0.5, same=True)
    found = decided(FULL, half, candidate("poor", LOST, speed_up=9.0))
    assert (found.deploy, found.passed) == ("full", False)
    assert found.summary.startswith("keep full: no other model is shown to be non-inferior")
    few = decided(FULL, half, candidate("slim", speed_up=9.0), basis=FEW)
    assert few.summary.startswith("keep full: nothing can be decided: the test split has 4 groups")
    assert decided(FULL, half).summary == "keep full: none of its other forms is faster"
    good = decided(FULL, candidate("good", speed_up=0.9))
    assert good.passed
    assert "than which no model that may be deployed is faster" in good.summary


def test_the_baseline_in_another_form_costs_the_others_no_correction() -> None:
    alone = decided(FULL, candidate("a", at(0.04)))
    beside = decided(FULL, candidate("a", at(0.04)), candidate("half", OPEN, same=True))
    assert alone.tests["a"].adjusted_p == beside.tests["a"].adjusted_p == 0.04
    assert decided(FULL, candidate("a", at(0.04)), candidate("b", OPEN)).tests["a"].passed is False


def test_the_baseline_in_another_form_is_held_to_all_else() -> None:
    half = candidate("half", SHOWN, speed_up=3.0, same=True)
    over = decided(FULL, replace(half, p95=1.0), max_p95_ms=100)
    assert over.deploy == "full"
    below = decided(FULL, replace(half, objections=("worse than the best floor",)))
    assert "half is the baseline in another form, but worse than the best floor" in below.summary
    chance = decided(FULL, replace(half, evidence=replace(half.evidence, low=0.4)))
    assert chance.deploy == "full"
    weak = SensitivityTest(least=0.9, sensitivity=0.8, lower_bound=0.7, p_value=0.5)
    asked = replace(half, evidence=replace(half.evidence, sensitivity=weak))
    assert "not shown to have a sensitivity of 0.9" in decided(FULL, asked).reasons["half"]
