"""What each model reaches in the subgroups of the test rows, and where it falls behind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from ..data.dataset import LabelledData
from ..data.subgroups import subgroup_columns
from ..prune.measure import SPLITS, Rows, Split
from ..prune.subgroups import Change, Subgroup, changes, losses, lost_skills, subgroups_of
from ..stats.clustered import pooled_aurocs
from ..stats.estimate import Estimate
from .quality import Scores, rows_of

LEVEL = 0.95
ALPHA = 0.05


@dataclass(frozen=True, kw_only=True)
class SubgroupAurocs:
    """One model's AUROC in each subgroup that is large enough, all rows first.

    `changes` compare it with the baseline, subgroup by subgroup; None for the baseline. `lost` are
    those shown to lose more than the limit, `behind` those shown to lose anything, the worst first.
    """

    aurocs: tuple[tuple[Subgroup, Estimate], ...]
    changes: tuple[Change, ...] | None
    lost: tuple[Change, ...]
    behind: tuple[Change, ...]

    @property
    def objection(self) -> str:
        """What speaks against the model; empty if nothing."""
        return lost_skills(self.lost)

    @property
    def warning(self) -> str:
        """Where the model falls behind, if no further than the limit; empty if nowhere."""
        if self.lost or not self.behind:
            return ""
        return f"falls behind the baseline, within the limit: {'; '.join(map(str, self.behind))}"


def subgroup_rows(data: LabelledData) -> dict[Split, Rows]:
    """Return the rows of both splits with every way to part them."""
    columns = subgroup_columns(data)
    return {
        split: replace(
            rows,
            subgroups={name: column[data.splits == split] for name, column in columns.items()},
        )
        for split, rows in rows_of({split: data.split(split) for split in SPLITS}).items()
    }


def in_subgroups(
    rows: Mapping[Split, Rows], own: Scores, baseline: Scores | None, *, limit: float
) -> SubgroupAurocs:
    """Measure a model in the subgroups of the test rows, against the baseline if there is one."""
    found = None if baseline is None else changes(rows, [baseline.margins], [own.margins], "test")
    return SubgroupAurocs(
        aurocs=tuple(_aurocs(rows, own)),
        changes=found,
        lost=losses(found or (), limit=limit, alpha=ALPHA),
        behind=losses(found or (), limit=0.0, alpha=ALPHA),
    )


def _aurocs(rows: Mapping[Split, Rows], own: Scores) -> Iterator[tuple[Subgroup, Estimate]]:
    test = rows["test"]
    for subgroup, mask in subgroups_of(rows, "test"):
        if not subgroup.enough:
            continue
        units = test.keys if subgroup.groups is None else test.groups
        found = pooled_aurocs(test.labels[mask], own.margins[mask, np.newaxis], units[mask])
        low, high = found.mean_interval(level=LEVEL)
        yield subgroup, Estimate(value=float(found.values[0]), low=low, high=high)
