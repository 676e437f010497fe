"""The trials of one set of dropped layers: those that count, and the seeds that collapsed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import GenoslimError
from .measure import Measured, Measuring, Rows, Split
from .trial import Trial

FEWEST_SEEDS = 2
"""Usable seeds without which there is no mean and no sd, and so no verdict."""


@dataclass(frozen=True)
class TrialGroup:
    """The trials that count, with their metrics.

    `planned` seeds were asked for, `usable` of them have an attempt that did not collapse; where
    none has, the collapsed ones are shown instead. `why` says what became of the first that did.
    """

    trials: tuple[Trial, ...]
    measured: tuple[Measured, ...]
    planned: int
    usable: int
    collapsed_seeds: tuple[int, ...]
    why: str

    @classmethod
    def of(
        cls,
        what: str,
        attempts: Sequence[Sequence[Trial]],
        rows: Mapping[Split, Rows],
        measuring: Measuring,
    ) -> TrialGroup:
        """Measure the attempts of each seed. Raises GenoslimError where a seed has none."""
        everything = [trial for seed in attempts for trial in seed]
        if not attempts or not all(attempts):
            raise GenoslimError(f"{what} has trials that are not done: run the sweep to its end")
        causes = [trial.collapsed(rows) for trial in everything]
        usable = [t for t, cause in zip(everything, causes, strict=True) if not cause]
        counted = tuple(usable or everything)
        return cls(
            trials=counted,
            measured=tuple(trial.measured(dict(rows), measuring) for trial in counted),
            planned=len(attempts),
            usable=len(usable),
            collapsed_seeds=tuple(
                t.spec.seed for t, cause in zip(everything, causes, strict=True) if cause
            ),
            why=next(filter(None, causes), ""),
        )

    @property
    def decides(self) -> bool:
        """Whether enough seeds are usable."""
        return enough(self.usable, self.planned)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds that count."""
        return tuple(trial.spec.seed for trial in self.trials)

    def values(self, name: str, split: Split) -> list[float]:
        """Return one metric of each seed."""
        return [getattr(measured.on(split), name) for measured in self.measured]

    def mean(self, name: str, split: Split) -> float:
        """Return the mean of one metric over the seeds."""
        return float(np.mean(self.values(name, split)))

    def macro(self, split: Split) -> float | None:
        """Return the mean macro AUROC over the seeds, None without groups."""
        values = [measured.macro_auroc[split] for measured in self.measured]
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if known and len(known) == len(values) else None

    def probabilities(self, split: Split) -> np.ndarray:
        """Return the probabilities of the positive class, float64[rows, seeds]."""
        columns = [trial.predictions.probabilities()[split] for trial in self.trials]
        return np.stack(columns, axis=1)


def enough(usable: int, planned: int) -> bool:
    """Whether so many usable seeds of so many planned ones decide anything: a survivor does not."""
    return usable >= min(FEWEST_SEEDS, planned)
