"""Judge the layers: what a model is without each of them, by the paper's rule or by tests.

The paper's rule is that of Hegde, Nebel and Rahman, Genes 2025, 16(11):1358; docs/method.md
lists its options. Every verdict carries the figures it rests on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ..errors import GenoslimError, UsageError
from ..stats.checks import binary_labels
from ..stats.clustered import pooled_aurocs
from ..stats.delong import paired_auroc
from ..stats.metrics import Counts
from ..stats.multiplicity import holm
from ..stats.ranks import auroc, auroc_of_ranks, dense_ranks
from ..stats.resampling import clustered_bootstrap
from .measure import MEASURES, SPLITS, Measured, Measuring, Rows, Split
from .trial import CHANCE, Trial

Role = Literal["cornerstone", "unfavourable", "neutral", "undecided"]
Finding = Literal["better", "equivalent", "worse", "unclear"]

FEWEST_SEEDS = 2
"""Usable seeds without which there is no mean and no sd, and so no verdict."""
_UNFAVOURABLE_OF_FOUR = 3
_ROUNDING = 1e-12
_NORMAL = 1e6
"""Degrees of freedom from which on Student's t is the normal distribution."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How layers are judged; the defaults are the documented ones.

    `paper`: cornerstone if all four metrics are worse by `drop` (a share of the baseline mean
    if `relative`, else points); unfavourable if three of four are at least the baseline mean
    less one sd (`sample`: ddof 1, else population). `tested`: AUROC differences with Holm over
    the layers, `margin` for equivalence, `alpha` for the family-wise error; `drop` as above
    tells a cornerstone from a layer that merely helps. `split` is the one the metrics are of.
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

    def worst_allowed(self, mean: float) -> float:
        """Return the value at or below which a metric counts as `drop` worse than `mean`."""
        limit = mean * (1 - self.drop) if self.relative else mean - self.drop
        return limit + _ROUNDING


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
class BaselineComparison:
    """A trial against the baseline by a paired test of AUROC (trial less baseline).

    `p_different` is two-sided, `p_inferior` one-sided of H0 "worse by the margin or more"; both
    are of Student's t with `degrees_of_freedom` and Holm-adjusted over the layers. `low` and
    `high` are the 95 % interval of the same t, unadjusted. `intervals` are 95 % bootstrap
    intervals of the differences of the other metrics, clustered by variant, unadjusted.
    """

    difference: float
    standard_error: float
    degrees_of_freedom: float
    low: float
    high: float
    p_different: float
    p_inferior: float
    method: Literal["DeLong", "clustered bootstrap"]
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a verdict rests on.

    `metrics` are means over the usable seeds without the layer (all seeds if every one
    collapsed), `change` the same less the baseline mean as a share of it. `worse` lists the
    metrics that are `drop` worse, `held` those within one sd of the baseline or above.
    `reason` says in words why the role was given. `test_metrics` are for the report alone.
    `planned_seeds` were asked for; of `seeds`, those that are in `collapsed_seeds` too are no more
    than what is shown where every attempt collapsed.
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
    test_metrics: dict[str, float]
    comparison: BaselineComparison | None = None
    planned_seeds: int = 1

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

    `unjudged` says in words why the baseline judges no layer; empty where it does.
    """

    rules: Rules
    baseline: dict[str, Spread]
    baseline_test: dict[str, Spread]
    baseline_macro_auroc: float | None
    baseline_seeds: tuple[int, ...]
    baseline_collapsed_seeds: tuple[int, ...]
    verdicts: tuple[LayerVerdict, ...]
    unjudged: str = ""

    def layers(self, role: Role) -> tuple[int, ...]:
        """Return the layers of one role."""
        return tuple(verdict.layer for verdict in self.verdicts if verdict.role == role)


def judge_trials(
    baseline: Sequence[Sequence[Trial]],
    layers: Mapping[int, Sequence[Sequence[Trial]]],
    rows: Mapping[Split, Rows],
    rules: Rules,
) -> Judgement:
    """Give every layer its role.

    `baseline` holds the attempts (one trial, or retries after collapses) for each seed, `layers`
    the same for each dropped layer. Raises GenoslimError where a trial is missing.
    """
    reference = _Group.of("the baseline", baseline, rows, rules)
    found = {
        layer: _Group.of(f"layer {layer}", trials, rows, rules) for layer, trials in layers.items()
    }
    spreads = reference.spreads(rules.split, rules)
    unjudged = _unjudged(reference, rows[rules.split], rules)
    comparisons = {} if unjudged else _compare(reference, found, rows[rules.split], rules)
    verdicts = tuple(
        _verdict(layer, group, spreads, comparisons.get(layer), unjudged, rules)
        for layer, group in sorted(found.items())
    )
    return Judgement(
        rules,
        spreads,
        reference.spreads("test", rules),
        reference.macro(rules.split),
        reference.seeds,
        reference.collapsed_seeds,
        verdicts,
        unjudged,
    )


@dataclass(frozen=True)
class _Group:
    """The trials of one set of dropped layers: those that count, and the seeds that collapsed.

    `planned` seeds were asked for, `usable` of them have an attempt that did not collapse, `why`
    says what became of the first that did.
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
        rules: Rules,
    ) -> _Group:
        """Measure the attempts of each seed; those that collapsed count only where all did."""
        everything = [trial for seed in attempts for trial in seed]
        if not attempts or not all(attempts):
            raise GenoslimError(f"{what} has trials that are not done: run the sweep to its end")
        causes = [trial.collapsed(rows) for trial in everything]
        usable = [t for t, cause in zip(everything, causes, strict=True) if not cause]
        counted = tuple(usable or everything)
        return cls(
            trials=counted,
            measured=tuple(trial.measured(dict(rows), rules.measuring) for trial in counted),
            planned=len(attempts),
            usable=len(usable),
            collapsed_seeds=tuple(
                t.spec.seed for t, cause in zip(everything, causes, strict=True) if cause
            ),
            why=next(filter(None, causes), ""),
        )

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(trial.spec.seed for trial in self.trials)

    def mean(self, name: str, split: Split) -> float:
        return float(np.mean([getattr(m.on(split), name) for m in self.measured]))

    def spreads(self, split: Split, rules: Rules) -> dict[str, Spread]:
        return {
            name: Spread.of(
                [getattr(m.on(split), name) for m in self.measured], sample=rules.sample_sd
            )
            for name in MEASURES
        }

    def macro(self, split: Split) -> float | None:
        values = [m.macro_auroc[split] for m in self.measured]
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if known and len(known) == len(values) else None

    def probabilities(self, split: Split) -> list[np.ndarray]:
        return [trial.predictions.probabilities()[split] for trial in self.trials]


def _verdict(
    layer: int,
    group: _Group,
    baseline: Mapping[str, Spread],
    comparison: BaselineComparison | None,
    unjudged: str,
    rules: Rules,
) -> LayerVerdict:
    metrics = {name: group.mean(name, rules.split) for name in MEASURES}
    worse = tuple(n for n in MEASURES if metrics[n] <= rules.worst_allowed(baseline[n].mean))
    held = tuple(n for n in MEASURES if _holds(metrics[n], baseline[n]))
    finding: Finding = "unclear"
    role: Role = "undecided"
    if comparison is None:
        reason = unjudged
    elif not enough(group.usable, group.planned):
        reason = _too_few(group)
    else:
        drop = _drop_of(baseline["auroc"].mean, rules)
        role, finding, reason = by_test(comparison, drop, rules)
        if rules.rule == "paper":
            role, reason = by_paper(worse, held)
    evidence = Evidence(
        reason=reason,
        finding=finding,
        metrics=metrics,
        change={n: _relative(metrics[n], baseline[n].mean) for n in MEASURES},
        worse=worse,
        held=held,
        macro_auroc=group.macro(rules.split),
        seeds=group.seeds,
        collapsed_seeds=group.collapsed_seeds,
        test_metrics={name: group.mean(name, "test") for name in MEASURES},
        comparison=comparison,
        planned_seeds=group.planned,
    )
    return LayerVerdict(layer, role, evidence)


def by_paper(worse: Sequence[str], held: Sequence[str]) -> tuple[Role, str]:
    """Apply the paper's rule to which metrics are worse by the drop and which held.

    A metric can be both where the baseline varies by more than the drop, or is 0: it then counts
    for neither role, and the layer is undecided if it would have made the difference.
    """
    both = set(worse) & set(held)
    fallen, kept = set(worse) - both, set(held) - both
    counts = f"{len(worse)} of 4 metrics fall by the drop, {len(held)} of 4 hold"
    if len(fallen) == len(MEASURES):
        return "cornerstone", f"without it all 4 metrics fall by the drop ({counts})"
    if len(kept) >= _UNFAVOURABLE_OF_FOUR:
        names = ", ".join(name.replace("_", " ") for name in held if name in kept)
        return "unfavourable", f"without it {names} stay within one sd of the baseline ({counts})"
    if both and (len(worse) == len(MEASURES) or len(held) >= _UNFAVOURABLE_OF_FOUR):
        names = ", ".join(name.replace("_", " ") for name in MEASURES if name in both)
        return "undecided", (
            f"{counts}, but {names} do both, which tells nothing: the baseline varies by more than"
            " the drop, or is 0"
        )
    return "neutral", counts


def by_test(comparison: BaselineComparison, drop: float, rules: Rules) -> tuple[Role, Finding, str]:
    """Apply the tested rule: `drop` (negative) is the AUROC difference of a cornerstone.

    Better: the difference is positive and significant. Equivalent: worse by the margin or more
    is ruled out. Worse: negative and significant, and then a cornerstone if it reaches `drop`.
    Equivalence comes first where a tiny loss is both significant and within the margin.
    """
    delta = f"AUROC changes by {comparison.difference:+.4f}"
    if comparison.p_different <= rules.alpha and comparison.difference > 0:
        return "unfavourable", "better", f"{delta} without it (Holm p {comparison.p_different:.2g})"
    if comparison.p_inferior <= rules.alpha:
        reason = (
            f"{delta}; a loss of {rules.margin} is ruled out (Holm p {comparison.p_inferior:.2g})"
        )
        return "unfavourable", "equivalent", reason
    if comparison.p_different <= rules.alpha:
        reason = f"{delta} without it (Holm p {comparison.p_different:.2g})"
        reached = comparison.difference <= drop + _ROUNDING
        role: Role = "cornerstone" if reached else "neutral"
        size = "reaches" if reached else "does not reach"
        return role, "worse", f"{reason}, which {size} the drop of a cornerstone ({drop:+.4f})"
    reason = f"{delta}: neither a change nor the absence of a loss of {rules.margin} can be shown"
    return "undecided", "unclear", reason


def enough(usable: int, planned: int) -> bool:
    """Whether so many usable seeds of so many planned ones decide anything: a survivor does not."""
    return usable >= min(FEWEST_SEEDS, planned)


def _unjudged(reference: _Group, rows: Rows, rules: Rules) -> str:
    """Say why the baseline judges no layer, or return an empty string."""
    if not reference.usable:
        return f"every seed of the baseline collapsed ({reference.why}): nothing to compare with"
    if reference.usable < FEWEST_SEEDS:
        return (
            f"the baseline has {reference.usable} usable seed of {reference.planned}, its sd needs"
            f" at least {FEWEST_SEEDS}"
        )
    found = pooled_aurocs(
        rows.labels, np.stack(reference.probabilities(rules.split), axis=1), rows.keys
    )
    low, high = found.mean_interval()
    if low > CHANCE:
        return ""
    return (
        f"the baseline's AUROC {found.values.mean():.3f} [{low:.3f}, {high:.3f}] on {rules.split}"
        " is not shown to beat chance: it can judge no layer"
    )


def _too_few(group: _Group) -> str:
    """Say why a group of trials decides nothing."""
    seeds = ", ".join(map(str, group.collapsed_seeds))
    if group.usable:
        return (
            f"only {group.usable} of {group.planned} seeds without it is usable (seeds {seeds}"
            " collapsed): a survivor is no mean"
        )
    return (
        f"every seed without it ({seeds}) COLLAPSED: {group.why}. Training may need another recipe"
        " there, or the layer may carry all of the signal: no figure tells which"
    )


def _holds(value: float, baseline: Spread) -> bool:
    return value >= baseline.mean - (baseline.sd or 0.0) - _ROUNDING


def _drop_of(mean: float, rules: Rules) -> float:
    return -rules.drop * (mean if rules.relative else 1.0)


def _relative(value: float, mean: float) -> float:
    return (value - mean) / mean if mean else 0.0


def _compare(
    reference: _Group, layers: Mapping[int, _Group], rows: Rows, rules: Rules
) -> dict[int, BaselineComparison]:
    """Test each layer's AUROC against the baseline's; p-values are Holm-adjusted over layers."""
    raw = {layer: _difference(reference, group, rows, rules) for layer, group in layers.items()}
    different = holm([found.two_sided for found in raw.values()])
    inferior = holm([found.not_above(-rules.margin) for found in raw.values()])
    return {
        layer: BaselineComparison(
            difference=found.value,
            standard_error=found.error,
            degrees_of_freedom=found.freedom,
            low=found.value - found.reach,
            high=found.value + found.reach,
            p_different=float(different[index]),
            p_inferior=float(inferior[index]),
            method="clustered bootstrap" if rows.recurring else "DeLong",
            intervals=_intervals(reference, layers[layer], rows, rules)
            if rules.rule == "tested"
            else {},
        )
        for index, (layer, found) in enumerate(raw.items())
    }


@dataclass(frozen=True)
class _Difference:
    """A difference whose standard error is known to some degrees of freedom: Student's t."""

    value: float
    error: float
    freedom: float

    @property
    def reach(self) -> float:
        """Half the width of the 95 % interval."""
        return _t_quantile(0.975, self.freedom) * self.error

    @property
    def two_sided(self) -> float:
        """The p-value of "there is no difference"."""
        if self.error == 0:
            return 1.0 if self.value == 0 else 0.0
        return 2 * _t_below(-abs(self.value) / self.error, self.freedom)

    def not_above(self, bound: float) -> float:
        """Return the one-sided p-value of "the difference is not above `bound`"."""
        if self.error == 0:
            return 0.0 if self.value > bound else 1.0
        return _t_below((bound - self.value) / self.error, self.freedom)


def _difference(reference: _Group, group: _Group, rows: Rows, rules: Rules) -> _Difference:
    """Return the mean AUROC difference over all pairs of seeds, with its standard error.

    Its variance has two parts: that of the sample (DeLong's paired variance, mean over pairs; by
    bootstrap over variants, first seeds, where they recur), and that of the seeds, s2 / n + s2 / m
    for n seeds of the baseline and m without the layer, s2 pooled over the two. The degrees of
    freedom are Satterthwaite's (1946, Biometrics Bulletin 2:110), the sample's part taken as known.
    """
    before, after = (one.probabilities(rules.split) for one in (reference, group))
    if rows.recurring:
        sample = _bootstrap_variance(before[0], after[0], rows, rules.repeats)
    else:
        tests = [paired_auroc(rows.labels, a, b) for a in before for b in after]
        sample = float(np.mean([test.standard_error**2 for test in tests]))
    first, second = ([auroc(rows.labels, p) for p in side] for side in (before, after))
    s2, freedom = _seed_variance(first, second)
    of_seeds = s2 * (1 / len(first) + 1 / len(second))
    variance = sample + of_seeds
    return _Difference(
        float(np.mean(second) - np.mean(first)),
        math.sqrt(variance),
        min(freedom * (variance / of_seeds) ** 2, _NORMAL) if of_seeds else _NORMAL,
    )


def _t_below(value: float, freedom: float) -> float:
    """Return the mass of Student's t below `value`."""
    from scipy.special import stdtr  # here, since `show` reads verdicts without it

    return float(stdtr(freedom, value))


def _t_quantile(share: float, freedom: float) -> float:
    """Return the value below which that share of Student's t lies."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, share))


def _seed_variance(*groups: Sequence[float]) -> tuple[float, int]:
    """Return the variance within groups of AUROCs over seeds, pooled, and its degrees of freedom.

    A group of one seed tells nothing; the baseline has several.
    """
    freedom = sum(len(group) - 1 for group in groups)
    squares = sum(float(np.var(group)) * len(group) for group in groups)
    return squares / freedom, freedom


def _bootstrap_variance(before: np.ndarray, after: np.ndarray, rows: Rows, repeats: int) -> float:
    interval = clustered_bootstrap(
        lambda labels, a, b: auroc_of_ranks(labels, b) - auroc_of_ranks(labels, a),
        rows.labels,
        dense_ranks(before),
        dense_ranks(after),
        clusters=rows.keys,
        repeats=repeats,
    )
    return interval.standard_error**2


def _intervals(
    reference: _Group, group: _Group, rows: Rows, rules: Rules
) -> dict[str, tuple[float, float]]:
    """Return 95 % intervals of the differences of the metrics other than AUROC, first seeds."""
    calls = [
        one.probabilities(rules.split)[0] >= one.measured[0].on(rules.split).threshold
        for one in (reference, group)
    ]
    found: dict[str, tuple[float, float]] = {}
    for name, metric in _of_counts(rules.measuring).items():

        def change(
            labels: np.ndarray,
            before: np.ndarray,
            after: np.ndarray,
            metric: Callable[[Counts], float] = metric,
        ) -> float:
            positive = binary_labels(labels, each_class=1)
            return metric(Counts.of(positive, after)) - metric(Counts.of(positive, before))

        interval = clustered_bootstrap(
            change, rows.labels, *calls, clusters=rows.keys, repeats=rules.repeats
        )
        found[name] = interval.low, interval.high
    return found


def _of_counts(how: Measuring) -> dict[str, Callable[[Counts], float]]:
    """Return the metrics that follow from counts alone, by name."""
    return {
        "accuracy": lambda counts: counts.accuracy,
        "f1": lambda counts: counts.f1(how.f1),
        "true_positive_rate": lambda counts: counts.true_positive_rate,
    }
