from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from genoslim.errors import UsageError
from genoslim.prune.agreement import (
    agreement,
    kendall,
    roles_in_common,
    self_agreement,
    spearman,
    spearman_interval,
)
from genoslim.prune.verdicts import Role

ROLES: dict[str, Role] = {
    "u": "unfavourable",
    "n": "neutral",
    "c": "cornerstone",
    "?": "undecided",
}


def _roles(letters: str) -> list[Role]:
    return [ROLES[letter] for letter in letters]


@pytest.mark.parametrize("seed", range(5))
def test_rank_correlations_are_those_of_scipy(seed: int) -> None:
    generator = np.random.default_rng(seed)
    first, second = generator.integers(0, 6, size=(2, 12)).astype(float)
    assert spearman(first, second) == pytest.approx(stats.spearmanr(first, second).statistic)
    assert kendall(first, second) == pytest.approx(stats.kendalltau(first, second).statistic)


def test_interval_of_spearman_by_hand() -> None:
    """z = 0.5493 and a standard error of sqrt(1.125 / 9) = 0.3536."""
    assert spearman_interval(0.5, 12) == pytest.approx((-0.1427, 0.8459), abs=2e-4)
    assert spearman_interval(0.5, 3) == (-1, 1)
    assert spearman_interval(1.0, 12) == (1, 1)


def test_interval_of_spearman_covers_the_truth() -> None:
    """Of rankings whose true rho is known, about 95 % of the intervals hold it."""
    generator = np.random.default_rng(0)
    pearson = 0.6
    rho = 6 / np.pi * np.arcsin(pearson / 2)
    hits = 0
    for _ in range(500):
        x = generator.normal(size=24)
        y = pearson * x + np.sqrt(1 - pearson**2) * generator.normal(size=24)
        low, high = spearman_interval(spearman(x, y) or 0.0, 24)
        hits += low <= rho <= high
    assert 0.92 <= hits / 500 <= 0.98


@pytest.mark.parametrize(
    ("letters", "share"),
    [("uuncnc", 1.0), ("nnnnnn", 1.0), ("unnnnu", 4 / 6), ("cuunnn", 3 / 6), ("uun?nc", 1.0)],
)
def test_roles_in_common(letters: str, share: float) -> None:
    """Scores rank the layers 0, 1, 2, 4, 3, 5."""
    scores = np.array([0.0, 1.0, 2.0, 4.0, 3.0, 5.0])
    assert roles_in_common(scores, _roles(letters)) == pytest.approx(share)


def test_agreement_of_a_ranking_with_itself_and_upside_down() -> None:
    lost = [0.3, 0.0, 0.1, -0.01, 0.02, 0.2]
    whole = agreement(lost, lost, _roles("cunucn"))
    assert (whole.spearman, whole.kendall, whole.least) == (pytest.approx(1), pytest.approx(1), 1)
    upside = agreement([-value for value in lost], lost, _roles("cunucn"))
    assert upside.spearman == pytest.approx(-1)
    assert upside.least == 0
    constant = agreement([1.0] * 6, lost, _roles("cunucn"))
    assert (constant.spearman, constant.low, constant.kendall) == (None, None, None)
    with pytest.raises(UsageError, match="3 scores against 4 layers"):
        agreement([1, 2, 3], [1, 2, 3, 4], _roles("nnnn"))


def test_a_sweep_agrees_with_itself_as_its_seeds_do() -> None:
    assert self_agreement([[1, 2, 3]]) is None
    assert self_agreement([[1, 2, 3, 4], [10, 20, 30, 40]]) == pytest.approx(1)
    generator = np.random.default_rng(0)
    truth = generator.normal(size=12)
    noisy = [
        [self_agreement(truth + noise * generator.normal(size=(3, 12))) for _ in range(50)]
        for noise in (0.3, 3.0)
    ]
    clear, blurred = (np.mean([value for value in found if value is not None]) for found in noisy)
    assert clear > 0.85
    assert blurred < 0.3
