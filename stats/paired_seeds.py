"""Groups of runs against a reference group, paired by seed.

The model is the two-way analysis of variance without interaction, value = group + seed + own,
fitted by least squares (Searle 1971, Linear Models, chapter 7), so that a group that lacks a seed
costs what it must. Runs of one seed share their seed part (the same head, the same order of rows),
which falls out of every difference; own parts are independent, their variance pooled over groups.

A difference errs by its own parts and by the sample of rows, which all runs share. With weights w
(difference = w' values), S the covariance over rows, M the residual projection with f degrees of
freedom and MS the residual mean square, which holds the rows' part tr(M S) / f as well:

    variance = w' S w + w'w max(MS - tr(M S) / f, 0)

with Satterthwaite's degrees of freedom (1946, Biometrics Bulletin 2:110). Some groups vary more
than others: one whose own mean square, less its rows' part, exceeds the pooled one is given its
own; one that exceeds the rest by an F test at 1 % (Bonferroni over groups) leaves the pool, and has
its own degrees of freedom. A group in whose mean square the rows' part is over four times the
median's is not pooled either: it would drown what seeds do. The reference is taken to vary as the
pool does; `SeedSpread.reference_p` tells when it does not.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..errors import GenoslimError
from .checks import Bools, Floats
from .student import each_t_below, each_t_quantile

_OUTLIER = 0.01
_NOISY = 4.0
_TINY = 1e-9


@dataclass(frozen=True)
class Design:
    """The group and the seed of each of n runs; the first run's group is the reference.

    Raises GenoslimError where a group has two runs of one seed.
    """

    groups: tuple[Hashable, ...]
    seeds: tuple[int, ...]

    def __post_init__(self) -> None:
        runs = list(zip(self.groups, self.seeds, strict=True))
        if twice := [run for run in runs if runs.count(run) > 1]:
            raise GenoslimError(f"two runs of group {twice[0][0]} have the seed {twice[0][1]}")

    @cached_property
    def compared(self) -> tuple[Hashable, ...]:
        """The k groups without the reference, in the order of their first runs."""
        return tuple(dict.fromkeys(self.groups))[1:]

    @cached_property
    def weights(self) -> Floats:
        """Differences from the reference are `weights @ values`: float[k, n].

        NaN for a group that no chain of common seeds joins to the reference.
        """
        wanted = np.zeros((len(self.compared), self._both.shape[1]))
        wanted[:, 0] = -1
        np.fill_diagonal(wanted[:, 1:], 1)
        weights: Floats = wanted @ self._solved
        lost = np.abs(weights @ self._both - wanted).max(axis=1) > _TINY
        weights[lost] = np.nan
        return weights

    @cached_property
    def residual(self) -> Floats:
        """The projection on what group and seed leave over, float[n, n]."""
        return np.eye(len(self.groups)) - self._both @ self._solved

    @cached_property
    def of_seeds(self) -> Floats:
        """The projection on what seeds explain beyond groups, float[n, n]."""
        return np.eye(len(self.groups)) - _projection(_indicators(self.groups)) - self.residual

    @property
    def freedom(self) -> int:
        """The residual degrees of freedom: none where no two groups share two seeds."""
        return round(float(np.trace(self.residual)))

    @property
    def seeds_freedom(self) -> int:
        """The degrees of freedom of seeds."""
        return round(float(np.trace(self.of_seeds)))

    @property
    def runs_a_seed(self) -> float:
        """How many runs share a seed: what the seeds' variance counts for in their mean square."""
        by_seed = _indicators(self.seeds)
        return float(np.sum(self.of_seeds * (by_seed @ by_seed.T))) / self.seeds_freedom

    def members(self, group: Hashable) -> Bools:
        """Return which runs are of a group, bool[n]."""
        return np.array([one == group for one in self.groups])

    def without(self, group: Hashable) -> Design:
        """Return the design of all other groups."""
        kept = [run for run in zip(self.groups, self.seeds, strict=True) if run[0] != group]
        return Design(*zip(*kept, strict=True))

    @cached_property
    def _both(self) -> Floats:
        return np.hstack([_indicators(self.groups), _indicators(self.seeds)])

    @cached_property
    def _solved(self) -> Floats:
        return np.asarray(np.linalg.pinv(self._both), dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class Differences:
    """Each group less the reference; standard errors and Student's degrees of freedom, float[k].

    All three are NaN for a group that has no seed in common with the reference.
    """

    values: Floats
    errors: Floats
    freedom: Floats

    def half_width(self, *, level: float = 0.95) -> Floats:
        """Return half the width of each two-sided interval, float[k]."""
        return each_t_quantile((1 + level) / 2, self.freedom) * self.errors

    def p_different(self) -> Floats:
        """Return the two-sided p-values of "there is no difference", float[k]."""
        return 2 * self._below(-np.abs(self.values))

    def p_not_above(self, bound: float) -> Floats:
        """Return the one-sided p-values of "the difference is not above `bound`", float[k]."""
        return self._below(bound - self.values)

    def _below(self, distance: Floats) -> Floats:
        """Return the mass of t below distance / error; all or nothing where nothing can vary."""
        certain = np.where(distance < 0, 0.0, np.where(distance > 0, 1.0, 0.5))
        known = np.where(self.errors > 0, self.errors, 1.0)
        found = each_t_below(distance / known, self.freedom)
        return np.where(self.errors == 0, certain, found)


@dataclass(frozen=True, kw_only=True)
class SeedSpread:
    """How much runs vary with their seed.

    `sd` is that of a run's own part, without the rows' noise, `freedom` its degrees of freedom.
    `removed` is the share of the variance between seeds that pairing removes (the shared part),
    with its 95 % interval from the F ratio. `reference_p` is the one-sided p-value of "the
    reference varies no more than the groups do", 1 where nothing tells; `outliers` are the groups
    that left the pool.
    """

    sd: float
    freedom: int
    removed: float
    removed_low: float
    removed_high: float
    reference_p: float
    outliers: tuple[Hashable, ...]


def paired_differences(
    design: Design, values: Floats, covariance: Floats, *, units: int
) -> Differences:
    """Compare each group with the reference.

    `values` (shape [n]) are those of the runs, `covariance` (shape [n, n]) is theirs over the rows,
    estimated from so many `units`. Raises GenoslimError where no two groups share two seeds: then
    nothing tells how much seeds vary.
    """
    pool = _Pool.of(design, values, covariance)
    found = [
        _error(weights, design.members(group), pool, group, covariance, units)
        for group, weights in zip(design.compared, design.weights, strict=True)
    ]
    errors, freedom = np.array(found, dtype=np.float64).reshape(-1, 2).T
    return Differences(values=design.weights @ values, errors=errors, freedom=freedom)


def unpaired_differences(
    design: Design, values: Floats, covariance: Floats, *, units: int
) -> Differences:
    """Compare each group with the reference, over all runs of both, where nothing can be paired.

    For one run a group: how much seeds vary is known from the reference's runs alone, with their
    number less one as degrees of freedom, whatever the rows add (Satterthwaite's formula would be
    too sure: so few degrees make it follow the luck of the spread). Arguments as above.
    """
    reference = design.members(design.groups[0])
    runs = int(reference.sum())
    if runs < 2:
        raise GenoslimError(f"the spread of seeds needs at least 2 runs of one group, found {runs}")
    weights = np.array(
        [
            design.members(group) / design.members(group).sum() - reference / runs
            for group in design.compared
        ]
    )
    of_rows = np.einsum("kn,nm,km->k", weights, covariance, weights)
    of_seeds = float(values[reference].var(ddof=1)) * (weights**2).sum(axis=1)
    return Differences(
        values=weights @ values,
        errors=np.sqrt(of_rows + of_seeds),
        freedom=np.full(len(weights), float(min(runs, units) - 1)),
    )


def seed_spread(design: Design, values: Floats, covariance: Floats) -> SeedSpread:
    """Say how much runs vary with their seed, and how much of that pairing removes.

    Arguments and errors are those of `paired_differences`.
    """
    from scipy.special import fdtrc, fdtri

    pool = _Pool.of(design, values, covariance)
    ratio = pool.ratio(float(values @ design.of_seeds @ values) / design.seeds_freedom)
    high, low = (fdtri(design.seeds_freedom, pool.all.freedom, tail) for tail in (0.025, 0.975))
    shares = (_shared(one, design.runs_a_seed) for one in (ratio, ratio / low, ratio / high))
    reference = pool.groups[design.groups[0]]
    return SeedSpread(
        sd=math.sqrt(pool.all.own_part),
        freedom=round(pool.all.freedom),
        **dict(zip(("removed", "removed_low", "removed_high"), shares, strict=True)),
        reference_p=float(fdtrc(reference.freedom, pool.all.freedom, pool.ratio(reference.square)))
        if reference.freedom
        else 1.0,
        outliers=pool.outliers,
    )


@dataclass(frozen=True)
class _Square:
    """A mean square with its degrees of freedom, and what the rows' noise adds to it on average."""

    square: float
    freedom: float
    rows: float

    @property
    def own_part(self) -> float:
        """The variance of the runs' own parts."""
        return max(self.square - self.rows, 0.0)


@dataclass(frozen=True)
class _Runs:
    """Runs of some groups, with their values and the covariance of these over the rows."""

    design: Design
    values: Floats
    covariance: Floats

    def without(self, group: Hashable) -> _Runs:
        """Return the runs of all other groups."""
        kept = ~self.design.members(group)
        return _Runs(
            self.design.without(group), self.values[kept], self.covariance[np.ix_(kept, kept)]
        )

    def square(self, group: Hashable | None = None) -> _Square:
        """Return the residual mean square of a group, or of all; 0 where no freedom is left."""
        members = slice(None) if group is None else self.design.members(group)
        residual = self.design.residual[members]
        freedom = float(np.sum(residual**2))
        if freedom < _TINY:
            return _Square(0.0, 0.0, 0.0)
        left = residual @ self.values
        rows = float(np.sum((residual @ self.covariance) * residual))
        return _Square(float(left @ left) / freedom, freedom, rows / freedom)

    def squares(self) -> dict[Hashable, _Square]:
        """Return the mean square of each group."""
        return {group: self.square(group) for group in dict.fromkeys(self.design.groups)}


@dataclass(frozen=True)
class _Pool:
    """The residual mean square of all groups but the outliers, and that of each group."""

    all: _Square
    groups: dict[Hashable, _Square]
    outliers: tuple[Hashable, ...]

    @classmethod
    def of(cls, design: Design, values: Floats, covariance: Floats) -> _Pool:
        runs = _Runs(design, values, covariance)
        known = runs.squares()
        for group in _noisy(known, design.compared):
            runs = runs.without(group)
        outliers = []
        while (worst := _outlier(runs)) is not None:
            outliers.append(worst)
            known |= runs.squares()
            runs = runs.without(worst)
        if not runs.design.freedom:
            raise GenoslimError("no two groups have two seeds in common: their spread is unknown")
        return cls(runs.square(), known | runs.squares(), tuple(outliers))

    def ratio(self, square: float) -> float:
        """Return the F ratio of a mean square to the pooled one."""
        return square / self.all.square if self.all.square else 0.0


def _noisy(squares: Mapping[Hashable, _Square], groups: Sequence[Hashable]) -> list[Hashable]:
    """Return the groups in whose mean square the rows' noise would drown what seeds do."""
    usual = float(np.median([square.rows for square in squares.values()]))
    return [group for group in groups if squares[group].rows > _NOISY * usual]


def _outlier(runs: _Runs) -> Hashable | None:
    """Return the group that varies most, if by far more than the rest do."""
    from scipy.special import fdtrc

    pooled, groups = runs.square(), runs.design.compared
    found: list[tuple[float, int]] = []
    for number, group in enumerate(groups):
        own = runs.square(group)
        rest = pooled.freedom - own.freedom
        left = pooled.square * pooled.freedom - own.square * own.freedom
        if own.freedom and rest >= 1 and left > 0:
            found.append((float(fdtrc(own.freedom, rest, own.square / (left / rest))), number))
    p_value, number = min(found, default=(1.0, 0))
    return groups[number] if p_value < _OUTLIER / max(len(found), 1) else None


def _error(
    weights: Floats,
    members: Bools,
    pool: _Pool,
    group: Hashable,
    covariance: Floats,
    units: int,
) -> tuple[float, float]:
    """Return a difference's standard error and degrees of freedom."""
    mine, others = (float(np.sum(weights[runs] ** 2)) for runs in (members, ~members))
    sample = float(weights @ covariance @ weights)
    own, pooled = pool.groups[group], pool.all
    if group in pool.outliers:
        own_part = own.own_part
        parts = [(own.square * mine, own.freedom), (pooled.square * others, pooled.freedom)]
    else:
        own_part = max(own.own_part, pooled.own_part)
        square = max(own.square, pooled.square) * mine + pooled.square * others
        parts = [(square, pooled.freedom)]
    variance = sample + own_part * mine + pooled.own_part * others
    spread = sum(part**2 / freedom for part, freedom in [(sample, units - 1.0), *parts] if part)
    return math.sqrt(variance), variance**2 / spread if spread else units - 1.0


def _shared(ratio: float, runs: float) -> float:
    """Return the share of the variance between seeds that runs of one seed have in common."""
    shared = max(ratio - 1, 0.0) / runs
    return shared / (1 + shared)


def _indicators(names: Sequence[Hashable]) -> Floats:
    """Return a column for each name, in order of appearance: 1.0 in the rows that have it."""
    places = {name: place for place, name in enumerate(dict.fromkeys(names))}
    return np.eye(len(places))[[places[name] for name in names]]


def _projection(columns: Floats) -> Floats:
    found: NDArray[np.float64] = columns @ np.linalg.pinv(columns)
    return found
