"""What is asked of a model besides being no worse than the baseline: floors and subgroups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..data.dataset import LabelledData
from .floors import AgainstFloor, Floors, FloorScores, against_floor
from .quality import Scores, Splits, sample_of
from .rule import Rule
from .subgroups import SubgroupAurocs, in_subgroups, subgroup_rows


@dataclass(frozen=True, kw_only=True)
class Checks:
    """One model against the best floor (None where there is none), and by subgroup."""

    floor: AgainstFloor | None
    subgroups: SubgroupAurocs

    @property
    def objections(self) -> tuple[str, ...]:
        """What speaks against the model."""
        floor = str(self.floor) if self.floor and not self.floor.shown_better else ""
        return tuple(filter(None, (floor, self.subgroups.objection)))

    @property
    def merits(self) -> tuple[str, ...]:
        """What speaks for it."""
        return (str(self.floor),) if self.floor and self.floor.shown_better else ()


def check(
    data: LabelledData,
    splits: Splits,
    scores: Sequence[Scores],
    floors: Floors,
    of_floors: FloorScores,
    rule: Rule,
) -> list[Checks]:
    """Check each model, the first of which is the baseline."""
    sample, rows, best = sample_of(splits), subgroup_rows(data), floors.best
    return [
        Checks(
            floor=None
            if best is None
            else against_floor(
                sample,
                of_floors[best.name]["test"],
                own.probabilities,
                name=best.name,
                alpha=rule.alpha,
            ),
            subgroups=in_subgroups(
                rows, own, scores[0] if place else None, limit=rule.subgroup_limit
            ),
        )
        for place, own in enumerate(scores)
    ]
