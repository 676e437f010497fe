"""Judge the layers: what a model is without each of them, by a set of rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import GenoslimError
from ..stats.checks import Bools, Floats
from .comparison import BaselineComparison, LayerTests
from .measure import MEASURES, Rows, Sample, Split
from .stability import Resamples
from .trial import CHANCE, Trial
from .trial_group import FEWEST_SEEDS, TrialGroup
from .verdicts import (
    Evidence,
    Finding,
    Judgement,
    LayerVerdict,
    Role,
    Rules,
    Spread,
    by_paper,
    by_test,
    holds,
    paper_role,
    tested_role,
)


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
    reference = TrialGroup.of("the baseline", baseline, rows, rules.measuring)
    groups = {
        layer: TrialGroup.of(f"layer {layer}", trials, rows, rules.measuring)
        for layer, trials in sorted(layers.items())
    }
    sample = Sample.of(rows, rules.split)
    bands = _bands(reference, rules.split, rules)
    unjudged = _unjudged(reference, sample)
    tests = None
    if unjudged or not any(group.decides for group in groups.values()):
        verdicts = tuple(
            _verdict(layer, group, bands, _Found(reason=unjudged or _too_few(group)), rules)
            for layer, group in groups.items()
        )
    else:
        tests = LayerTests.of(reference, groups, sample, rules.margin)
        judge = _Judge(reference, bands, rules, tests, groups)
        verdicts = tuple(judge.verdict(layer) for layer in groups)
    return Judgement(
        rules=rules,
        baseline=bands,
        baseline_macro_auroc=reference.macro(rules.split),
        baseline_seeds=reference.seeds,
        baseline_collapsed_seeds=reference.collapsed_seeds,
        verdicts=verdicts,
        unjudged=unjudged,
        seeds=tests.seeds if tests else None,
        notes=tests.notes() if tests else (),
    )


def _unjudged(reference: TrialGroup, sample: Sample) -> str:
    """Say why the baseline judges no layer, or return an empty string."""
    if not reference.usable:
        return f"every seed of the baseline collapsed ({reference.why}): nothing to compare with"
    if reference.usable < FEWEST_SEEDS:
        return (
            f"the baseline has {reference.usable} usable seed of {reference.planned}, its sd needs"
            f" at least {FEWEST_SEEDS}"
        )
    try:
        found = sample.aurocs(reference.probabilities(sample.split))
    except GenoslimError as why:
        return f"the baseline's AUROC on {sample.split} has no interval: {why}"
    low, high = found.mean_interval()
    if low > CHANCE:
        return ""
    return (
        f"the baseline's {sample.measure} {found.values.mean():.3f} [{low:.3f}, {high:.3f}] on"
        f" {sample.split} ({found.units} {sample.unit}s) is not shown to beat chance: it can judge"
        " no layer"
    )


@dataclass(frozen=True)
class _Found:
    """What judging a layer came to."""

    reason: str
    role: Role = "undecided"
    finding: Finding = "unclear"
    comparison: BaselineComparison | None = None
    luck: str = ""
    stability: float | None = None


class _Judge:
    """Holds the layers against a sound baseline."""

    def __init__(
        self,
        reference: TrialGroup,
        bands: Mapping[str, Spread],
        rules: Rules,
        tests: LayerTests,
        groups: Mapping[int, TrialGroup],
    ) -> None:
        self.reference = reference
        self.bands = bands
        self.rules = rules
        self.tests = tests
        self.groups = groups
        compared = [groups[layer] for layer in tests.layers]
        self.draws = Resamples.draw(
            [reference, *compared], tests.sample, rules.measuring, repeats=rules.repeats
        )
        self.comparisons = tests.comparisons()
        drawn = self._drawn_by_paper if rules.rule == "paper" else self._drawn_by_test
        self.drawn = drawn()

    def verdict(self, layer: int) -> LayerVerdict:
        """Return the verdict on one layer."""
        group = self.groups[layer]
        found = self._found(layer, group) if group.decides else _Found(reason=_too_few(group))
        return _verdict(layer, group, self.bands, found, self.rules)

    def _found(self, layer: int, group: TrialGroup) -> _Found:
        comparison = self.comparisons.get(layer)
        role, finding, reason = self._tested(comparison)
        luck = ""
        if self.rules.rule == "paper":
            role, reason = by_paper(*_sides(group, self.bands, self.rules))
            luck = self._luck(group, role)
        if comparison is not None:
            comparison = replace(comparison, intervals=self._intervals(layer))
        drawn = self.drawn[layer]
        return _Found(
            reason="; ".join(filter(None, (reason, luck))),
            role=role,
            finding=finding,
            comparison=comparison,
            luck=luck,
            stability=drawn.count(role) / len(drawn) if drawn else None,
        )

    def _tested(self, comparison: BaselineComparison | None) -> tuple[Role, Finding, str]:
        if comparison is None:
            return "undecided", "unclear", "it has no usable seed in common with the baseline"
        values = self.tests.aurocs.values[self.tests.runs()]
        return by_test(comparison, self.rules.largest_loss(float(values.mean())), self.rules)

    def _luck(self, group: TrialGroup, role: Role) -> str:
        """Say what the paper's rule finds against the baseline of the same seeds, if not `role`."""
        places = [i for i, seed in enumerate(self.reference.seeds) if seed in group.seeds]
        if len(places) < len(group.seeds):
            return ""
        paired = {
            name: replace(band, mean=float(np.mean([band.values[place] for place in places])))
            for name, band in self.bands.items()
        }
        worse, held = _sides(group, paired, self.rules)
        other = paper_role(worse, held)
        if other == role:
            return ""
        seeds = ", ".join(map(str, group.seeds))
        return (
            f"a seed's luck: against the baseline of seed {seeds} alone it would be {other}"
            f" ({len(worse)} of 4 metrics fall by the drop, {len(held)} of 4 hold)"
        )

    def _intervals(self, layer: int) -> dict[str, tuple[float, float]]:
        """Return 95 % bootstrap intervals of the differences of the metrics other than AUROC."""
        if not len(self.draws.metrics):
            return {}
        changes = self._drawn_means(layer) - self._drawn_means()
        bounds = np.quantile(changes, [0.025, 0.975], axis=0).T.tolist()
        found = {name: (low, high) for name, (low, high) in zip(MEASURES, bounds, strict=True)}
        del found["auroc"]
        return found

    def _drawn_means(self, layer: int | None = None) -> Floats:
        """Return the means over seeds of the four metrics in each draw, float[draws, 4]."""
        means: Floats = self.draws.metrics[:, self.tests.runs(layer)].mean(axis=1)
        return means

    def _drawn_by_paper(self) -> dict[int, list[Role]]:
        """Return each layer's role by the paper's rule in every draw."""
        base = self.draws.metrics[:, self.tests.runs()]
        means, sds = base.mean(axis=1), base.std(axis=1, ddof=int(self.rules.sample_sd))
        roles = {}
        for layer in self.tests.layers:
            values = self._drawn_means(layer)
            sides = self.rules.fallen(values, means), holds(values, means, sds)
            roles[layer] = [paper_role(_named(w), _named(h)) for w, h in zip(*sides, strict=True)]
        return roles

    def _drawn_by_test(self) -> dict[int, list[Role]]:
        """Return each layer's role by tests in every draw; the rows' covariance is the whole's."""
        roles: dict[int, list[Role]] = {layer: [] for layer in self.tests.layers}
        for aurocs in self.draws.aurocs:
            found = self.tests.differences(aurocs)
            different, inferior = self.tests.p_values(found)
            drop = self.rules.largest_loss(float(aurocs[self.tests.runs()].mean()))
            for i, layer in enumerate(self.tests.layers):
                figures = float(found.values[i]), float(different[i]), float(inferior[i])
                roles[layer].append(tested_role(*figures, drop, self.rules)[0])
        return roles


def _verdict(
    layer: int, group: TrialGroup, bands: Mapping[str, Spread], found: _Found, rules: Rules
) -> LayerVerdict:
    metrics = {name: group.mean(name, rules.split) for name in MEASURES}
    worse, held = _sides(group, bands, rules)
    evidence = Evidence(
        reason=found.reason,
        finding=found.finding,
        metrics=metrics,
        change={name: _relative(metrics[name], bands[name].mean) for name in MEASURES},
        worse=worse,
        held=held,
        macro_auroc=group.macro(rules.split),
        seeds=group.seeds,
        collapsed_seeds=group.collapsed_seeds,
        comparison=found.comparison,
        planned_seeds=group.planned,
        stability=found.stability,
        luck=found.luck,
    )
    return LayerVerdict(layer, found.role, evidence)


def _too_few(group: TrialGroup) -> str:
    """Say why a group of trials decides nothing."""
    seeds = ", ".join(map(str, group.collapsed_seeds))
    if group.usable:
        return (
            f"only {group.usable} of {group.planned} seeds is usable (seeds {seeds} collapsed): a"
            " survivor is no mean"
        )
    return (
        f"every seed ({seeds}) COLLAPSED: {group.why}. Training may need another recipe here, or"
        " what was dropped may carry all of the signal: no figure tells which"
    )


def _bands(group: TrialGroup, split: Split, rules: Rules) -> dict[str, Spread]:
    return {name: Spread.of(group.values(name, split), sample=rules.sample_sd) for name in MEASURES}


def _sides(
    group: TrialGroup, bands: Mapping[str, Spread], rules: Rules
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return which metrics are worse by the drop, and which held."""
    values = np.array([group.mean(name, rules.split) for name in MEASURES])
    means = np.array([bands[name].mean for name in MEASURES])
    sds = np.array([bands[name].sd or 0.0 for name in MEASURES])
    return _named(rules.fallen(values, means)), _named(holds(values, means, sds))


def _named(which: Bools) -> tuple[str, ...]:
    return tuple(name for name, is_one in zip(MEASURES, which, strict=True) if is_one)


def _relative(value: float, mean: float) -> float:
    return (value - mean) / mean if mean else 0.0
