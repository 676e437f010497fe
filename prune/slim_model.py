"""What `genoslim prune` returns: the slim models, how they were chosen and how good they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..models.record import SeedRecord
from .choice import ModelName
from .frontier import Frontier
from .run_folder import REPORT_FILE
from .trainings import Training
from .verdicts import Evidence, Judgement, Role, Spread, paper_role


@dataclass(frozen=True)
class SlimModel:
    """One line of the table: what was built, how it did over its seeds, where the best one is.

    Figures are over the seeds of which an attempt did not collapse: `usable_seeds` of
    `planned_seeds` (all attempts, if every one did). Where some are lost they have no sd: survivors
    are not means. `best_seed` is the one on validation that is saved, None where fewer than two are
    usable: nothing is chosen then. `training` says where training started: a `healed` model's time
    comes after that of the baseline it started from. `same_as` names the model this one equals, and
    shares trials and checkpoint with. `role` and `evidence` are those of the model on validation,
    judged as if it were a layer; the baseline has none.
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
    planned_seeds: int
    usable_seeds: int
    best_seed: int | None
    role: Role | None = None
    evidence: Evidence | None = None

    @property
    def seeds_in_words(self) -> str:
        """How many seeds the figures are over: `3`, or `1 of 3`."""
        lost = self.usable_seeds < self.planned_seeds
        return f"{self.usable_seeds} of {self.planned_seeds}" if lost else str(self.planned_seeds)

    @property
    def bands(self) -> str:
        """The model's role in the paper's bands on validation; '' for the baseline."""
        if self.evidence is None:
            return ""
        if not self.evidence.decides:
            return "undecided"
        return paper_role(self.evidence.worse, self.evidence.held)


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
