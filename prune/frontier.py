"""The frontier: for every number of layers the best slim model that was found.

These are the records of a search (`search.py`). All of it is chosen on validation, so the figures
here rank models and are not their quality.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..codec import check_format, decode
from ..errors import GenoslimError
from ..files import read_json
from .trainings import Training

FRONTIER_FILE = "frontier.json"
FRONTIER_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One trained subset of the layers.

    `auroc`, `low` and `high` are of the validation rows, with DeLong's 95 % interval.
    `milliseconds` is the time of one window when the trial predicted the test rows.
    """

    kept: tuple[int, ...]
    training: Training
    found_by: tuple[str, ...]
    trial: str
    seed: int
    collapsed: str
    auroc: float
    low: float
    high: float
    parameters: int
    fine_tune_seconds: float
    milliseconds: float

    @property
    def layers(self) -> int:
        """The number of layers."""
        return len(self.kept)


def reference_of(full: Sequence[Candidate]) -> Candidate:
    """Return the full model that slim ones are held against: the better on validation."""
    return max(full, key=lambda one: one.auroc)


@dataclass(frozen=True, kw_only=True)
class Smallest:
    """The smallest model that is not inferior to the full one at the margin, on validation.

    `reference` says how the full model was trained that it was held against, a single trained
    model: the better on validation of the two in `Frontier.full`. `difference` is the mean AUROC
    over `seeds` less that model's, with the 95 % interval `low` to `high`; `p_inferior` is the
    one-sided p-value of a loss of the margin or more. See `smallest.difference_from_full`.
    """

    kept: tuple[int, ...]
    training: Training
    seeds: tuple[int, ...]
    reference: Training
    difference: float
    standard_error: float
    degrees_of_freedom: float
    low: float
    high: float
    p_inferior: float


@dataclass(frozen=True, kw_only=True)
class Frontier:
    """What a search found: the full models, every candidate, and how the search went.

    `full` has the full model fine-tuned and, if there was a search, healed as the others. `reason`
    says why `smallest` is the one, or why there is none; `start` what healed models started from
    (empty: no search, or a record of before). `trainings` and `seconds` are those that
    the search asked for, `passes` and `probe_seconds` its probes' passes over the validation rows.
    """

    format: int
    run: str
    seed: int
    margin: float
    validation_rows: int
    full: tuple[Candidate, ...]
    candidates: tuple[Candidate, ...]
    smallest: Smallest | None
    reason: str
    ended: str
    start: Literal["", "supernet", "baseline"] = ""
    trainings: int
    seconds: float
    passes: int
    probe_seconds: float

    def best(self, layers: int, training: Training | None = None) -> Candidate | None:
        """Return the best sound candidate of a size on validation, of one training or of both."""
        found = [
            one
            for one in self.candidates
            if one.layers == layers and not one.collapsed and training in (None, one.training)
        ]
        return max(found, key=lambda one: one.auroc, default=None)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The numbers of layers for which there is a candidate, from few to many."""
        return tuple(sorted({one.layers for one in self.candidates}))

    @classmethod
    def read(cls, path: Path) -> Frontier:
        """Read a `frontier.json`; GenoslimError says what is wrong with it."""
        content = read_json(path)
        if content is None:
            raise GenoslimError(f"{path}: there is no such file; `genoslim prune` makes it")
        check_format(content, FRONTIER_FORMAT, str(path))
        return decode(cls, content, str(path))
