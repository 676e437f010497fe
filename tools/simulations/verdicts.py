"""The error and the power of verdicts on layers, simulated over the functions that give them.

Twelve layers of a classifier with an AUROC of 0.85 on 1,000 balanced rows. A trial's AUROC is its
layer's mean plus a part of its seed, shared with the baseline's trial of that seed, plus a part of
its own; its scores are normal with that AUROC, and all trials share the rows (errors of two AUROCs
correlate by 0.5, those of one layer by 0.7). `ratio` is the sd over the baseline's seeds in units
of the standard error, over rows, of one trial's AUROC less another's; `variation` how many times as
much trials without a layer vary; `--shared` the share of the baseline's variance that is a seed's.

Error is the share of sweeps without any effect in which some layer is called different; `equiv.`
that in which some layer that loses the margin exactly is called equivalent; power that of finding a
loss of 0.05 in one layer. Beside today's rule stands the one before it: not paired, the variance of
the baseline's seeds (and of the layer's, if it has several) with Satterthwaite's degrees of
freedom, Holm over the layers.

    python tools/simulations/verdicts.py                      # 4 to 8 minutes on a core
    python tools/simulations/verdicts.py --shared 0.5         # another share
    python tools/simulations/verdicts.py --loci 4             # rows in four loci, macro AUROC
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtr

from genoslim.prune.comparison import LayerTests
from genoslim.prune.measure import Rows, Sample
from genoslim.stats.multiplicity import holm
from genoslim.stats.paired_seeds import Design, seed_spread
from genoslim.tables import table

LAYERS, ROWS, BASELINE_SEEDS = 12, 1000, 3
AUROC, LOSS, MARGIN, ALPHA = 0.85, 0.05, 0.01, 0.05
COMMON, OF_LAYER = 0.5, 0.2
"""Shares of the rows' noise that all trials have in common, and those of one layer besides."""
LOCUS_SD = 0.03
"""With loci: the sd of a trial's AUROC over them, besides the rows' noise."""

Floats = np.ndarray
Rule = Callable[[LayerTests], tuple[Floats, Floats, Floats]]
"""Differences, adjusted p-values of "different", and of "worse by 0 or more" (one-sided)."""


@dataclass(frozen=True)
class Setting:
    """How much trials vary."""

    ratio: float
    shared: float
    pruned: float = 1.0
    varying: int = LAYERS
    baseline: float = 1.0

    def __str__(self) -> str:
        if self.baseline != 1:
            return f"baseline {self.baseline:g}x"
        which = (
            "" if self.varying == LAYERS else f", {self.varying} layer{'s' * (self.varying > 1)}"
        )
        return f"{self.pruned:g}x{which}"

    @property
    def settled(self) -> Floats:
        """The factor of each group's sd, the baseline's first."""
        factors = np.ones(LAYERS + 1)
        factors[1 : 1 + self.varying] = self.pruned
        factors[0] = self.baseline
        return factors


def simulate(
    setting: Setting, seeds: int, rng: np.random.Generator, loss: float, loci: int, unit: float
) -> LayerTests:
    """Draw a sweep; `loss` is that of the last layer, `unit` the error that `ratio` is in."""
    runs = [(-1, s) for s in range(BASELINE_SEEDS)]
    runs += [(layer, s) for layer in range(LAYERS) for s in range(seeds)]
    design = Design(*zip(*runs, strict=True))
    group = np.array([layer + 1 for layer, _ in runs])
    seed = np.array([s for _, s in runs])
    variance = (setting.ratio * unit * setting.settled[group]) ** 2
    common = setting.shared * (setting.ratio * unit) ** 2 * min(1.0, setting.settled.min() ** 2)
    means = AUROC - loss * (group == LAYERS)
    means += np.sqrt(common) * rng.normal(size=BASELINE_SEEDS)[seed]
    means += np.sqrt(variance - common) * rng.normal(size=len(runs))
    sample = _sample(loci)
    probabilities = _scores(means, group, sample, loci, rng)
    aurocs = sample.aurocs(probabilities)
    spread = seed_spread(design, aurocs.values, aurocs.covariance) if design.freedom else None
    return LayerTests(tuple(range(LAYERS)), design, aurocs, sample, MARGIN, spread)


def _sample(loci: int) -> Sample:
    labels = np.arange(ROWS) % 2
    names = np.arange(ROWS).astype(np.str_)
    groups = np.array([f"locus {i // 2 % loci}" if loci else "" for i in range(ROWS)])
    here = Rows(labels.astype(np.int8), names, groups)
    other = Rows(here.labels, names, np.array(["" for _ in range(ROWS)]))
    return Sample.of({"validation": here, "test": other}, "validation")


def _scores(
    means: Floats, group: Floats, sample: Sample, loci: int, rng: np.random.Generator
) -> Floats:
    """Return scores float[rows, trials] whose AUROCs are `means`, but for the sample."""
    trials = len(means)
    wanted = np.broadcast_to(means, (ROWS, trials))
    if loci:
        locus = np.unique(sample.names, return_inverse=True)[1]
        wanted = wanted + LOCUS_SD * rng.normal(size=(loci, trials))[locus]
    shift = np.sqrt(2) * ndtri(np.clip(wanted, 0.502, 0.999))
    noise = np.sqrt(COMMON) * rng.normal(size=(ROWS, 1))
    noise = noise + np.sqrt(OF_LAYER) * rng.normal(size=(ROWS, LAYERS + 1))[:, group]
    noise += np.sqrt(1 - COMMON - OF_LAYER) * rng.normal(size=(ROWS, trials))
    return sample.labels[:, None] * shift + noise


def rule_of_today(tests: LayerTests) -> tuple[Floats, Floats, Floats]:
    """Judge by the rule `tested`, through the functions that `judge_trials` calls."""
    found = tests.differences(tests.aurocs.values)
    different, _ = tests.p_values(found)
    return found.values, different, holm(found.p_not_above(0.0))


def rule_before(tests: LayerTests) -> tuple[Floats, Floats, Floats]:
    """Judge by the rule that stood before it."""
    values, covariance = tests.aurocs.values, tests.aurocs.covariance
    base = np.flatnonzero(tests.runs())
    found = [
        _unpaired(values, covariance, base, np.flatnonzero(tests.runs(n))) for n in tests.layers
    ]
    difference, error, freedom = np.array(found).T
    different = 2 * stdtr(freedom, -np.abs(difference) / error)
    return difference, holm(different), holm(stdtr(freedom, -difference / error))


def _unpaired(
    values: Floats, covariance: Floats, base: Floats, layer: Floats
) -> tuple[float, float, float]:
    pairs = [(a, b) for a in base for b in layer]
    rows = np.mean([covariance[a, a] + covariance[b, b] - 2 * covariance[a, b] for a, b in pairs])
    freedom = len(base) + len(layer) - 2
    squares = sum(float(np.var(values[g])) * len(g) for g in (base, layer))
    seeds = squares / freedom * (1 / len(base) + 1 / len(layer))
    variance = rows + seeds
    difference = float(values[layer].mean() - values[base].mean())
    return difference, float(np.sqrt(variance)), min(freedom * (variance / seeds) ** 2, 1e6)


def measured(
    setting: Setting, seeds: int, rules: Sequence[Rule], repeats: int, loci: int, unit: float
) -> list[tuple[float, float, float]]:
    """Return error, power and error of equivalence of each rule."""
    rng = np.random.default_rng(0)
    counts = np.zeros((len(rules), 3))
    for _ in range(repeats):
        null = simulate(setting, seeds, rng, 0.0, loci, unit)
        lossy = simulate(setting, seeds, rng, LOSS, loci, unit)
        for i, rule in enumerate(rules):
            _, different, inferior = rule(null)
            difference, found, _ = rule(lossy)
            counts[i] += [
                (different <= ALPHA).any(),
                found[-1] <= ALPHA and difference[-1] < 0,
                (inferior <= ALPHA).any(),
            ]
    return [tuple(row) for row in (counts / repeats).tolist()]


def unit_error(loci: int) -> float:
    """Return the standard error, over rows, of one trial's AUROC less another's."""
    rng = np.random.default_rng(1)
    quiet = Setting(ratio=1e-9, shared=0.0)
    found = [simulate(quiet, 2, rng, 0.0, loci, 1.0).aurocs.covariance for _ in range(20)]
    covariance = np.mean(found, axis=0)
    return float(np.sqrt(covariance[0, 0] + covariance[-1, -1] - 2 * covariance[0, -1]))


def settings(ratios: Sequence[float], shared: float) -> Iterator[Setting]:
    """Yield what is simulated."""
    for ratio in ratios:
        for pruned in (1.0, 1.5, 2.3):
            yield Setting(ratio, shared, pruned)
        yield Setting(ratio, shared, 2.3, varying=1)
        yield Setting(ratio, shared, baseline=1.5)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--smoke", action="store_true", help="a few repeats, seconds only")
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--ratios", type=float, nargs="+", default=[1.0, 1.75, 2.5])
    parser.add_argument("--shared", type=float, default=0.0)
    parser.add_argument("--loci", type=int, default=0)
    parser.add_argument("--single", action="store_true", help="one seed a layer, not two")
    options = parser.parse_args()
    repeats, ratios = (4, [1.0]) if options.smoke else (options.repeats, options.ratios)
    seeds = 1 if options.single else 2
    unit = unit_error(options.loci)
    rows = []
    for setting in settings(ratios, options.shared):
        rules = (rule_of_today, rule_before)
        today, before = measured(setting, seeds, rules, repeats, options.loci, unit)
        cells = [f"{value:.3f}" for value in (*today, *before)]
        rows.append([f"{setting.ratio:g}", str(setting), *cells])
    heads = ["ratio", "variation", "error", "power", "equiv.", "before:\nerror", "power", "equiv."]
    print(
        f"{repeats} sweeps a line, {BASELINE_SEEDS} + {LAYERS} x {seeds} trainings, {ROWS} rows,"
        f" {options.loci or 'no'} loci, shared {options.shared:g}; one standard error {unit:.4f}"
    )
    print(table(heads, rows))


if __name__ == "__main__":
    main()
