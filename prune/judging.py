"""The verb `judge_layers`: the role of every layer, by what a finished sweep has on disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..errors import GenoslimError
from .judgement import judge_trials
from .measure import Rows, Split
from .plan import attempts, next_attempt, plan
from .run_folder import RunFolder
from .subgroups import SubgroupChanges, layer_changes
from .trial import Trial
from .verdicts import Judgement, Rules


def judge_layers(run: str | Path, *, rules: Rules | None = None) -> Judgement:
    """Judge the layers of a finished sweep; nothing is trained, and nothing written.

    Args:
        run: The run folder of a sweep.
        rules: How to judge; None: the published rule with the documented defaults.

    Returns:
        The baseline over its seeds, and the verdict on every layer with the figures it rests on.

    Raises:
        GenoslimError: `run` is no run folder, or a trial in it is not done.

    Example:
        >>> from genoslim import Rules, judge_layers
        >>> judgement = judge_layers("my-run", rules=Rules(rule="tested", margin=0.02))
        >>> [verdict.layer for verdict in judgement.verdicts]
        [0, 1, 2]
    """
    return judge_run(RunFolder(Path(run)), rules or Rules())


def judge_run(run: RunFolder, rules: Rules) -> Judgement:
    """Judge the layers of a finished sweep.

    GenoslimError names a trial that is missing, a collapsed one's retry included: until it is
    done, a layer whose trial collapsed would pass for a cornerstone. So does it refuse a run whose
    trials were trained on different kinds of device, or in different precisions.
    """
    run.numerics()  # refuses a mix
    found: dict[tuple[int, ...], list[list[Trial]]] = {}
    for spec in plan(run):
        if missing := next_attempt(run.trials, spec, keep_weights=False):
            damage = run.trials.damage(missing)
            why = f"not whole: {damage}" if damage else "not done"
            raise GenoslimError(
                f"{run.folder}: trial {missing.hash} ({missing.name}) is {why}; finish the sweep"
                f" with `genoslim sweep -o {run.folder}`"
            )
        found.setdefault(spec.dropped, []).append(attempts(run.trials, spec))
    baseline = found.pop(())
    layers = {dropped[0]: tries for dropped, tries in found.items()}
    return judge_trials(baseline, layers, run.rows(), rules)


def subgroups_without_layers(run: RunFolder, rows: Mapping[Split, Rows]) -> SubgroupChanges:
    """Return what each layer of a finished sweep is for, by subgroup of the run's `rows`."""
    found: dict[tuple[int, ...], dict[int, Trial]] = {}
    for spec in plan(run):
        last = attempts(run.trials, spec)[-1]
        sound = {} if last.collapsed(rows) else {spec.seed: last}
        found.setdefault(spec.dropped, {}).update(sound)
    baseline = found.pop(())
    layers = {dropped[0]: trials for dropped, trials in found.items()}
    return layer_changes(baseline, layers, rows)
