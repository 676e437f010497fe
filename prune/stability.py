"""The metrics of trials when the rows are drawn anew, whole units at a time.

The share of draws that give a layer the same role is the stability of its verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from ..stats.checks import Floats
from ..stats.clustered import group_aurocs
from ..stats.resampling import draw_counts
from ..stats.weighted import weighted_metrics
from .measure import MEASURES, Measuring, Sample
from .trial_group import TrialGroup


@dataclass(frozen=True)
class Resamples:
    """Metrics of trials under draws of a split's units; draws of a single class are left out.

    `metrics` is float[draws, trials, 4] in the order of `MEASURES`, `aurocs` float[draws, trials]
    the AUROC that decides: the macro mean where groups are the sample. Trials are in the order of
    the groups they were given in.
    """

    metrics: Floats
    aurocs: Floats

    @classmethod
    def draw(
        cls, groups: Sequence[TrialGroup], sample: Sample, measuring: Measuring, *, repeats: int
    ) -> Resamples:
        """Draw units with replacement, always the same for a split, and measure every trial.

        Thresholds of calls stay those of the whole split.
        """
        probabilities = np.hstack([group.probabilities(sample.split) for group in groups])
        thresholds = [m.on(sample.split).threshold for group in groups for m in group.measured]
        counts, index = draw_counts(sample.names, repeats=repeats)
        found = weighted_metrics(
            sample.labels, probabilities, thresholds, counts[:, index], f1=measuring.f1
        )
        aurocs = found.auroc
        if sample.macro:
            aurocs = _macro(group_aurocs(sample.labels, probabilities, sample.names), counts)
        metrics = np.stack([asdict(found)[name] for name in MEASURES], axis=2)
        whole = ~np.isnan(metrics).any(axis=(1, 2)) & ~np.isnan(aurocs).any(axis=1)
        return cls(metrics[whole], aurocs[whole])


def _macro(tables: Floats, counts: np.ndarray) -> Floats:
    """Return the mean of the drawn groups' AUROCs, float[draws, trials]; NaN where none has one."""
    known = ~np.isnan(tables).any(axis=1)
    drawn = counts[:, known]
    with np.errstate(invalid="ignore"):
        means: Floats = drawn @ tables[known] / drawn.sum(axis=1, keepdims=True)
    return means
