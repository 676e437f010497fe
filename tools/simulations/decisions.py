"""The error and the power of the decision what to deploy, simulated over its own functions.

A baseline with an AUROC of 0.85 and 1 to 8 candidates, each faster than the one before, on 1,000
balanced test rows: binormal scores whose errors correlate by 0.9 between models (a difference has a
standard error of about 0.005), margin 0.015. `weigh` and `decide` do the rest, as in `genoslim
bench`.

- error: all candidates lose exactly the margin; the share of decisions that deploy one of them.
- mixed: every second candidate, the fastest among them, loses exactly the margin, the others
  nothing; the share of decisions that deploy one that loses it.
- power: no candidate loses anything; the share of decisions that deploy one (`any`), and one chosen
  beforehand, the fastest (`fastest`).

Rows are independent; or variants that recur in 4 rows each, whose errors they share by half; or in
20 or 4 loci, over which a candidate's loss has an sd of 0.015. `as rows` is the rule of before:
every row counts for itself, each candidate is tested at 5 %, without a least number of anything.

    python tools/simulations/decisions.py                  # about 10 minutes on a core
    python tools/simulations/decisions.py --units rows     # one kind of rows
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.special import ndtri

from genoslim.bench.decision import Candidate, decide
from genoslim.bench.evidence import Basis, Evidence, weigh
from genoslim.bench.rule import Rule
from genoslim.prune.measure import Rows, Sample
from genoslim.tables import table

ROWS, AUROC, MARGIN, COMMON = 1000, 0.85, 0.015, 0.9
RECURRING, LOCUS_SD = 4, 0.015

Floats = np.ndarray
Units = Literal["rows", "variants", "20 loci", "4 loci"]
UNITS: tuple[Units, ...] = ("rows", "variants", "20 loci", "4 loci")


@dataclass(frozen=True)
class Setting:
    """What the test rows are, and the AUROC that each candidate loses, from slow to fast."""

    units: Units
    losses: tuple[float, ...]

    @property
    def loci(self) -> int:
        """How many loci there are, 0 for none."""
        return int(self.units.split()[0]) if "loci" in self.units else 0


def sample_of(units: Units) -> Sample:
    """Return the test split."""
    rows = np.arange(ROWS)
    labels = (rows % 2).astype(np.int8)
    names = rows.astype(np.str_)
    none = np.array([""] * ROWS)
    here = Rows(labels, names, none)
    if units == "variants":
        labels = (rows // RECURRING % 2).astype(np.int8)
        here = Rows(labels, (rows // RECURRING).astype(np.str_), none)
    elif units != "rows":
        loci = int(units.split()[0])
        here = Rows(labels, names, np.array([f"locus {row // 2 % loci}" for row in rows]))
    return Sample.of({"validation": Rows(labels, names, none), "test": here}, "test")


def scores_of(setting: Setting, sample: Sample, rng: np.random.Generator) -> Floats:
    """Return scores float[n, 1 + k], the baseline's first."""
    lost = np.array((0.0, *setting.losses))
    wanted = np.broadcast_to(AUROC - lost, (ROWS, len(lost)))
    if setting.loci:
        locus = np.unique(sample.names, return_inverse=True)[1]
        own = LOCUS_SD * rng.normal(size=(setting.loci, len(lost)))
        own[:, 0] = 0.0
        wanted = wanted + own[locus]
    shift = np.sqrt(2) * ndtri(wanted)
    noise = np.sqrt(COMMON) * rng.normal(size=(ROWS, 1))
    own_noise = rng.normal(size=(ROWS, len(lost)))
    if setting.units == "variants":
        variant = np.arange(ROWS) // RECURRING
        shared = rng.normal(size=(ROWS // RECURRING, 1 + len(lost)))[variant]
        noise = np.sqrt(0.5) * noise + np.sqrt(0.5 * COMMON) * shared[:, :1]
        own_noise = np.sqrt(0.5) * own_noise + np.sqrt(0.5) * shared[:, 1:]
    return sample.labels[:, None] * shift + noise + np.sqrt(1 - COMMON) * own_noise


def deployed(evidence: Sequence[Evidence], basis: Basis, rule: Rule) -> int:
    """Return the place of the candidate that is deployed, 0 for the baseline."""
    models = [
        Candidate(
            name=str(place),
            digest=str(place),
            baseline=place == 0,
            speed_up=1.0 + place,
            p95=0.01,
            memory=1,
            size=1,
            evidence=found,
        )
        for place, found in enumerate(evidence)
    ]
    return int(decide(models, rule=rule, basis=basis).deploy or 0)


def deployed_before(evidence: Sequence[Evidence], sample: Sample, scores: Floats) -> int:
    """Return the same by the rule of before."""
    if sample.unit != "row":
        rows = np.arange(ROWS).astype(np.str_)
        evidence = weigh(replace(sample, names=rows, unit="row", macro=False), scores, rule=RULE)
    passed = [p for p, one in enumerate(evidence) if one.loss is None or one.loss.p_value <= 0.05]
    return max(passed)


RULE = Rule(margin=MARGIN)
RULES = {"holm": RULE, "sequence": replace(RULE, correction="sequence")}


def simulate(setting: Setting, repeats: int, seed: int) -> dict[str, Floats]:
    """Return how often each candidate is deployed (the baseline first), by rule."""
    rng, sample = np.random.default_rng(seed), sample_of(setting.units)
    basis = Basis.of(sample)
    counts = {name: np.zeros(1 + len(setting.losses)) for name in (*RULES, "as rows")}
    for _ in range(repeats):
        scores = scores_of(setting, sample, rng)
        evidence = weigh(sample, scores, rule=RULE)
        for name, rule in RULES.items():
            counts[name][deployed(evidence, basis, rule)] += 1
        counts["as rows"][deployed_before(evidence, sample, scores)] += 1
    return {name: found / repeats for name, found in counts.items()}


def lines(units: Units, models: int, repeats: int) -> Iterator[list[str]]:
    """Yield a line for each rule."""
    losing = (MARGIN,) * models
    mixed = tuple(0.0 if place % 2 else MARGIN for place in range(models))[::-1]
    settings = [losing, mixed, (0.0,) * models]
    error, some, none = (
        simulate(Setting(units, losses), repeats, seed) for seed, losses in enumerate(settings)
    )
    wrong = [1 + place for place, loss in enumerate(mixed) if loss]
    for name in error:
        values = (
            1 - error[name][0],
            some[name][wrong].sum(),
            1 - none[name][0],
            none[name][-1],
        )
        yield [units, str(models), name, *(f"{value:.3f}" for value in values)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--smoke", action="store_true", help="a few repeats, seconds only")
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--models", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--units", nargs="+", choices=UNITS, default=list(UNITS))
    options = parser.parse_args()
    repeats, models = (3, [1, 2]) if options.smoke else (options.repeats, options.models)
    rows = [line for units in options.units for k in models for line in lines(units, k, repeats)]
    heads = ["units", "models", "rule", "error", "mixed", "power:\nany", "fastest"]
    print(f"{repeats} decisions a figure, {ROWS} rows, margin {MARGIN:g}, AUROC {AUROC:g}")
    print(table(heads, rows))


if __name__ == "__main__":
    main()
