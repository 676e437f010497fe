from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genoslim.bench.latency import (
    paired_ratio,
    runs_needed,
    runs_of_mlperf,
    summarise,
    time_call,
    until,
)
from genoslim.bench.measure import rotation
from genoslim.errors import GenoslimError

TIMES = st.lists(st.floats(1e-6, 10), min_size=1, max_size=60)


@given(TIMES)
def test_percentiles_are_those_of_numpy_and_ordered(times: list[float]) -> None:
    found = summarise(times)
    assert found.n == len(times)
    assert found.p50 == pytest.approx(np.median(times))
    assert found.p95 == pytest.approx(np.quantile(times, 0.95))
    assert min(times) <= found.p50 <= found.p90 * (1 + 1e-12) <= found.p95 * (1 + 1e-12)
    assert found.p99 is None
    assert found.p99_missing == 1000 - len(times)


def test_p99_is_given_from_a_thousand_runs_on() -> None:
    assert summarise([1.0] * 999).p99 is None
    assert summarise([1.0] * 999).p99_missing == 1
    found = summarise(list(range(1001)))
    assert (found.p99, found.p99_missing) == (990.0, 0)


def test_how_many_runs_a_percentile_needs() -> None:
    assert [runs_needed(share) for share in (0.9, 0.95, 0.99)] == [100, 200, 1000]
    assert [runs_of_mlperf(share) for share in (0.9, 0.99)] == [23886, 262742]


def test_noise_is_the_spread_over_the_median() -> None:
    quiet, noisy = summarise([1.0, 1.01, 1.02, 1.03]), summarise([1.0, 1.2, 1.4, 1.6])
    assert not quiet.noisy
    assert noisy.noisy
    assert noisy.spread == pytest.approx(0.3 / 1.3)


@pytest.mark.parametrize("times", [[], [float("nan")], [-1.0], [float("inf")]])
def test_what_is_no_time_is_refused(times: list[float]) -> None:
    with pytest.raises(GenoslimError, match="times must be finite"):
        summarise(times)


def test_ratios_are_paired_by_round() -> None:
    found = paired_ratio([2.0, 20.0, 4.0], [1.0, 10.0, 1.0])
    assert (found.median, found.low, found.high, found.rounds) == (2.0, 2.0, 4.0, 3)


@given(TIMES)
def test_a_model_is_exactly_as_fast_as_itself(times: list[float]) -> None:
    found = paired_ratio(times, times)
    assert (found.median, found.low, found.high) == (1.0, 1.0, 1.0)


def test_rounds_that_do_not_pair_are_refused() -> None:
    with pytest.raises(GenoslimError, match="do not pair: 2 against 1"):
        paired_ratio([1.0, 2.0], [1.0])


def test_until_stops_by_the_clock_but_not_before_the_least() -> None:
    ticks = itertools.count()
    assert list(until(3, itertools.count(), clock=lambda: float(next(ticks)))) == [0, 1, 2]
    assert list(until(0, itertools.count(), least=4, clock=lambda: 0.0)) == [0, 1, 2, 3]
    assert list(until(9, iter("ab"), clock=lambda: 0.0)) == ["a", "b"]


def test_time_call_passes_its_arguments() -> None:
    seen: list[int] = []
    assert time_call(seen.append, 3) >= 0
    assert seen == [3]


def test_every_model_is_first_in_one_round() -> None:
    rounds = [list(rotation(3, number)) for number in range(3)]
    assert rounds == [[0, 1, 2], [1, 2, 0], [2, 0, 1]]
