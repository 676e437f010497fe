"""Trials side by side on one device: several processes, each fine-tuning a small model."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch

from genoslim.prune.finetune import fine_tune_tokens
from genoslim.prune.recipe import Recipe

from .context import Context
from .prepared import SPLITS, Prepared
from .record import Row


def measure(context: Context) -> Iterator[Row]:
    """Yield trials an hour for each number of processes; all have made a trial before."""
    counts = context.sizes.side_by_side
    family, epochs = context.prepared.tuned_family, context.sizes.epochs
    trial = (context.source, family, str(context.device), epochs)
    started = time.monotonic()
    with ProcessPoolExecutor(max(counts), mp_context=get_context("spawn")) as pool:
        list(pool.map(_trial, [trial] * max(counts)))  # each process is begun by this one call
        warm = time.monotonic() - started
        for count in counts:
            started = time.monotonic()
            seconds = list(pool.map(_trial, [trial] * count))
            wall = time.monotonic() - started
            yield {
                "processes": count,
                "seconds": wall,
                "trial_seconds": sum(seconds) / count,
                "trials_per_hour": count / wall * 3600,
                "first_trials_seconds": warm,
            }


def _trial(trial: tuple[Path, str, str, int]) -> float:
    """Fine-tune a shipped model once; return the seconds, reading the data not counted."""
    source, family, name, epochs = trial
    device = torch.device(name)
    torch.set_num_threads(1)
    prepared = Prepared.read(source)
    train, validation, _ = (prepared.split(family, split, device) for split in SPLITS)
    recipe = Recipe(epochs=epochs, learning_rate=1e-3)
    return fine_tune_tokens(prepared.model(family), train, validation, recipe, seed=0).seconds
