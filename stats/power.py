"""What a family of paired comparisons of AUROCs can find, worked out before anything is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .checks import fraction
from .student import t_quantile


def auroc_variance(auroc: float, positives: int, negatives: int) -> float:
    """Return the variance of an AUROC over samples of so many rows of either class.

    Hanley and McNeil 1982 (Radiology 143:29), with Q1 = A / (2 - A) and Q2 = 2 A^2 / (1 + A).
    """
    fraction("auroc", auroc)
    q1, q2, square = auroc / (2 - auroc), 2 * auroc**2 / (1 + auroc), auroc**2
    spread = auroc * (1 - auroc) + (positives - 1) * (q1 - square) + (negatives - 1) * (q2 - square)
    return spread / (positives * negatives)


@dataclass(frozen=True, kw_only=True)
class Comparisons:
    """Comparisons of `groups` groups with a reference over `seeds` seeds each, paired by seed.

    `rows_variance` is that of a difference over the sample of rows, of `units` units; `seed_sd` is
    that of one run's own part. With one seed a group nothing is paired: the spread is then known
    from the reference's `reference_seeds` alone. `alpha` is the family-wise error.
    """

    groups: int
    seeds: int
    reference_seeds: int
    rows_variance: float
    units: int
    seed_sd: float
    alpha: float = 0.05

    @property
    def error(self) -> float:
        """The standard error of a difference."""
        return math.sqrt(self.rows_variance + self._of_seeds)

    @property
    def freedom(self) -> float:
        """The degrees of freedom of Student's t: Satterthwaite's where runs are paired."""
        if self.seeds == 1:
            return self.reference_seeds - 1
        known = self.groups * (self.seeds - 1)
        parts = self.rows_variance**2 / (self.units - 1) + self._of_seeds**2 / known
        return self.error**4 / parts if parts else self.units - 1

    def finds(self, loss: float) -> float:
        """Return the probability that a true `loss` of one group is found."""
        return self._power(loss, self._critical(2))

    def shows_equivalence(self, margin: float) -> float:
        """Return the probability of showing that a group without effect loses below `margin`."""
        return self._power(margin, self._critical(1))

    def loss_found(self, probability: float) -> float:
        """Return the loss that is found with a probability."""
        return self._effect(probability, self._critical(2))

    def margin_shown(self, probability: float) -> float:
        """Return the margin at which equivalence is shown with a probability."""
        return self._effect(probability, self._critical(1))

    @property
    def _of_seeds(self) -> float:
        runs = 2 / self.seeds if self.seeds > 1 else 1 + 1 / self.reference_seeds
        return self.seed_sd**2 * runs

    def _critical(self, sides: int) -> float:
        """Return the quantile of the hardest step of Holm's procedure."""
        return t_quantile(1 - self.alpha / sides / self.groups, self.freedom)

    def _power(self, effect: float, critical: float) -> float:
        """Return the mass of the noncentral t above a critical value."""
        from scipy.special import nctdtr

        if self.error == 0:  # nothing varies
            return 1.0
        return 1 - float(nctdtr(self.freedom, effect / self.error, critical))

    def _effect(self, probability: float, critical: float) -> float:
        from scipy.special import nctdtrinc

        return float(nctdtrinc(self.freedom, 1 - probability, critical)) * self.error
