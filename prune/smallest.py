"""Choose the smallest slim model that is not inferior to the full one, on validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..errors import GenoslimError
from ..stats.ranks import auroc
from .frontier import Candidate, Smallest
from .subsets import Subset
from .trainings import TRAININGS, Training, Trainings
from .trial import Trial
from .verdicts import Rules, judge_trials

CONFIRMED = 3
"""Sizes that are trained over all seeds at most, before it is said that none was found."""


def smallest_noninferior(
    trainings: Trainings, best: Sequence[Candidate], baseline: Candidate, rules: Rules
) -> tuple[Smallest | None, str]:
    """Train the best of the smallest sizes over the run's seeds until one is not inferior.

    `best` are the best candidates of each size, from few layers to many. A size whose best lies
    further than the margin below the full model of the same seed is passed over. The full model is
    the better on validation of the baseline and of the full model healed from itself, which has
    had as many epochs as a healed candidate. Returns what was chosen, and in words why, or what
    came nearest.
    """
    near = [one for one in best if one.auroc >= baseline.auroc - rules.margin]
    reason = f"no model found comes within {rules.margin:g} of the full one's AUROC"
    for candidate in near[:CONFIRMED]:
        found = _against_full(trainings, candidate, rules)
        test = found.comparison
        what = (
            f"{candidate.layers} layers ({' '.join(map(str, candidate.kept))}), {found.training}:"
            f" AUROC {test.difference:+.4f} against the full model"
        )
        if test.p_inferior <= rules.alpha:
            return (
                found,
                f"{what}; a loss of {rules.margin:g} is ruled out (p {test.p_inferior:.2g})",
            )
        reason = (
            f"no model could be shown to lose less than {rules.margin:g}; the largest tried,"
            f" {what}, 95 % interval {test.low:+.4f} to {test.high:+.4f}"
        )
    return None, reason


def _against_full(trainings: Trainings, candidate: Candidate, rules: Rules) -> Smallest:
    """Train a candidate and the full model over all seeds, and test the loss of AUROC."""
    slim = _over_seeds(trainings, candidate.kept, candidate.training)
    full = {how: _over_seeds(trainings, trainings.full, how) for how in TRAININGS}
    rows = trainings.rows
    labels = rows["validation"].labels
    reference = max(TRAININGS, key=lambda how: mean_auroc(full[how], labels))
    tested = replace(rules, rule="tested", split="validation")
    (verdict,) = judge_trials(full[reference], {0: slim}, rows, tested).verdicts
    if verdict.evidence.comparison is None:
        raise GenoslimError(f"{trainings.run.folder}: {verdict.evidence.reason}")
    return Smallest(
        kept=candidate.kept,
        training=candidate.training,
        seeds=verdict.evidence.seeds,
        reference=reference,
        comparison=verdict.evidence.comparison,
    )


def _over_seeds(trainings: Trainings, kept: Subset, training: Training) -> list[list[Trial]]:
    """Return the attempts of each seed of the run, trained where they are missing."""
    specs = [trainings.spec(kept, training, seed) for seed in trainings.seeds]
    trainings.settle(specs)
    return [trainings.attempts(spec) for spec in specs]


def mean_auroc(attempts: Sequence[Sequence[Trial]], labels: np.ndarray) -> float:
    """Return the mean AUROC on validation of the last attempt at each seed."""
    last = [tried[-1].predictions.probabilities()["validation"] for tried in attempts]
    return float(np.mean([auroc(labels, probabilities) for probabilities in last]))
