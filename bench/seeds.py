"""Further seeds of models: the decision is then on the mean over seeds, which vary.

A model of which several fine-tuned seeds are given stands for its way of training, of which the
deployed one is a draw. Seeds are compared in pairs (the same head, the same order of rows), and
their spread, pooled over models, is part of every error: see `stats/paired_seeds.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import GenoslimError, UsageError
from ..stats.paired_seeds import Design
from .subjects import Subject, open_subject

Seeds = Mapping[str | Path, Sequence[str | Path]]
"""By the path of a model, the paths of its other seeds."""


@dataclass(frozen=True, kw_only=True)
class FurtherSeed:
    """Another fine-tuned seed of the model that is at `place` among the models."""

    subject: Subject
    place: int


def open_further(subjects: Sequence[Subject], seeds: Seeds) -> tuple[FurtherSeed, ...]:
    """Open further seeds of some models; raises UsageError for a model that is not among them."""
    places = {subject.path.resolve(): place for place, subject in enumerate(subjects)}
    found = []
    for model, paths in seeds.items():
        if (place := places.get(Path(model).resolve())) is None:
            raise UsageError(f"{model}: has further seeds, but is none of the models")
        for path in map(Path, paths):
            seed = open_subject(path, str(path))
            _refuse_another(subjects[place], seed)
            found.append(FurtherSeed(subject=seed, place=place))
    design_of(subjects, found)  # that they can be compared is known before anything is timed
    return tuple(found)


def design_of(subjects: Sequence[Subject], further: Sequence[FurtherSeed]) -> Design | None:
    """Return the model and the seed of each run, models first; None where each has one seed.

    Raises GenoslimError where a seed is not on record or given twice, or where too few are shared.
    """
    if not further:
        return None
    runs = [(place, _seed(subject)) for place, subject in enumerate(subjects)]
    runs += [(one.place, _seed(one.subject)) for one in further]
    places, seeds = zip(*runs, strict=True)
    try:
        design = Design(places, seeds)
    except GenoslimError:
        twice = next(run for run in runs if runs.count(run) > 1)
        raise GenoslimError(
            f"{subjects[twice[0]].path}: seed {twice[1]} is given twice; give each seed once"
        ) from None
    lost = np.flatnonzero(np.isnan(design.weights).any(axis=1))
    if lost.size:
        raise GenoslimError(
            f"{subjects[1 + int(lost[0])].path}: has no seed in common with the baseline: seeds are"
            " compared in pairs"
        )
    if not design.freedom:
        raise GenoslimError(
            f"{subjects[0].path}: how much seeds vary cannot be told: two models at least need two"
            " seeds in common"
        )
    return design


def _refuse_another(model: Subject, seed: Subject) -> None:
    """Raise UsageError where a further seed is not one of the same model."""
    for what, here, there in (
        ("format", model.backend == "torch", seed.backend == "torch"),
        ("layers", model.layers, seed.layers),
        ("layers of the base model", model.base_layers, seed.base_layers),
        ("base model", model.base_model, seed.base_model),
        ("precision", model.precision, seed.precision),
        ("window", model.window_length, seed.window_length),
    ):
        if here != there:
            if what == "format":
                here, there = ("a checkpoint" if one else "a bundle" for one in (here, there))
            raise UsageError(
                f"{seed.path}: no further seed of {model.path}: {what} {there} against {here}"
            )


def _seed(subject: Subject) -> int:
    if subject.seed is None:
        raise GenoslimError(
            f"{subject.path}: its record names no seed: seeds are compared in pairs"
        )
    return subject.seed
