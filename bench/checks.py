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
    """One model against the best floor (None where there is none), and by subgroup.

    `unmet` says why there is no floor where the rule asks for one; a model then met none.
    """

    floor: AgainstFloor | None
    subgroups: SubgroupAurocs
    unmet: str = ""

    @property
    def objections(self) -> tuple[str, ...]:
        """What speaks against the model."""
        floor = str(self.floor) if self.floor and not self.floor.shown_better else ""
        return tuple(filter(None, (self.unmet, floor, self.subgroups.objection)))

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
    rows, best = subgroup_rows(data), floors.best
    held: Sequence[AgainstFloor | None] = [None] * len(scores)
    if best is not None:
        values = [own.margins for own in scores]
        floor = of_floors[best.name]["test"]
        held = against_floor(sample_of(splits), floor, values, name=best.name, alpha=rule.alpha)
    unmet = ""
    if best is None and rule.floors != "none":
        unmet = (
            f"held against no floor, for none could be measured ({'; '.join(floors.left_out)}):"
            " floors none asks for none"
        )
    return [
        Checks(
            floor=held[place],
            subgroups=in_subgroups(
                rows, own, scores[0] if place else None, limit=rule.subgroup_limit
            ),
            unmet=unmet,
        )
        for place, own in enumerate(scores)
    ]
