"""Choose the smallest slim model that is not inferior to the full one, on validation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..stats.clustered import pooled_aurocs
from ..stats.student import t_below, t_quantile
from .frontier import Candidate, Smallest, reference_of
from .measure import FEWEST_UNITS, Rows, Sample, Split
from .subgroups import SUBGROUP_LIMIT, changes, losses, lost_skills
from .trainings import Trainings
from .verdicts import Rules

CONFIRMED = 3
"""Sizes that are trained over all seeds at most, before it is said that none was found."""


def smallest_noninferior(
    trainings: Trainings,
    best: Sequence[Candidate],
    full: Sequence[Candidate],
    rules: Rules,
    *,
    subgroup_limit: float = SUBGROUP_LIMIT,
) -> tuple[Smallest | None, str]:
    """Train the best of the smallest sizes over the run's seeds until one is not inferior.

    `best` are the best candidates of each size, from few layers to many, `full` the full model in
    either training, of which the better on validation is the reference. A size whose best lies
    further than the margin below that is passed over, and so is one that is shown to lose more than
    `subgroup_limit` in a subgroup. Both tests are over the sample that verdicts are over. Returns
    what was chosen, and in words why, or what came nearest.
    """
    sample = Sample.of(trainings.rows, "validation")
    if not sample.spreads:
        return None, (
            f"with a class in fewer than {FEWEST_UNITS} validation {sample.unit}s no model can be"
            " tested against the full one"
        )
    reference = reference_of(full)
    near = [one for one in best if one.auroc >= reference.auroc - rules.margin]
    reason = f"no model found comes within {rules.margin:g} of the full one's AUROC"
    refused: list[str] = []
    for candidate in near[:CONFIRMED]:
        pair = _trained(reference, candidate, trainings)
        found = _against(reference, candidate, pair, rules.margin)
        layers = " ".join(map(str, found.kept))
        size = f"{len(found.kept)} layer{'s' * (len(found.kept) > 1)} ({layers}), {found.training}"
        what = f"{size}: AUROC {found.difference:+.4f} against the full model"
        if found.p_inferior > rules.alpha:
            reason = (
                f"no model could be shown to lose less than {rules.margin:g}; the largest tried,"
                f" {what}, 95 % interval {found.low:+.4f} to {found.high:+.4f}"
            )
        elif skills := pair.lost_skills(subgroup_limit, rules.alpha):
            reason = "no model that is as good on average may be taken"
            refused.append(f"not taken: {what}, but it {skills}")
        else:
            told = f"{what}; a loss of {rules.margin:g} is ruled out (p {found.p_inferior:.2g})"
            return found, "; ".join([told, *refused])
    return None, "; ".join([reason, *refused])


@dataclass(frozen=True)
class _Pair:
    """What a candidate over its seeds and one full model predict on validation, float[n] each."""

    rows: Mapping[Split, Rows]
    full: np.ndarray
    slim: tuple[np.ndarray, ...]
    seeds: tuple[int, ...]

    def lost_skills(self, limit: float, alpha: float) -> str:
        """Say in words in which subgroups the candidate is shown to lose more than `limit`."""
        found = changes(self.rows, [self.full], self.slim)
        return lost_skills(losses(found, limit=limit, alpha=alpha))


def _trained(reference: Candidate, candidate: Candidate, trainings: Trainings) -> _Pair:
    """Train a candidate over all seeds."""
    specs = [trainings.spec(candidate.kept, candidate.training, seed) for seed in trainings.seeds]
    trainings.settle(specs)
    slim = [trainings.find(spec) for spec in specs]
    full = trainings.full_model(reference.training)
    return _Pair(
        rows=trainings.rows,
        full=full.predictions.probabilities()["validation"],
        slim=tuple(trial.predictions.probabilities()["validation"] for trial in slim),
        seeds=tuple(trial.spec.seed for trial in slim),
    )


def _against(reference: Candidate, candidate: Candidate, pair: _Pair, margin: float) -> Smallest:
    """Test a candidate's loss of AUROC."""
    sample = Sample.of(pair.rows, "validation")
    found = difference_from_full(sample, pair.full, pair.slim)
    reach = t_quantile(0.975, found.freedom) * found.error
    return Smallest(
        kept=candidate.kept,
        training=candidate.training,
        seeds=pair.seeds,
        reference=reference.training,
        difference=found.value,
        standard_error=found.error,
        degrees_of_freedom=found.freedom,
        low=found.value - reach,
        high=found.value + reach,
        p_inferior=found.p_not_above(-margin),
    )


@dataclass(frozen=True)
class Difference:
    """A difference of AUROC with its standard error, known to some degrees of freedom."""

    value: float
    error: float
    freedom: float

    def p_not_above(self, bound: float) -> float:
        """Return the one-sided p-value of "the difference is not above `bound`"."""
        if self.error == 0:
            return 0.0 if self.value > bound else 1.0
        return t_below((bound - self.value) / self.error, self.freedom)


def difference_from_full(
    sample: Sample, full: np.ndarray, slim: Sequence[np.ndarray]
) -> Difference:
    """Compare a model over its seeds with one full model, on the rows of a sample.

    `full` and each of `slim` are probabilities float[n]. The difference is the mean AUROC of `slim`
    less that of `full`. Its variance has two parts: that of the sample, from the covariance of all
    the AUROCs over the sample's units (groups, or variants), and that of the seeds, s2 / m for m of
    them. The full model is taken as it is: it would be deployed itself. Degrees of freedom are
    Satterthwaite's (1946, Biometrics Bulletin 2:110). A single seed has no variance of its own.
    Raises GenoslimError where either class is in fewer than two units.
    """
    found = pooled_aurocs(sample.labels, np.column_stack([full, *slim]), sample.names)
    weights = np.array([-1.0, *[1 / len(slim)] * len(slim)])
    of_sample = max(float(weights @ found.covariance @ weights), 0.0)
    seeds = float(np.var(found.values[1:], ddof=1)) / len(slim) if len(slim) > 1 else 0.0
    parts = ((of_sample, found.freedom), (seeds, len(slim) - 1))
    spread = sum(part**2 / freedom for part, freedom in parts if part)
    variance = of_sample + seeds
    freedom = variance**2 / spread if spread else float(found.freedom)
    return Difference(float(weights @ found.values), math.sqrt(variance), freedom)
