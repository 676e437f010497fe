from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genoslim.bench.decision import Candidate, decide


def candidate(name: str, **changes: Any) -> Candidate:
    values: dict[str, Any] = {
        "name": name,
        "digest": name,
        "baseline": False,
        "speed_up": 2.0,
        "p95": 0.010,
        "size": 100,
        "auroc_low": 0.7,
        "lower_bound": -0.005,
        "noninferior": True,
    }
    return Candidate(**(values | changes))


FULL = candidate("full", baseline=True, speed_up=1.0, p95=0.020, size=200)


def test_the_fastest_non_inferior_model_is_chosen() -> None:
    found = decide([FULL, candidate("a"), candidate("b", speed_up=3.0)], margin=0.01)
    assert (found.deploy, found.passed) == ("b", True)
    assert found.reasons["b"] == (
        "chosen: the fastest eligible model, 3.00x the speed of the baseline"
    )
    assert found.reasons["a"] == "not chosen: slower, 2.00x against 3.00x of b"
    assert found.reasons["full"] == "not chosen: slower, 1.00x against 3.00x of b"
    assert found.summary == "deploy b: the fastest model non-inferior at a margin of 0.01"


def test_an_inferior_model_is_not_chosen_however_fast() -> None:
    poor = candidate("poor", speed_up=9.0, noninferior=False, lower_bound=-0.03)
    found = decide([FULL, poor, candidate("a")], margin=0.01)
    assert found.deploy == "a"
    assert (
        "lower bound of its AUROC difference, -0.0300, is not above -0.01"
        in (found.reasons["poor"])
    )


def test_without_any_other_model_the_baseline_stays_and_the_gate_says_no() -> None:
    found = decide([FULL, candidate("poor", noninferior=False)], margin=0.01)
    assert (found.deploy, found.passed) == ("full", False)
    assert found.summary.startswith("keep full: no other model is shown to be non-inferior to it")


def test_a_slower_model_that_passes_lets_the_baseline_be_chosen() -> None:
    found = decide([FULL, candidate("slow", speed_up=0.8)], margin=0.01)
    assert (found.deploy, found.passed) == ("full", True)
    assert found.reasons["full"].startswith("chosen: the baseline itself")


def test_the_latency_limit_binds_every_model() -> None:
    found = decide([FULL, candidate("a")], margin=0.01, max_p95_ms=15)
    assert (found.deploy, found.passed) == ("a", True)
    assert found.reasons["full"] == "not chosen: p95 of 20 ms is over the limit of 15 ms"
    none = decide([FULL, candidate("a")], margin=0.01, max_p95_ms=1)
    assert (none.deploy, none.passed) == (None, False)
    assert none.summary == (
        "deploy none: no model is better than chance and non-inferior"
        " at a margin of 0.01 with p95 within 1 ms"
    )


def test_every_fault_is_named() -> None:
    poor = candidate("poor", noninferior=False, p95=0.030)
    reason = decide([FULL, poor], margin=0.01, max_p95_ms=25).reasons["poor"]
    assert "non-inferior" in reason
    assert "p95 of 30 ms" in reason


def test_a_copy_is_not_chosen_over_what_it_copies() -> None:
    twin = candidate("twin", digest="a", speed_up=2.1)
    found = decide([FULL, candidate("a"), twin], margin=0.01)
    assert found.deploy == "a"
    assert found.reasons["twin"] == "not chosen: a copy of a"


def test_the_baseline_alone_or_with_copies_passes() -> None:
    assert decide([FULL], margin=0.01).passed
    found = decide([FULL, candidate("twin", digest="full")], margin=0.01)
    assert (found.deploy, found.passed) == ("full", True)
    assert not decide([FULL], margin=0.01, max_p95_ms=1).passed


def test_equally_fast_models_go_by_size_then_by_order() -> None:
    small = candidate("small", size=50)
    assert decide([FULL, candidate("a"), small], margin=0.01).deploy == "small"
    found = decide([FULL, candidate("a"), candidate("b")], margin=0.01)
    assert found.deploy == "a"
    assert found.reasons["b"].startswith("not chosen: no faster than a")


@given(
    st.lists(
        st.builds(
            candidate,
            st.uuids().map(str),
            speed_up=st.floats(0.1, 10),
            p95=st.floats(0.001, 0.1),
            noninferior=st.booleans(),
        ),
        max_size=6,
    ),
    st.none() | st.floats(1, 100),
)
def test_what_is_chosen_is_always_allowed(others: list[Candidate], limit: float | None) -> None:
    models = [FULL, *others]
    found = decide(models, margin=0.01, max_p95_ms=limit)
    allowed = [
        model
        for model in models
        if (model.baseline or model.noninferior) and (limit is None or model.p95 * 1000 <= limit)
    ]
    assert (found.deploy is None) == (not allowed)
    if found.deploy is not None:
        best = next(model for model in models if model.name == found.deploy)
        assert best in allowed
        assert best.speed_up == pytest.approx(max(model.speed_up for model in allowed))
    assert set(found.reasons) == {model.name for model in models}
    assert sum(reason.startswith("chosen") for reason in found.reasons.values()) == bool(allowed)


def test_a_model_no_better_than_chance_is_never_chosen() -> None:
    found = decide([FULL, candidate("guess", auroc_low=0.5)], margin=0.5)
    assert (found.deploy, found.passed) == ("full", False)
    assert "0.5000, is not above 0.5" in found.reasons["guess"]


def test_nothing_follows_from_a_baseline_no_better_than_chance() -> None:
    guess = candidate("full", baseline=True, auroc_low=0.449)
    found = decide([guess, candidate("a", speed_up=9.0, lower_bound=0.02)], margin=0.01)
    assert (found.deploy, found.passed) == (None, False)
    assert "0.4490, is not above 0.5" in found.reasons["full"]
    assert "nothing follows" in found.reasons["a"]
    assert found.summary.startswith("deploy none")
