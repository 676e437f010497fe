"""Each layer's trials against the baseline's by AUROC, paired by seed, as one family of tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ..stats.checks import Bools, Floats
from ..stats.clustered import Aurocs
from ..stats.multiplicity import holm_exclusive
from ..stats.paired_seeds import (
    Design,
    Differences,
    SeedSpread,
    paired_differences,
    seed_spread,
    unpaired_differences,
)
from .measure import Sample, Unit
from .trial_group import TrialGroup

_BASELINE = -1
_NOTEWORTHY = 0.05


@dataclass(frozen=True, kw_only=True)
class BaselineComparison:
    """A group of trials against the baseline by AUROC (trials less baseline).

    The AUROC is the mean over groups where these are the sample (`macro`), else the pooled one; the
    sample is of `units` rows, variants or groups (`unit`). `pairs` seeds are the baseline's too: 0
    where nothing could be paired, with one seed a layer. `p_different` is two-sided, `p_inferior`
    one-sided of H0 "worse by the margin or more"; both are of Student's t with
    `degrees_of_freedom`, adjusted as one family over all layers. `low` and `high` are the 95 %
    interval of the same t, unadjusted. `intervals` are 95 % bootstrap intervals, over the units, of
    the differences of the other metrics, unadjusted.
    """

    difference: float
    standard_error: float
    degrees_of_freedom: float
    low: float
    high: float
    p_different: float
    p_inferior: float
    method: Literal["paired by seed", "unpaired", "DeLong", "clustered bootstrap"]
    unit: Unit = "row"
    units: int = 0
    pairs: int = 0
    macro: bool = False
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def measure(self) -> str:
        """What was compared."""
        return "macro AUROC" if self.macro else "AUROC"


@dataclass(frozen=True)
class LayerTests:
    """The tests of all layers that can be held against the baseline.

    `aurocs` are those of all trials, the baseline's first, then layer by layer, in the order of
    `design`; `seeds` says how much they vary, None where no layer has two seeds.
    """

    layers: tuple[int, ...]
    design: Design
    aurocs: Aurocs
    sample: Sample
    margin: float
    seeds: SeedSpread | None

    @classmethod
    def of(
        cls,
        reference: TrialGroup,
        groups: Mapping[int, TrialGroup],
        sample: Sample,
        margin: float,
    ) -> LayerTests:
        """Set up the tests of the groups that have enough seeds to decide anything."""
        compared = {layer: group for layer, group in groups.items() if group.decides}
        runs = [(_BASELINE, seed) for seed in reference.seeds]
        runs += [(layer, seed) for layer, group in compared.items() for seed in group.seeds]
        design = Design(*zip(*runs, strict=True))
        probabilities = [one.probabilities(sample.split) for one in (reference, *compared.values())]
        aurocs = sample.aurocs(np.hstack(probabilities))
        spread = seed_spread(design, aurocs.values, aurocs.covariance) if design.freedom else None
        return cls(tuple(compared), design, aurocs, sample, margin, spread)

    def differences(self, values: Floats) -> Differences:
        """Compare the layers with the baseline by `values`, one for each trial."""
        compare = paired_differences if self.seeds else unpaired_differences
        return compare(self.design, values, self.aurocs.covariance, units=self.aurocs.freedom + 1)

    def p_values(self, found: Differences) -> tuple[Floats, Floats]:
        """Return the adjusted p-values of "different" and "inferior"; NaN where not compared."""
        compared = ~np.isnan(found.values)
        adjusted = np.full((2, len(found.values)), np.nan)
        adjusted[:, compared] = holm_exclusive(
            found.p_different()[compared], found.p_not_above(-self.margin)[compared]
        )
        return adjusted[0], adjusted[1]

    def comparisons(self) -> dict[int, BaselineComparison]:
        """Return the comparison of each layer that shares a seed with the baseline."""
        found = self.differences(self.aurocs.values)
        different, inferior = self.p_values(found)
        width = found.half_width()
        return {
            layer: BaselineComparison(
                difference=float(found.values[i]),
                standard_error=float(found.errors[i]),
                degrees_of_freedom=float(found.freedom[i]),
                low=float(found.values[i] - width[i]),
                high=float(found.values[i] + width[i]),
                p_different=float(different[i]),
                p_inferior=float(inferior[i]),
                method="paired by seed" if self.seeds else "unpaired",
                unit=self.sample.unit,
                units=self.aurocs.units,
                pairs=self.pairs(layer) if self.seeds else 0,
                macro=self.sample.macro,
            )
            for i, layer in enumerate(self.layers)
            if not np.isnan(found.values[i])
        }

    def runs(self, layer: int | None = None) -> Bools:
        """Return which trials are those without a layer, or the baseline's: bool[trials]."""
        return self.design.members(_BASELINE if layer is None else layer)

    def pairs(self, layer: int) -> int:
        """Return how many seeds of a layer are the baseline's too."""
        runs = set(zip(self.design.groups, self.design.seeds, strict=True))
        return sum((_BASELINE, seed) in runs for group, seed in runs if group == layer)

    def notes(self) -> tuple[str, ...]:
        """Say in words what pairing did, and where its assumptions fail."""
        if self.seeds is None:
            return (
                "one seed a layer: nothing can be paired, and how much seeds vary is known from the"
                " baseline's alone: only huge differences can be shown (--layer-seeds 2)",
            )
        found = self.seeds
        notes = [
            f"pairing by seed removes {found.removed:.0%} of the variance between seeds (95 %"
            f" interval {found.removed_low:.0%} to {found.removed_high:.0%}); a trial's own sd is"
            f" {found.sd:.4f} ({found.freedom} degrees of freedom)"
        ]
        if found.reference_p < _NOTEWORTHY:
            notes.append(
                "the baseline's seeds vary more than the layers' do (F test, p"
                f" {found.reference_p:.2g}): differences may look surer than they are"
            )
        if found.outliers:
            layers = ", ".join(map(str, found.outliers))
            notes.append(f"seeds without layer {layers} differ far more than the others' do")
        return tuple(notes)
