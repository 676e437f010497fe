"""How well a ranking of the layers agrees with a sweep, and how well the sweep with itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import UsageError
from ..stats.checks import Floats
from ..stats.ranks import midranks
from ..stats.student import t_quantile
from .verdicts import Role


@dataclass(frozen=True)
class Agreement:
    """The agreement of scores of the layers with what their removal cost in a sweep.

    `spearman` and `kendall` (tau-b) are None where one side is constant; `low` to `high` is the
    95 % interval of `spearman`. `least` is the share that the least important layers have in
    common, a third of all, and `roles` the share of layers to which the scores, cut where the
    sweep's roles are cut, give the role that the sweep gave.
    """

    spearman: float | None
    low: float | None
    high: float | None
    kendall: float | None
    least: float
    roles: float


def agreement(
    scores: Sequence[float], importance: Sequence[float], roles: Sequence[Role]
) -> Agreement:
    """Compare `scores` with the AUROC that each layer's removal cost and the roles it was given."""
    first, second = (np.asarray(values, dtype=np.float64) for values in (scores, importance))
    if not len(first) == len(second) == len(roles):
        raise UsageError(f"{len(first)} scores against {len(second)} layers: not the same model")
    rho = spearman(first, second)
    low, high = (None, None) if rho is None else spearman_interval(rho, len(first))
    third = max(1, len(first) // 3)
    return Agreement(
        spearman=rho,
        low=low,
        high=high,
        kendall=kendall(first, second),
        least=len(_least(first, third) & _least(second, third)) / third,
        roles=roles_in_common(first, roles),
    )


def self_agreement(by_seed: Sequence[Sequence[float]]) -> float | None:
    """Return how well a sweep agrees with itself: the ceiling of what an estimate can reach.

    `by_seed` holds, for each seed, what each layer's removal cost. It is the mean over the seeds of
    Spearman's correlation of one seed with the mean of the others; None for a single seed.
    """
    table = np.asarray(by_seed, dtype=np.float64)
    if len(table) < 2:
        return None
    found = [
        spearman(table[seed], np.delete(table, seed, axis=0).mean(axis=0))
        for seed in range(len(table))
    ]
    known = [value for value in found if value is not None]
    return float(np.mean(known)) if known else None


def roles_in_common(scores: Floats, roles: Sequence[Role]) -> float:
    """Return the share of layers that get the role they have when `scores` are cut like `roles`.

    As many layers as are unfavourable, those of the lowest scores, are taken for unfavourable, as
    many of the highest as are cornerstones for cornerstones, the rest for neither.
    """
    order = np.argsort(scores, kind="stable")
    low, high = (sum(role == name for role in roles) for name in ("unfavourable", "cornerstone"))
    guessed = ["neither"] * len(roles)
    for layer in order[:low]:
        guessed[layer] = "unfavourable"
    for layer in order[len(roles) - high :]:
        guessed[layer] = "cornerstone"
    known = [role if role in ("unfavourable", "cornerstone") else "neither" for role in roles]
    return sum(one == other for one, other in zip(guessed, known, strict=True)) / len(roles)


def spearman_interval(rho: float, count: int, *, level: float = 0.95) -> tuple[float, float]:
    """Return the interval of Spearman's rho of `count` pairs; -1 to 1 for fewer than four.

    Fisher's z with the standard error of Bonett and Wright (2000, Psychometrika 65:23),
    sqrt((1 + rho^2 / 2) / (n - 3)).
    """
    if count < 4:
        return -1.0, 1.0
    if abs(rho) >= 1:
        return rho, rho
    reach = t_quantile((1 + level) / 2, math.inf) * math.sqrt((1 + rho**2 / 2) / (count - 3))
    return math.tanh(math.atanh(rho) - reach), math.tanh(math.atanh(rho) + reach)


def spearman(first: Floats, second: Floats) -> float | None:
    """Return the correlation of mid-ranks, None if one of them is constant."""
    x, y = (midranks(values) - (len(values) + 1) / 2 for values in (first, second))
    scale = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / scale if scale > 0 else None


def kendall(first: Floats, second: Floats) -> float | None:
    """Return tau-b: concordant less discordant pairs, corrected for ties; None if constant."""
    x, y = (np.sign(values[:, None] - values[None, :]) for values in (first, second))
    scale = math.sqrt(float((x * x).sum()) * float((y * y).sum()))
    return float((x * y).sum()) / scale if scale > 0 else None


def _least(scores: Floats, count: int) -> set[int]:
    return {int(layer) for layer in np.argsort(scores, kind="stable")[:count]}
