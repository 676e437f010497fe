"""What the verbs `sweep`, `estimate` and `prune` do: call one function, print what it found."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import click
import numpy as np
import torch

from ..data.dataset import LabelledData
from ..errors import GenoslimError, UsageError
from ..files import write_json
from ..models import checkpoint, load, load_tokenizer, resolve
from ..models.fingerprint import fingerprint_model
from ..models.record import is_fine_tuned
from .frontier_table import frontier_table
from .importance import (
    METHODS,
    NEEDS_TRAINED_HEAD,
    Estimate,
    Method,
    agreement,
    estimate,
    importance_in,
    to_dict,
)
from .measure import MEASURES, Measuring
from .progress import progress_bar
from .report import REPORT_FILE, conclude, write_report
from .run_folder import RunFolder
from .run_record import RUN_FILE
from .runner import resolve_devices
from .search import SearchOptions
from .slim import Pruned, judge_run, prune
from .sweep import (
    Executor,
    SweepConfig,
    attempts,
    config_of,
    next_attempt,
    open_sweep,
    plan,
    run_one,
    sweep,
)
from .tables import print_judgement, print_table, spread
from .verdicts import Judgement, Rules

_log = logging.getLogger(__name__)


def sweep_on_console(
    model: str | None,
    data: Path | None,
    out: Path,
    *,
    recipe: Mapping[str, Any],
    seeds: Mapping[str, int | None],
    executor: Executor,
    trial: str | None = None,
    dry_run: bool = False,
) -> None:
    """Start a sweep, or go on with the one in `out` where model and data are left out.

    `recipe` and `seeds` hold the options that were given; None stands for "not given".
    """
    _quieten_fresh_heads()
    run = open_sweep(out, _config(model, data, out, recipe, seeds))
    if dry_run:
        _print_plan(run)
        return
    if trial is not None:
        run_one(run, trial, executor=executor)
        return
    with progress_bar() as progress:
        sweep(run, executor=executor, progress=progress)
    print_judgement(conclude(run, Rules()))
    _log.info("report: %s", out / REPORT_FILE)


def prune_on_console(
    run: Path,
    out: Path,
    *,
    rules: Mapping[str, Any],
    measuring: Mapping[str, Any],
    executor: Executor,
    search: SearchOptions,
    data: Path | None = None,
) -> None:
    """Judge a run, search and build the slim models, print their tables."""
    _quieten_fresh_heads()
    given = {name: value for name, value in rules.items() if value is not None}
    chosen = Rules(**given, measuring=Measuring(**measuring))
    folder = RunFolder(run)
    with progress_bar() as progress:
        pruned = prune(
            folder,
            out,
            rules=chosen,
            executor=executor,
            search=search,
            progress=progress,
            data=data,
        )
    write_report(
        out / REPORT_FILE, folder, pruned.judgement, notes=pruned.notes, models=pruned.models
    )
    print_judgement(pruned.judgement)
    click.echo()
    if pruned.frontier is not None:
        click.echo("the frontier, AUROC on validation, which chose (test figures below):")
        click.echo(frontier_table(pruned.frontier))
        click.echo()
    _print_models(pruned)
    for note in pruned.notes:
        _log.warning("note: %s", note)
    _log.info("report: %s", out / REPORT_FILE)


def estimate_on_console(
    model: str,
    data: Path,
    out: Path,
    *,
    methods: Sequence[str],
    run: Path | None = None,
    rows: int = 256,
    seed: int = 0,
    device: str = "auto",
) -> None:
    """Score the layers by cheap methods, on validation rows; compare with a RUN if given.

    Methods that look at the loss need a trained head: with a run they use its best baseline.
    """
    _quieten_fresh_heads()
    folder = None if run is None else RunFolder(run)
    judgement = None if folder is None else judge_run(folder, Rules())
    labelled = LabelledData.read(data)
    if folder is not None:
        _check_same_data(folder, labelled.fingerprint, data)
        _check_same_model(folder, model)
    subset = _sample(labelled.split("validation"), rows, seed)
    found: list[Estimate] = []
    scored: dict[str, str] = {}
    for method in cast("list[Method]", list(methods) or list(METHODS)):
        source = _scored_model(model, folder, method, explicit=bool(methods))
        if source is None:
            _log.warning("%s is left out: %s has no fine-tuned head", method, model)
            continue
        network, tokenizer = load(source, seed=seed), load_tokenizer(source)
        place = torch.device(resolve_devices(device)[0])
        found.append(estimate(network, tokenizer, subset, method, seed=seed, device=place))
        scored[method] = source
    about = {"model": model, "data": str(data), "scored": scored}
    write_json(out, {**about, **to_dict(found, judgement, len(subset))})
    _print_estimates(found, judgement)


def _sample(data: LabelledData, rows: int, seed: int) -> LabelledData:
    """Draw some rows, or take all if there are no more, and leave them in their order."""
    chosen = np.random.default_rng(seed).permutation(len(data))[:rows]
    return data.subset(np.sort(chosen))


def _scored_model(
    model: str, run: RunFolder | None, method: Method, *, explicit: bool
) -> str | None:
    """Return the checkpoint a method scores; None to leave it out, an error if it was asked for."""
    if method not in NEEDS_TRAINED_HEAD or is_fine_tuned(resolve(model)):
        return model
    if run is not None:
        trials = [t for s in plan(run) if not s.dropped for t in attempts(run.trials, s)]
        best = max(trials, key=lambda trial: trial.result.validation.auroc)
        return str(run.trials.checkpoint(best.spec))
    if explicit:
        raise UsageError(
            f"estimate: {method} needs a fine-tuned model and {model} has a fresh head; give the"
            " sweep's RUN with --run, or a checkpoint of `genoslim prune`"
        )
    return None


def _check_same_data(run: RunFolder, fingerprint: str, data: Path) -> None:
    wanted = run.record.identity.data_fingerprint
    if fingerprint != wanted:
        raise GenoslimError(
            f"{data}: fingerprint {fingerprint[:16]}, the run {run.folder} is of {wanted[:16]}"
        )


def _check_same_model(run: RunFolder, model: str) -> None:
    """Refuse another pretrained model than the run's; a fine-tuned one may be made of it."""
    folder = resolve(model)
    wanted = run.record.identity.model_fingerprint
    if not is_fine_tuned(folder) and fingerprint_model(folder) != wanted:
        raise GenoslimError(f"{model}: the run {run.folder} is of {run.record.model}")


def _print_estimates(found: Sequence[Estimate], judgement: Judgement | None) -> None:
    heads = ["method", "seconds", "least important first"]
    rows = [[one.method, f"{one.seconds:.2f}", " ".join(map(str, one.order))] for one in found]
    if judgement is not None:
        heads += ["Spearman", "Kendall"]
        for row, one in zip(rows, found, strict=True):
            agreed = agreement(one.scores, importance_in(judgement))
            values = (agreed.spearman, agreed.kendall)
            row += ["none" if value is None else f"{value:+.2f}" for value in values]
    print_table(heads, rows)


def _quieten_fresh_heads() -> None:
    """Leave out the line on a fresh head at every load: here each trial has one by design."""
    logging.getLogger(checkpoint.__name__).setLevel(logging.WARNING)


def _config(
    model: str | None,
    data: Path | None,
    out: Path,
    recipe: Mapping[str, Any],
    seeds: Mapping[str, int | None],
) -> SweepConfig:
    """Return the sweep that the options describe, on top of the run's own if it is resumed."""
    if (model is None) != (data is None):
        raise UsageError("sweep: give both -m and -d, or neither to go on with a run folder")
    if model is None or data is None:
        if not (out / RUN_FILE).exists():
            raise UsageError(f"sweep: {out} is no run folder yet: -m MODEL and -d DATA are needed")
        base = config_of(RunFolder(out))
    else:
        base = SweepConfig(model=model, data=data)
        if (out / RUN_FILE).exists():  # it keeps its own, whatever the default was or is
            base = replace(base, layer_seeds=config_of(RunFolder(out)).layer_seeds)
    given = {name: value for name, value in recipe.items() if value is not None}
    if "epochs" in given and given.keys() & {"patience", "max_epochs"}:
        raise UsageError("sweep: --epochs is a fixed number; it excludes --patience, --max-epochs")
    counts: dict[str, Any] = {name: value for name, value in seeds.items() if value is not None}
    return replace(base, recipe=replace(base.recipe, **given), **counts)


def _print_plan(run: RunFolder) -> None:
    for spec in plan(run):
        attempt = next_attempt(run.trials, spec, keep_weights=not spec.dropped)
        state = "to do"
        if attempt is None:
            last = attempts(run.trials, spec)[-1]
            attempt, state = last.spec, "collapsed" if last.result.collapsed else "done"
        layers = ",".join(map(str, attempt.dropped)) or "-"
        click.echo(f"{attempt.hash}\t{layers}\t{attempt.seed}\t{state}")


def _print_models(pruned: Pruned) -> None:
    """Print one line a model: quality on test over the seeds, and times against the baseline."""
    base = pruned.models[0]
    grouped = "macro_auroc" in base.test
    rows = []
    for model in pruned.models:
        times = [
            f"{mine.mean:.2f} s ({mine.mean / theirs.mean:.2f}x)" if theirs.mean else ""
            for mine, theirs in (
                (model.fine_tune_seconds, base.fine_tune_seconds),
                (model.evaluation_seconds, base.evaluation_seconds),
            )
        ]
        name = model.name + (f" = {model.same_as}" if model.same_as else "")
        values = [spread(model.test[measure]) for measure in MEASURES]
        macro = [spread(model.test["macro_auroc"]) if "macro_auroc" in model.test else ""]
        rows.append([name, str(len(model.kept)), *values, *(macro if grouped else []), *times])
    heads = ["model", "layers", "accuracy", "AUROC", "F1", "TP rate"]
    heads += ["macro AUROC"] if grouped else []
    click.echo(f"test split, mean \u00b1 sd over {len(base.test['auroc'].values)} seeds:")
    print_table([*heads, "fine-tuning", "evaluation"], rows)
