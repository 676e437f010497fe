"""What a sweep can find, said before it trains: from its rows and seeds, and what is known of both.

Before anything is trained the AUROC, how the rows' errors of two models go together, and how much
seeds vary are assumed; once the baseline is done they are measured on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..stats.power import Comparisons, auroc_variance
from .measure import FEWEST_UNITS, Sample
from .trial_group import TrialGroup
from .verdicts import Rules

AUROC = 0.85
"""Assumed of a fine-tuned model."""
CORRELATION = 0.6
"""Assumed of the errors, over rows, of two models' AUROCs."""
SEED_SD = 0.01
"""Assumed of a trial's AUROC over seeds, with what it shares with the baseline taken out."""
GROUP_SD = 0.03
"""Assumed of the difference of two models' AUROCs over groups, besides what rows do to it."""
LOSS = 0.05
"""The loss of AUROC whose chance of being found is told."""
LIKELY = 0.8


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known, or assumed, of trials: `source` says which."""

    auroc: float
    seed_sd: float
    rows_variance: float
    units: int
    source: str


def prospects(
    sample: Sample,
    *,
    layers: int,
    seeds: int,
    baseline_seeds: int,
    baseline: TrialGroup | None = None,
    rules: Rules | None = None,
) -> str:
    """Say what verdicts by tests can find on a split; `baseline` is that of the sweep, if done."""
    if not sample.macro and not sample.spreads:
        return (
            f"with fewer than {FEWEST_UNITS} {sample.split} {sample.unit}s of a class no layer"
            " can be judged"
        )
    chosen = rules or Rules()
    known = assumed(sample) if baseline is None else measured(sample, baseline)
    found = Comparisons(
        groups=layers,
        seeds=seeds,
        reference_seeds=baseline_seeds,
        rows_variance=known.rows_variance,
        units=known.units,
        seed_sd=known.seed_sd,
        alpha=chosen.alpha,
    )
    return (
        f"with {known.units} {sample.split} {sample.unit}s and {seeds} seed{'s' * (seeds > 1)} a"
        f" layer a loss of {LOSS:g} {sample.measure} is found with probability"
        f" {found.finds(LOSS):.2f} ({LIKELY:g} from {found.loss_found(LIKELY):.3f} on), equivalence"
        f" at {chosen.margin:g} with {found.shows_equivalence(chosen.margin):.2f} ({LIKELY:g} from"
        f" {found.margin_shown(LIKELY):.3f} on); {known.source}: AUROC {known.auroc:.2f}, sd over"
        f" seeds {known.seed_sd:.3f}"
    )


def assumed(sample: Sample) -> Known:
    """Return what is assumed before the baseline is trained."""
    positives, negatives = sample.units(1), sample.units(0)
    share = 2 * (1 - CORRELATION)
    variance, units = share * auroc_variance(AUROC, positives, negatives), positives + negatives
    if sample.macro:
        units = len(_mixed(sample))
        within = [auroc_variance(AUROC, *counts) for counts in _mixed(sample)]
        variance = (share * float(np.mean(within)) + GROUP_SD**2) / units
    return Known(
        auroc=AUROC, seed_sd=SEED_SD, rows_variance=variance, units=units, source="assumed"
    )


def measured(sample: Sample, baseline: TrialGroup) -> Known:
    """Return what the baseline's seeds tell; what they share with a layer's is not taken out."""
    found = sample.aurocs(baseline.probabilities(sample.split))
    own = np.diag(found.covariance)
    pairs = own[:, None] + own - 2 * found.covariance
    count = len(own)
    between = float(pairs.sum()) / (count * (count - 1))
    variance = max(float(found.values.var(ddof=1)) - between / 2, 0.0)
    return Known(
        auroc=float(found.values.mean()),
        seed_sd=float(np.sqrt(variance)),
        rows_variance=between,
        units=found.units,
        source="measured on the baseline",
    )


def _mixed(sample: Sample) -> list[tuple[int, int]]:
    """Return the positives and negatives of each group that has both."""
    counts = [
        (int(np.sum(sample.labels[here] == 1)), int(np.sum(sample.labels[here] == 0)))
        for here in (sample.names == name for name in np.unique(sample.names))
    ]
    return [pair for pair in counts if min(pair)]
