"""The floors: what models reach that need no fine-tuning of a language model.

A floor is fitted to the train split, its settings are chosen on validation, and it is scored on the
test rows that the models are scored on. No model is deployed that is not shown to be better than
the best of them, which is the best one on validation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..bundle.machine import available_threads
from ..data.dataset import LabelledData
from ..data.shortcuts import fit_logistic, fit_shortcuts, train_rows
from ..errors import GenoslimError
from ..prune.measure import SPLITS, Sample, Split
from ..stats.estimate import Estimate, by
from ..stats.multiplicity import holm
from ..stats.noninferiority import differences, lower_bounds, p_not_above
from ..workers import call_in_child
from .embeddings import (
    Embeddings,
    distinct,
    embed,
    embedding_work,
    find_base,
    reference_windows,
)
from .quality import sample_of
from .rule import FloorChoice
from .subjects import Subject, distinct_names

STRENGTHS = (0.01, 0.1, 1.0, 10.0)
LEAVES = (1, 8)
TREES, MAX_DEPTH = 100, 64
"""The random forest of the literature on Enformer's features, with log2 of the features a split."""

MOST_WORK = {"cpu": 5e13, "cuda": 2.5e15}
"""Multiplications and additions for embeddings that `auto` does: some minutes of a machine."""

Scores = NDArray[np.float64]
FloorScores = Mapping[str, Mapping[Split, Scores]]
"""By the name of each floor, the scores float64[n] of each split's rows."""

Features = NDArray[np.float64] | NDArray[np.float32]
LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Floor:
    """One simple model: its settings as chosen on validation, and its AUROC on either split.

    The AUROC is the macro one where that decides; `test` has its 95 % interval.
    """

    name: str
    settings: str
    validation: float
    test: Estimate


@dataclass(frozen=True, kw_only=True)
class Floors:
    """The floors of a benchmark.

    Attributes:
        choice: What was asked for.
        measure: What is compared: `AUROC`, or `macro AUROC` where groups are the sample.
        floors: The floors, the best on validation first.
        left_out: What was not done and why, a sentence each.
    """

    choice: FloorChoice
    measure: str
    floors: tuple[Floor, ...]
    left_out: tuple[str, ...]

    @property
    def best(self) -> Floor | None:
        """The floor that models have to beat: the best on validation; None without floors."""
        return self.floors[0] if self.floors else None


@dataclass(frozen=True, kw_only=True)
class AgainstFloor:
    """A model against the best floor on the same test rows: AUROC of the model less the floor's.

    `lower_bound` is one-sided, of the model by itself. `adjusted_p` is of "no better", with Holm's
    correction for the number of models, and `shown_better` whether it is at most the rule's error.
    """

    floor: str
    difference: Estimate
    lower_bound: float
    adjusted_p: float
    shown_better: bool

    def __str__(self) -> str:
        floor = f"than the best floor ({self.floor})"
        if self.shown_better:
            return f"better {floor}, {by(self.difference)}"
        if self.difference.high is not None and self.difference.high < 0:
            return f"worse {floor}, {by(self.difference)}"
        by_itself = self.lower_bound > 0
        among = f", p = {self.adjusted_p:.2g} among all models" if by_itself else ""
        return f"not shown to be better {floor}: AUROC difference {self.difference}{among}"


@dataclass(frozen=True)
class Base:
    """A base model and the depths to embed at: those of the models made from it, and its own.

    `label` is what its floors are called by, and no other base's.
    """

    name: str | None
    label: str
    fingerprint: str | None
    depths: tuple[int, ...]


def bases_of(subjects: Sequence[Subject]) -> list[Base]:
    """Return the base models that some models were made from."""
    found: dict[str | None, list[Subject]] = {}
    for subject in subjects:
        found.setdefault(subject.base_model, []).append(subject)
    labels = distinct_names([Path(name or "the base model") for name in found])
    return [
        Base(
            name,
            label,
            next((one.base_fingerprint for one in made if one.base_fingerprint), None),
            tuple(sorted({k for one in made for k in (one.layers, one.base_layers) if k})),
        )
        for (name, made), label in zip(found.items(), labels, strict=True)
    ]


def measure_floors(
    data: LabelledData,
    bases: Sequence[Base],
    *,
    choice: FloorChoice,
    column: str | None = None,
    cuda: bool = False,
    threads: int | None = None,
    progress: Callable[[str], None],
) -> tuple[Floors, FloorScores]:
    """Fit every floor that was asked for to the train rows, and score validation and test.

    `column` names a column of numbers that is a floor by itself. Embeddings are those of `bases`.
    What cannot be had is left out, and said.
    """
    samples = {split: _sample(data, split) for split in SPLITS}
    fit = _Fit(data, samples["validation"], cuda=cuda, threads=available_threads(threads))
    fitted: list[_Fitted] = []
    left_out: list[str] = []
    for name, source in _sources(fit, bases, choice, column).items():
        progress(f"floors: {name}")
        try:
            fitted += source()
        except GenoslimError as error:
            left_out.append(f"{name} left out: {error}")
    scores = {
        one.name: {split: one.scores[data.splits == split] for split in SPLITS} for one in fitted
    }
    floors = [_floor(one, samples, scores[one.name]) for one in fitted]
    found = Floors(
        choice=choice,
        measure=samples["test"].measure,
        floors=tuple(sorted(floors, key=lambda floor: -floor.validation)),
        left_out=tuple(left_out),
    )
    return found, scores


def against_floor(
    sample: Sample, floor: Scores, models: Sequence[Scores], *, name: str, alpha: float = 0.05
) -> list[AgainstFloor]:
    """Compare each model's scores float64[n] of the test rows with those of the floor `name`.

    The test is that of the decision: Student's t over the units of `sample`, all models one family.
    """
    found = differences(sample.aurocs(np.stack([floor, *models], axis=1)))
    reach = found.half_width(level=LEVEL)
    rows = min(len(np.unique(sample.names[sample.labels == label])) for label in (0, 1))
    bounds = lower_bounds(found, alpha=alpha, rows=rows)
    adjusted = holm(p_not_above(found, 0.0, rows=rows))
    return [
        AgainstFloor(
            floor=name,
            difference=Estimate(value=float(value), low=float(value - r), high=float(value + r)),
            lower_bound=float(bound),
            adjusted_p=float(p),
            shown_better=bool(p <= alpha),
        )
        for value, r, bound, p in zip(found.values, reach, bounds, adjusted, strict=True)
    ]


def _sample(data: LabelledData, split: Split) -> Sample:
    return sample_of({name: data.split(name) for name in SPLITS}, split)


def _floor(
    fitted: _Fitted, samples: Mapping[Split, Sample], scores: Mapping[Split, Scores]
) -> Floor:
    validation, test = (samples[split].aurocs(scores[split][:, None]) for split in SPLITS)
    low, high = test.mean_interval(level=LEVEL)
    return Floor(
        name=fitted.name,
        settings=fitted.settings,
        validation=float(validation.values[0]),
        test=Estimate(value=float(test.values[0]), low=low, high=high),
    )


@dataclass(frozen=True)
class _Fitted:
    """A floor as it was fitted: scores float64[n] of all rows of the data."""

    name: str
    settings: str
    scores: Scores


_Source = Callable[[], list[_Fitted]]


def _sources(
    fit: _Fit, bases: Sequence[Base], choice: FloorChoice, column: str | None
) -> dict[str, _Source]:
    """Return what fits the floors that were asked for, by what these read."""
    if choice == "none":
        return {}
    found: dict[str, _Source] = {"k-mers": fit.kmers}
    if column is not None:
        found[f"column {column}"] = partial(fit.column, column)
    if choice != "kmer":
        for base in bases:
            found[f"embeddings of {base.label}"] = partial(
                fit.embeddings, base, limited=choice == "auto"
            )
    return found


def _layers(depth: int) -> str:
    return "first layer" if depth == 1 else f"first {depth} layers"


@dataclass(frozen=True)
class _Fit:
    """Fits floors to the train rows of `data`, and chooses their settings on `validation`."""

    data: LabelledData
    validation: Sample
    cuda: bool
    threads: int

    def worth(self, scores: Scores) -> float:
        """Return the AUROC of scores float64[n] of all rows on the validation rows."""
        rows = scores[self.data.splits == "validation"]
        return float(self.validation.aurocs(rows[:, None]).values[0])

    def kmers(self) -> list[_Fitted]:
        """Fit the linear models of the sequence."""
        found = fit_shortcuts(self.data, strengths=STRENGTHS, judge=self.worth)
        return [
            _Fitted(f"{one.name}, logistic regression", f"C = {one.strength:g}", one.scores)
            for one in found
        ]

    def column(self, name: str) -> list[_Fitted]:
        """Fit a column of the data: its value, its absolute value, and whether it is missing."""
        values = self.data.numbers(name)
        missing = np.isnan(values)
        known = np.where(missing, 0.0, values)
        features = np.stack([known, np.abs(known), missing], axis=1)
        return [self._logistic(f"column {name}", features)]

    def embeddings(self, base: Base, *, limited: bool) -> list[_Fitted]:
        """Fit the embeddings of a base model after its first k layers, for each depth k."""
        if base.name is None:
            raise GenoslimError("the models' records do not name it")
        train_rows(self.data)
        folder = find_base(base.name, base.fingerprint)
        windows = [*reference_windows(self.data), *self.data.sequences]
        sequences, places = distinct(windows)
        work = embedding_work(folder, sequences)
        if limited and work > MOST_WORK["cuda" if self.cuda else "cpu"]:
            raise GenoslimError(f"about {work:.0e} operations; --floors all computes them")
        found = call_in_child(
            embed, folder, sequences, base.depths, cuda=self.cuda, threads=self.threads
        )
        reference, alternate = np.split(places, 2)
        return [
            floor
            for k, depth in enumerate(base.depths)
            for floor in self._of_depth(
                f"{base.label}, {_layers(depth)}",
                found[reference, k],
                found[alternate, k],
            )
        ]

    def _of_depth(
        self, name: str, reference: Embeddings, alternate: Embeddings
    ) -> Iterator[_Fitted]:
        both = np.concatenate([reference, alternate, alternate - reference], axis=1)
        for read, features in (("alternate", alternate), ("reference, alternate, change", both)):
            yield self._logistic(f"{name} ({read})", features)
            yield self._forest(f"{name} ({read})", features)

    def _logistic(self, name: str, features: Features) -> _Fitted:
        """Fit a logistic regression to features [n, d], standardised on the train rows."""
        from sklearn.preprocessing import StandardScaler

        scaler = StandardScaler().fit(features[self.data.splits == "train"])
        scores, strength = fit_logistic(
            self.data, scaler.transform(features), strengths=STRENGTHS, judge=self.worth
        )
        return _Fitted(f"{name}, logistic regression", f"C = {strength:g}", scores)

    def _forest(self, name: str, features: Features) -> _Fitted:
        """Fit a random forest to features [n, d]."""
        from sklearn.ensemble import RandomForestClassifier

        train = train_rows(self.data)
        fitted: list[tuple[Scores, int]] = []
        for leaf in LEAVES:
            forest = RandomForestClassifier(
                TREES,
                max_features="log2",
                max_depth=MAX_DEPTH,
                min_samples_leaf=leaf,
                random_state=0,
                n_jobs=self.threads,
            )
            forest.fit(features[train], self.data.labels[train])
            fitted.append((forest.predict_proba(features)[:, 1], leaf))
        scores, leaf = max(fitted, key=lambda one: self.worth(one[0]))
        return _Fitted(f"{name}, random forest", f"leaves of {leaf} or more", scores)
