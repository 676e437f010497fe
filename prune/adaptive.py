"""The layers of an adaptive sweep that need another seed: those that no test has decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .judgement import judge_trials
from .measure import Rows, Split
from .trial import Trial
from .verdicts import Rules


def undecided_layers(
    baseline: Sequence[Sequence[Trial]],
    layers: Mapping[int, Sequence[Sequence[Trial]]],
    rows: Mapping[Split, Rows],
    *,
    looks: int,
) -> tuple[int, ...]:
    """Return the layers that tests of the validation AUROC leave undecided so far.

    The attempts are those of `judge_trials`. A layer is decided when it is better, worse or
    equivalent by the rule `tested` with its defaults; since the sweep looks `looks` times, each
    look spends an equal part of the error (Bonferroni).
    """
    rules = Rules(rule="tested", alpha=Rules.alpha / looks, repeats=1)
    return judge_trials(baseline, layers, rows, rules).layers("undecided")
