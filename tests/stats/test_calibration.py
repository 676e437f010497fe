from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from sklearn.metrics import brier_score_loss, log_loss

from genoslim.errors import GenoslimError, UsageError
from genoslim.stats.calibration import (
    TEMPERATURE_RANGE,
    brier,
    debiased_calibration_error,
    expected_calibration_error,
    fit_temperature,
    reliability_curve,
)


def sample(seed: int, size: int, sharpness: float) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn at the odds of some margins, and logits `sharpness` times too sure."""
    generator = np.random.default_rng(seed)
    margin = generator.normal(size=size)
    labels = (generator.random(size) < 1 / (1 + np.exp(-margin))).astype(int)
    return np.stack([np.full(size, 0.7), 0.7 + sharpness * margin], axis=1), labels


def softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("sharpness", [0.2, 1.0, 5.0, 30.0])
def test_temperature_minimises_the_log_loss(sharpness: float) -> None:
    logits, labels = sample(1, 3000, sharpness)
    found = fit_temperature(logits, labels)
    best = minimize_scalar(
        lambda log_t: log_loss(labels, softmax(logits / np.exp(log_t))),
        bounds=np.log(TEMPERATURE_RANGE),
        method="bounded",
        options={"xatol": 1e-8},
    )
    assert np.log(found) == pytest.approx(best.x, abs=1e-4)
    assert found == pytest.approx(sharpness, rel=0.15)


def test_temperature_keeps_to_its_range() -> None:
    logits = np.array([[0.0, -1.0], [0.0, 1.0]])
    assert fit_temperature(logits, [0, 1]) == pytest.approx(TEMPERATURE_RANGE[0])
    assert fit_temperature(logits, [1, 0]) == pytest.approx(TEMPERATURE_RANGE[1])
    assert fit_temperature(logits * 1e6, [1, 0]) == pytest.approx(TEMPERATURE_RANGE[1])


def test_temperature_ignores_a_shift_of_both_logits() -> None:
    logits, labels = sample(2, 200, 2.0)
    assert fit_temperature(logits + 100, labels) == pytest.approx(fit_temperature(logits, labels))


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (np.zeros((2, 3)), [0, 1], r"shape \[n, 2\], found \[2, 3\]"),
        (np.zeros((3, 2)), [0, 1], "3 against 2"),
        (np.array([[0, np.nan], [0, 1]]), [0, 1], "must be finite, 1 are not"),
    ],
)
def test_bad_logits(logits: np.ndarray, labels: list[int], message: str) -> None:
    with pytest.raises(GenoslimError, match=message):
        fit_temperature(logits, labels)


ROWS = st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=1, max_size=50)


@given(ROWS)
def test_brier_agrees_with_scikit_learn(rows: list[tuple[int, float]]) -> None:
    labels, values = np.array(rows).T
    assert brier(labels, values) == pytest.approx(brier_score_loss(labels, values, pos_label=1))


def test_equal_mass_bins_agree_with_the_definition_without_ties() -> None:
    generator = np.random.default_rng(3)
    values = generator.permutation(np.linspace(0.01, 0.99, 90))
    labels = (generator.random(90) < values**2).astype(int)
    parts = np.split(np.argsort(values), 9)
    gaps = [abs(values[part].mean() - labels[part].mean()) for part in parts]
    assert expected_calibration_error(labels, values, bins=9) == pytest.approx(np.mean(gaps))
    assert [point.count for point in reliability_curve(labels, values, bins=9)] == [10] * 9


@given(ROWS, st.integers(1, 20), st.randoms(use_true_random=False))
def test_bins_hold_every_row_and_ignore_the_order(rows: list, bins: int, random: object) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    there, back = (reliability_curve(*np.array(r).T, bins=bins) for r in (rows, shuffled))
    assert sum(point.count for point in there) == len(rows)
    assert [p.count for p in there] == [p.count for p in back]
    means = [point.mean_probability for point in there]
    assert means == pytest.approx(sorted(means))
    assert 0 <= expected_calibration_error(*np.array(rows).T, bins=bins) <= 1


def test_equal_probabilities_share_a_bin() -> None:
    assert expected_calibration_error([0, 1, 0, 1], [0.5] * 4, bins=4) == 0.0
    assert len(reliability_curve([0, 1, 0, 1], [0.5] * 4, bins=4)) == 1
    with pytest.raises(UsageError, match="bins must be at least 1, found 0"):
        reliability_curve([0, 1], [0.5, 0.5], bins=0)


def _drawn(seed: int, size: int, shift: float) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and probabilities that are too high by `shift`."""
    generator = np.random.default_rng(seed)
    odds = generator.uniform(0.1, 0.7, size)
    return (generator.random(size) < odds).astype(int), odds + shift


def test_the_debiased_error_of_honest_probabilities_is_0_on_average_and_the_other_is_not() -> None:
    found = [debiased_calibration_error(*_drawn(seed, 200, 0.0)) for seed in range(60)]
    assert np.mean([one.value == 0 for one in found]) > 0.4
    assert np.mean([expected_calibration_error(*_drawn(s, 200, 0.0)) for s in range(60)]) > 0.08
    assert np.mean([one.low == 0 for one in found]) >= 0.95


def test_the_debiased_error_finds_the_shift_and_its_interval_covers_it() -> None:
    found = [debiased_calibration_error(*_drawn(seed, 400, 0.15)) for seed in range(80)]
    assert np.mean([one.value for one in found]) == pytest.approx(0.15, abs=0.01)
    assert np.mean([one.low <= 0.15 <= one.high for one in found]) >= 0.9


def test_for_rows_the_square_is_the_estimator_of_kumar() -> None:
    labels, values = _drawn(3, 90, 0.2)
    values = np.round(values, 1)  # a bin is one probability
    square = 0.0
    for value in np.unique(values):
        seen = labels[values == value]
        gap = (value - seen.mean()) ** 2 - seen.mean() * (1 - seen.mean()) / (seen.size - 1)
        square += seen.size / labels.size * gap
    found = debiased_calibration_error(labels, values, bins=90)
    assert found.value == pytest.approx(np.sqrt(square))


def test_copies_of_a_variant_add_nothing() -> None:
    labels, values = _drawn(5, 150, 0.1)
    once = debiased_calibration_error(labels, values)
    twice = debiased_calibration_error(
        np.tile(labels, 2), np.tile(values, 2), clusters=np.tile(np.arange(150), 2)
    )
    assert twice.value == pytest.approx(once.value, abs=0.01)
    assert twice.high - twice.low == pytest.approx(once.high - once.low, rel=0.15)


def test_one_cluster_has_no_calibration_error() -> None:
    with pytest.raises(GenoslimError, match="at least two clusters, found 1"):
        debiased_calibration_error([0, 1], [0.2, 0.8], clusters=["a", "a"])
