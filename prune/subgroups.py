"""The AUROC within subgroups of the validation rows: what models lose there that an average hides.

Models are compared on the same rows, as the trained models that they are: an interval is that of
the sample (Obuchowski's, by the data set's groups where these are the sample, else by variant), not
of other seeds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..data.subgroups import GC
from ..stats.clustered import pooled_aurocs
from ..stats.multiplicity import holm
from ..stats.student import t_below, t_quantile
from .measure import FEWEST_UNITS, Rows, Sample, Split
from .trial import Trial

SUBGROUPS_FILE = "subgroups.json"
SUBGROUPS_FORMAT = 1
FEWEST = 20
"""Variants of either class without which a subgroup is left out."""
SUBGROUP_LIMIT = 0.05
"""The loss of AUROC that a slim model may have in a subgroup, unless another is asked for."""
EVERYTHING = "all"
"""The grouping that has all rows in one subgroup."""
_TITLES = {EVERYTHING: "overall", GC: "GC content"}
_TELLING = 0.75

Predicted = Sequence[np.ndarray]
"""Probabilities float[n] of one model after the other."""


@dataclass(frozen=True, kw_only=True)
class Subgroup:
    """Some rows of a split, by what they have in common, such as `kind` and `reversed`.

    `positives` and `negatives` are variants of the rows compared. `whole` is the class that is not
    the subgroup's own but all of the split's: see `subgroups_of`. Where the rows are a sample of
    the data set's groups (loci, genes), `groups` counts those of the class that has fewer; None
    where they are one of variants.
    """

    grouping: str
    name: str
    positives: int
    negatives: int
    whole: Literal["", "positives", "negatives"] = ""
    groups: int | None = None

    def __str__(self) -> str:
        return "all rows" if self.grouping == EVERYTHING else f"{self.title} {self.name}"

    @property
    def title(self) -> str:
        """The grouping as people call it."""
        return _TITLES.get(self.grouping) or self.grouping.replace("_", " ")

    @property
    def enough(self) -> bool:
        """Whether there are variants, and groups where they are the sample, of either class."""
        spread = self.groups is None or self.groups >= FEWEST_UNITS
        return spread and min(self.positives, self.negatives) >= FEWEST


@dataclass(frozen=True, kw_only=True)
class Change:
    """The mean AUROC of some models in a subgroup less that of the reference, which is one too.

    `low` to `high` is the difference's 95 % interval.
    """

    subgroup: Subgroup
    reference: float
    auroc: float
    difference: float
    standard_error: float
    degrees_of_freedom: float
    low: float
    high: float

    def p_not_below(self, bound: float) -> float:
        """Return the one-sided p-value of "the difference is not below `bound`"."""
        if self.standard_error == 0:
            return 0.0 if self.difference < bound else 1.0
        distance = (self.difference - bound) / self.standard_error
        return float(t_below(distance, self.degrees_of_freedom))

    def __str__(self) -> str:
        return (
            f"{self.subgroup}: AUROC {self.auroc:.3f} against {self.reference:.3f}"
            f" ({self.difference:+.3f}, 95 % interval {self.low:+.3f} to {self.high:+.3f})"
        )


def subgroups_of(
    rows: Mapping[Split, Rows], split: Split = "validation"
) -> list[tuple[Subgroup, np.ndarray]]:
    """Return the subgroups of the rows of a split, all first, with the mask of those compared.

    Where the grouping tells the class (Goodman and Kruskal's lambda, 1954, of 0.75 or more: its
    subgroups' majorities leave at most a quarter of the errors that the overall one makes) a
    subgroup has no rows of the other class but noise. Its rows of its majority's class are then
    held against all rows of the other class in the split.

    They are a sample of what verdicts have as the sample (see `Sample`); only where all rows of a
    subgroup are of one group, as those of a locus are, is it one of variants.
    """
    here = rows[split]
    by_group = Sample.of(rows, split).unit == "group"
    everything = np.ones(len(here.labels), bool)
    found = [(_subgroup(here, everything, by_group=by_group), everything)]
    for grouping, names in here.subgroups.items():
        telling = _lambda(here.labels, names) >= _TELLING
        for name in sorted(set(names.tolist()) - {""}, key=_natural):
            own = names == name
            whole = _lacking(here.labels[own]) if telling else ""
            mask = own | (here.labels == (whole == "positives")) if whole else own
            several = by_group and _distinct(here.groups[own]) > 1
            found.append((_subgroup(here, mask, grouping, name, whole, by_group=several), mask))
    return found


def _subgroup(
    rows: Rows,
    mask: np.ndarray,
    grouping: str = EVERYTHING,
    name: str = "",
    whole: Literal["", "positives", "negatives"] = "",
    *,
    by_group: bool,
) -> Subgroup:
    negatives, positives = (mask & (rows.labels == label) for label in (0, 1))
    groups = min(_distinct(rows.groups[side]) for side in (negatives, positives))
    return Subgroup(
        grouping=grouping,
        name=name,
        positives=_distinct(rows.keys[positives]),
        negatives=_distinct(rows.keys[negatives]),
        whole=whole,
        groups=groups if by_group else None,
    )


def _distinct(names: np.ndarray) -> int:
    return len(set(names.tolist()))


def _lacking(labels: np.ndarray) -> Literal["positives", "negatives"]:
    return "negatives" if 2 * np.sum(labels) > len(labels) else "positives"


def _lambda(labels: np.ndarray, names: np.ndarray) -> float:
    """Return how much of the error of the most frequent label goes when the name is known."""
    errors = sum(_minority(labels[names == name]) for name in set(names.tolist()))
    return 1 - errors / _minority(labels) if _minority(labels) else 0.0


def _minority(labels: np.ndarray) -> int:
    positives = int(np.sum(labels))
    return min(positives, len(labels) - positives)


def _natural(name: str) -> tuple[float, str]:
    """Sort by the number that a name begins with, such as that of a distance."""
    number = re.match(r"\d+(\.\d+)?", name)
    return float(number[0]) if number else math.inf, name


def changes(
    rows: Mapping[Split, Rows],
    reference: Predicted,
    models: Predicted,
    split: Split = "validation",
) -> tuple[Change, ...]:
    """Compare models with a reference in each subgroup of a split that is large enough, all first.

    `reference` and `models` are their probabilities of the rows of the split.
    """
    table = np.column_stack([*reference, *models])
    weights = np.repeat([-1 / len(reference), 1 / len(models)], [len(reference), len(models)])
    return tuple(
        _change(rows[split], subgroup, mask, table, weights)
        for subgroup, mask in subgroups_of(rows, split)
        if subgroup.enough
    )


def _change(
    rows: Rows, subgroup: Subgroup, mask: np.ndarray, table: np.ndarray, weights: np.ndarray
) -> Change:
    units = rows.keys if subgroup.groups is None else rows.groups
    found = pooled_aurocs(rows.labels[mask], table[mask], units[mask])
    error = math.sqrt(max(float(weights @ found.covariance @ weights), 0.0))
    reference, auroc = (float(np.mean(found.values[side])) for side in (weights < 0, weights > 0))
    reach = float(t_quantile(0.975, found.freedom)) * error
    difference = auroc - reference
    return Change(
        subgroup=subgroup,
        reference=reference,
        auroc=auroc,
        difference=difference,
        standard_error=error,
        degrees_of_freedom=float(found.freedom),
        low=difference - reach,
        high=difference + reach,
    )


def losses(found: Sequence[Change], *, limit: float, alpha: float) -> tuple[Change, ...]:
    """Return the changes of subgroups shown to lose more than `limit`, the worst first.

    One-sided at `alpha`, by Holm over the subgroups; all rows together are not one of them.
    """
    tested = [change for change in found if change.subgroup.grouping != EVERYTHING]
    adjusted = holm([change.p_not_below(-limit) for change in tested])
    shown = [one for one, p in zip(tested, adjusted, strict=True) if p <= alpha]
    return tuple(sorted(shown, key=lambda one: one.difference))


def lost_skills(found: Sequence[Change]) -> str:
    """Say in words what models lose; empty if nothing."""
    if not found:
        return ""
    skills = "one skill" if len(found) == 1 else f"{len(found)} skills"
    return f"loses {skills}: {'; '.join(map(str, found))}"


@dataclass(frozen=True, kw_only=True)
class LayerChanges:
    """What is lost without a layer in each subgroup, over the seeds it shares with the baseline.

    There are no changes where no seed of both is sound.
    """

    layer: int
    seeds: tuple[int, ...]
    changes: tuple[Change, ...]


@dataclass(frozen=True, kw_only=True)
class SubgroupChanges:
    """What each layer is for: `subgroups.json` of a run folder.

    `left_out` are subgroups with fewer than `fewest` variants of a class, or, where groups are the
    sample, with those of a single group.
    """

    format: int
    split: Split
    fewest: int
    subgroups: tuple[Subgroup, ...]
    left_out: tuple[Subgroup, ...]
    layers: tuple[LayerChanges, ...]

    @property
    def parted(self) -> bool:
        """Whether there is any way to part the rows."""
        return len(self.subgroups) + len(self.left_out) > 1


def layer_changes(
    baseline: Mapping[int, Trial],
    layers: Mapping[int, Mapping[int, Trial]],
    rows: Mapping[Split, Rows],
) -> SubgroupChanges:
    """Compare the trials without each layer, by seed, with the baseline's of the same seeds."""
    known = [subgroup for subgroup, _ in subgroups_of(rows)]
    found = []
    for layer, trials in sorted(layers.items()):
        seeds = tuple(sorted(baseline.keys() & trials.keys()))
        full, without = (
            [on_validation(side[seed]) for seed in seeds] for side in (baseline, trials)
        )
        compared = changes(rows, full, without) if seeds else ()
        found.append(LayerChanges(layer=layer, seeds=seeds, changes=compared))
    return SubgroupChanges(
        format=SUBGROUPS_FORMAT,
        split="validation",
        fewest=FEWEST,
        subgroups=tuple(one for one in known if one.enough),
        left_out=tuple(one for one in known if not one.enough),
        layers=tuple(found),
    )


def on_validation(trial: Trial) -> np.ndarray:
    """Return the probabilities float[n] that a trial gave the validation rows."""
    return trial.predictions.probabilities()["validation"]
