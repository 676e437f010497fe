"""What `genoslim prune` returns: the slim models, how they were chosen and how good they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..models.record import SeedRecord
from .choice import ModelName
from .frontier import Frontier
from .run_folder import REPORT_FILE
from .trainings import Training
from .verdicts import Judgement, Spread


@dataclass(frozen=True)
class SlimModel:
    """One line of the table: what was built, how it did over its seeds, where the best one is.

    Spreads are over the seeds that did not collapse (all, if every one did). `training` says where
    training started: a `healed` model's time comes after that of the baseline it started from.
    `same_as` names the model this one is identical to, with which it shares trials and checkpoint.
    """

    name: ModelName
    reason: str
    kept: tuple[int, ...]
    dropped: tuple[int, ...]
    training: Training
    same_as: ModelName | None
    parameters: int
    validation: dict[str, Spread]
    test: dict[str, Spread]
    fine_tune_seconds: Spread
    evaluation_seconds: Spread
    seeds: tuple[SeedRecord, ...]
    best_seed: int


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """The slim models of a run, in `folder`: how they were chosen, and how good they are.

    `models` are in the order of the table, the baseline first; `notes` say what a reader must know
    besides the figures.
    """

    folder: Path
    run: Path
    judgement: Judgement
    models: tuple[SlimModel, ...]
    notes: tuple[str, ...]
    frontier: Frontier | None = None

    @property
    def report(self) -> Path:
        """The HTML page of the models and the judgement."""
        return self.folder / REPORT_FILE

    def checkpoint(self, name: ModelName) -> Path:
        """Return the folder of a model's best seed."""
        return self.folder / name
