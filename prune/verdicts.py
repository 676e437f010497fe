"""What a verdict on a layer is, and the two rules that give it: the paper's, and tests.

The paper's rule is that of Hegde, Nebel and Rahman, Genes 2025, 16(11):1358; docs/method.md
lists its options. Every verdict carries the figures it rests on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ..errors import GenoslimError, UsageError
from ..stats.checks import Bools, Floats
from ..stats.paired_seeds import SeedSpread
from .comparison import BaselineComparison
from .measure import MEASURES, SPLITS, Measuring, Split
from .trial_group import enough

Role = Literal["cornerstone", "unfavourable", "neutral", "undecided"]
Finding = Literal["better", "equivalent", "worse", "unclear"]

_UNFAVOURABLE_OF_FOUR = 3
_ROUNDING = 1e-12


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How layers are judged; the defaults are the documented ones.

    `paper`: cornerstone if all four metrics are worse by `drop` (a share of the baseline mean
    if `relative`, else points); unfavourable if three of four are at least the baseline mean
    less one sd (`sample_sd`: ddof 1, else population). `tested`: AUROC differences paired by seed,
    one family of tests over the layers, `margin` for equivalence, `alpha` for the family-wise
    error; `drop` as above tells a cornerstone from a layer that merely helps. `split` is the one
    the metrics are of, `repeats` how often its units are drawn anew for a verdict's stability.
    """

    rule: Literal["paper", "tested"] = "paper"
    split: Split = "validation"
    drop: float = 0.05
    relative: bool = True
    sample_sd: bool = True
    margin: float = 0.01
    alpha: float = 0.05
    repeats: int = 1000
    measuring: Measuring = field(default_factory=Measuring)

    def __post_init__(self) -> None:
        for name in ("drop", "margin", "alpha"):
            if not 0 < getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}, must lie between 0 and 1")
        if self.split not in SPLITS or self.rule not in ("paper", "tested"):
            raise UsageError(f"rule {self.rule!r} on split {self.split!r}: no such rule or split")

    def fallen(self, values: Floats, means: Floats) -> Bools:
        """Return which metrics are worse than the baseline's means by the drop."""
        limits = means * (1 - self.drop) if self.relative else means - self.drop
        return values <= limits + _ROUNDING

    def largest_loss(self, mean: float) -> float:
        """Return the AUROC difference, negative, from which on a loss makes a cornerstone."""
        return -self.drop * (mean if self.relative else 1.0)


@dataclass(frozen=True)
class Spread:
    """A metric over the baseline's seeds; `sd` is None for a single one."""

    mean: float
    sd: float | None
    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float], *, sample: bool = True) -> Spread:
        """Return mean and standard deviation (ddof 1 if `sample`) of some values."""
        if not values:
            raise GenoslimError("a mean needs at least one value, found none")
        array = np.asarray(values, dtype=np.float64)
        sd = float(array.std(ddof=int(sample))) if len(array) > 1 else None
        return cls(float(array.mean()), sd, tuple(map(float, values)))

    def __str__(self) -> str:
        return f"{self.mean:.4f}" + ("" if self.sd is None else f" \u00b1 {self.sd:.4f}")


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a verdict rests on.

    `metrics` are means over the usable seeds without the layer (all seeds if every one
    collapsed), `change` the same less the baseline mean as a share of it. `worse` lists the
    metrics that are `drop` worse, `held` those within one sd of the baseline or above.
    `reason` says in words why the role was given. `planned_seeds` were asked for; of `seeds`, those
    that are in `collapsed_seeds` too are no more than what is shown where every attempt collapsed.
    `stability` is the share of draws of the
    split's units that give the same role, None for a layer that is not judged. `luck` says what the
    paper's rule would find against the baseline of the same seeds, where that is something else.
    """

    reason: str
    finding: Finding
    metrics: dict[str, float]
    change: dict[str, float]
    worse: tuple[str, ...]
    held: tuple[str, ...]
    macro_auroc: float | None
    seeds: tuple[int, ...]
    collapsed_seeds: tuple[int, ...]
    comparison: BaselineComparison | None = None
    planned_seeds: int = 1
    stability: float | None = None
    luck: str = ""

    @property
    def usable_seeds(self) -> int:
        """How many seeds have an attempt that did not collapse."""
        return len(set(self.seeds) - set(self.collapsed_seeds))

    @property
    def decides(self) -> bool:
        """Whether enough seeds are usable: two, or the one that was asked for."""
        return enough(self.usable_seeds, self.planned_seeds)


@dataclass(frozen=True)
class LayerVerdict:
    """The role of one layer and the evidence for it."""

    layer: int
    role: Role
    evidence: Evidence


@dataclass(frozen=True)
class Judgement:
    """The baseline and the verdict of every layer, by one set of rules.

    `unjudged` says in words why the baseline judges no layer; empty where it does. `seeds` is how
    much trials vary with their seed, None where nothing could be paired; `notes` are in words.
    """

    rules: Rules
    baseline: dict[str, Spread]
    baseline_macro_auroc: float | None
    baseline_seeds: tuple[int, ...]
    baseline_collapsed_seeds: tuple[int, ...]
    verdicts: tuple[LayerVerdict, ...]
    unjudged: str = ""
    seeds: SeedSpread | None = None
    notes: tuple[str, ...] = ()

    def layers(self, role: Role) -> tuple[int, ...]:
        """Return the layers of one role."""
        return tuple(verdict.layer for verdict in self.verdicts if verdict.role == role)


def by_paper(worse: Sequence[str], held: Sequence[str]) -> tuple[Role, str]:
    """Apply the paper's rule to which metrics are worse by the drop and which held, with a reason.

    A metric can be both where the baseline varies by more than the drop, or is 0: it then counts
    for neither role, and the layer is undecided if it would have made the difference.
    """
    role = paper_role(worse, held)
    counts = f"{len(worse)} of 4 metrics fall by the drop, {len(held)} of 4 hold"
    if role == "cornerstone":
        return role, f"all 4 metrics fall by the drop ({counts})"
    if role == "unfavourable":
        names = _words(name for name in held if name not in worse)
        return role, f"{names} stay within one sd of the baseline ({counts})"
    if role == "undecided":
        names = _words(name for name in held if name in worse)
        return role, (
            f"{counts}, but {names} do both, which tells nothing: the baseline varies by more than"
            " the drop, or is 0"
        )
    return role, counts


def paper_role(worse: Collection[str], held: Collection[str]) -> Role:
    """Return the role by the paper's rule; see `by_paper`."""
    both = set(worse) & set(held)
    if len(set(worse) - both) == len(MEASURES):
        return "cornerstone"
    if len(set(held) - both) >= _UNFAVOURABLE_OF_FOUR:
        return "unfavourable"
    if both and (len(worse) == len(MEASURES) or len(held) >= _UNFAVOURABLE_OF_FOUR):
        return "undecided"
    return "neutral"


def by_test(comparison: BaselineComparison, drop: float, rules: Rules) -> tuple[Role, Finding, str]:
    """Apply the tested rule, with a reason; `drop` is that of `tested_role`."""
    role, finding = tested_role(
        comparison.difference, comparison.p_different, comparison.p_inferior, drop, rules
    )
    what = f"{comparison.measure} changes by {comparison.difference:+.4f}"
    if finding == "unclear":
        return (
            role,
            finding,
            (f"{what}: neither a change nor the absence of a loss of {rules.margin} can be shown"),
        )
    if finding == "equivalent":
        return (
            role,
            finding,
            (f"{what}; a loss of {rules.margin} is ruled out (p {comparison.p_inferior:.2g})"),
        )
    reason = f"{what} (p {comparison.p_different:.2g})"
    if finding == "worse":
        size = "reaches" if role == "cornerstone" else "does not reach"
        reason += f", which {size} the drop of a cornerstone ({drop:+.4f})"
    return role, finding, reason


def tested_role(
    difference: float, p_different: float, p_inferior: float, drop: float, rules: Rules
) -> tuple[Role, Finding]:
    """Return role and finding by adjusted p-values; `drop` (negative) makes a cornerstone.

    Better: the difference is positive and significant. Equivalent: worse by the margin or more
    is ruled out. Worse: negative and significant, and then a cornerstone if it reaches `drop`.
    Equivalence comes first where a tiny loss is both significant and within the margin.
    """
    if p_different <= rules.alpha and difference > 0:
        return "unfavourable", "better"
    if p_inferior <= rules.alpha:
        return "unfavourable", "equivalent"
    if p_different <= rules.alpha:
        return ("cornerstone" if difference <= drop + _ROUNDING else "neutral"), "worse"
    return "undecided", "unclear"


def holds(values: Floats, means: Floats, sds: Floats) -> Bools:
    """Return which metrics are within one sd of the baseline's means, or above."""
    return values >= means - sds - _ROUNDING


def _words(names: Iterable[str]) -> str:
    return ", ".join(name.replace("_", " ") for name in names)
