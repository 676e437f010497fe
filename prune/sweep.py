"""Run the trials of a sweep, all of them or one; give up where no layer could be judged."""

from __future__ import annotations

import logging

from ..errors import GenoslimError, UsageError
from .execution import Executor, run_trials
from .measure import Sample
from .plan import attempts, config_of, next_attempt, plan, setting_of
from .progress import ProgressCallback
from .prospects import prospects
from .run_folder import RunFolder
from .runner import TrialRunner
from .trial import RETRIES, TrialSpec
from .trial_group import FEWEST_SEEDS, TrialGroup
from .verdicts import Rules

_log = logging.getLogger(__name__)

LOW_FOR_LORA = 1e-4
"""A learning rate below which adapters, which start from nothing, hardly learn."""


def sweep(run: RunFolder, *, executor: Executor, progress: ProgressCallback | None = None) -> None:
    """Run what is missing of a sweep; baseline trials keep their weights.

    Raises GenoslimError naming the trial and the cause if one fails, and as soon as too many seeds
    of the baseline have collapsed for any layer to be judged. An interrupt ends the trials that
    run, logs one line and goes on up: what is done stays done.
    """
    if reason := hopeless(run):
        raise GenoslimError(reason)
    if config_of(run).seeds < FEWEST_SEEDS:
        _log.warning("a single baseline seed has no spread: every layer will be undecided")
    recipe = config_of(run).recipe
    if recipe.lora and recipe.learning_rate < LOW_FOR_LORA:
        _log.warning(
            "a learning rate of %g is low for LoRA, where 1e-4 to 1e-3 is usual: --learning-rate",
            recipe.learning_rate,
        )
    if any(next_attempt(run.trials, spec, keep_weights=not spec.dropped) for spec in plan(run)):
        _log.info("%s", outlook(run))
    planned: list[TrialSpec] = []
    while len(found := plan(run)) > len(
        planned
    ):  # an adaptive sweep's plan grows with what it found
        planned = found
        run_trials(
            planned,
            store=run.trials,
            setting=setting_of(run),
            executor=executor,
            keeps=lambda spec: not spec.dropped,
            progress=progress,
            stop=lambda: hopeless(run),
        )


def outlook(run: RunFolder) -> str:
    """Say what the verdicts of a sweep can find, by its baseline where that is done."""
    config, rows, rules = config_of(run), run.rows(), Rules()
    specs = [spec for spec in plan(run) if not spec.dropped]
    done = all(next_attempt(run.trials, spec, keep_weights=False) is None for spec in specs)
    baseline = None
    if done:
        tries = [attempts(run.trials, spec) for spec in specs]
        group = TrialGroup.of("the baseline", tries, rows, rules.measuring)
        baseline = group if group.usable >= FEWEST_SEEDS else None
    return prospects(
        Sample.of(rows, rules.split),
        layers=run.record.layers,
        seeds=config.layer_seeds,
        baseline_seeds=config.seeds,
        baseline=baseline,
        rules=rules,
    )


def hopeless(run: RunFolder) -> str:
    """Say why a sweep need not go on, if collapses left the baseline too few seeds."""
    tries = [attempts(run.trials, spec) for spec in plan(run) if not spec.dropped]
    lost = [seed for seed in tries if len(seed) > RETRIES and seed[-1].result.collapsed]
    if len(tries) - len(lost) >= min(FEWEST_SEEDS, len(tries)):
        return ""
    return (
        f"{len(lost)} of {len(tries)} seeds of the baseline collapsed"
        f" ({lost[0][-1].result.collapsed}) at each of {RETRIES + 1} attempts, so no layer can be"
        " judged: give another recipe (more --max-epochs, another --learning-rate) and a new -o"
    )


def run_one(run: RunFolder, trial_hash: str, *, executor: Executor) -> None:
    """Run one trial of the plan, or of its retries, in this process: for a cluster's job arrays."""
    known = {
        attempt.hash: attempt
        for spec in plan(run)
        for attempt in (spec.again(number) for number in range(RETRIES + 1))
    }
    if trial_hash not in known:
        raise UsageError(
            f"no trial {trial_hash!r} in {run.folder}; `genoslim sweep -o {run.folder} --dry-run`"
            " lists them"
        )
    spec = known[trial_hash]
    runner = TrialRunner(executor.settings(setting_of(run), 1, spec.recipe)[0])
    try:
        outcome = runner.run(spec, keep_weights=not spec.dropped)
    except KeyboardInterrupt:
        _log.warning("interrupted: trial %s (%s) is not done", spec.hash, spec.name)
        raise
    _log.info("trial %s (%s): %s", spec.hash, spec.name, outcome)
