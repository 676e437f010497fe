"""What the verb `show` prints of a run, of slim models and of a checkpoint.

What it holds is said without torch; whether the weights load and what the trials of a run add up to
is added where the extra `train` is installed.
"""

from __future__ import annotations

import json
import logging
from importlib.util import find_spec
from pathlib import Path

import click

from ..codec import plain
from ..errors import GateError, install_hint
from ..models import load
from ..models.families import family_name, licence, read_config
from ..models.record import TrainingRecord, read_training
from ..tables import table
from .console import judgement_text
from .measure import MEASURES, TITLES
from .prune_record import read_pruned
from .run_folder import RunFolder
from .verdicts import Rules

_FACTS = ("base_model", "dropped_layers", "seed", "window_length", "assembly", "data_licence")

_log = logging.getLogger(__name__)


def show_run(folder: Path) -> None:
    """Print what a run folder holds and how far it is; raise GenoslimError if it is damaged."""
    run = RunFolder(folder)
    run.rows()
    record = run.record
    click.echo(f"sweep of {record.family}, {record.layers} layers: {record.model}")
    click.echo(f"data: {record.data} ({record.data_metadata.source})")
    click.echo(f"recipe: {json.dumps(plain(record.identity.recipe))}")
    if _without_torch("what its trials add up to"):
        results = list(run.trials.folder.glob("*/result.json"))
        click.echo(f"trials: {len(results)} have a result")
        return
    from .judging import judge_run
    from .plan import next_attempt, plan

    specs = plan(run)
    left = [spec for spec in specs if next_attempt(run.trials, spec, keep_weights=False)]
    click.echo(f"trials: {len(specs) - len(left)} of {len(specs)} done")
    if not left:
        click.echo(judgement_text(judge_run(run, Rules())))


def show_pruned(folder: Path) -> None:
    """Print what `prune` left in a folder."""
    record = read_pruned(folder)
    rows = [
        [
            model.name,
            " ".join(map(str, model.kept)),
            str(model.test["auroc"]),
            f"{model.fine_tune_seconds.mean:.1f} s",
            _state(folder / model.name) if model.best_seed is not None else "none kept",
        ]
        for model in record.models
    ]
    click.echo(f"slim models of the run {record.run}, by the rule {record.judgement.rules.rule}")
    click.echo(table(["model", "layers kept", "test AUROC", "fine-tuning", "checkpoint"], rows))
    for note in record.notes:
        click.echo(f"note: {note}")
    if missing := [row[0] for row in rows if row[-1] == "MISSING"]:
        raise GateError(
            f"{folder}: no checkpoint of {', '.join(missing)}: run `genoslim prune` again"
        )


def show_checkpoint(folder: Path) -> None:
    """Print what a checkpoint is and how it was made; GenoslimError if it does not load."""
    config = read_config(folder)
    depth = config.get("num_hidden_layers")
    kept = config.get("kept_layers") or range(depth if isinstance(depth, int) else 0)
    count = None
    if not _without_torch("whether its weights load"):
        model = load(folder)
        depth, kept = model.config.num_hidden_layers, model.config.kept_layers
        count = sum(parameter.numel() for parameter in model.parameters())
    click.echo(f"checkpoint of {family_name(config)}: {depth} layer{'s' * (depth != 1)}")
    click.echo(f"layers kept: {' '.join(map(str, kept))}")
    if count is not None:
        click.echo(f"parameters: {count:,}")
    click.echo(f"licence: {licence(folder)}")
    record = read_training(folder) or TrainingRecord()
    for name, value in plain(record).items():
        if name in _FACTS and value is not None:
            click.echo(f"{name.replace('_', ' ')}: {_words(value)}")
    for split, metrics in (("validation", record.validation), ("test", record.test)):
        if metrics is not None:
            values = ", ".join(f"{TITLES[name]} {getattr(metrics, name):.4f}" for name in MEASURES)
            click.echo(f"{split}: {values}")


def _words(value: object) -> str:
    """Return a fact of a checkpoint as a person writes it: `0 3`, or `none` for no layers."""
    return " ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def _without_torch(untold: str) -> bool:
    """Say whether torch is missing and, if so, what cannot be told."""
    if find_spec("torch") is not None:
        return False
    _log.warning("%s is not told: that needs torch: %s", untold, install_hint("train"))
    return True


def _state(folder: Path) -> str:
    if not (folder / "config.json").exists():
        return "MISSING"
    return "link" if folder.is_symlink() else "present"
