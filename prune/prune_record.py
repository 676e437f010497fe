"""What is read back of `prune.json`: which models `genoslim prune` made, and how well they do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..codec import check_format, decode
from ..errors import GenoslimError
from ..files import read_json
from .verdicts import Rules, Spread

PRUNE_FILE = "prune.json"
PRUNE_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class PrunedModel:
    """One model: its checkpoint's name, the layers it kept, figures over its seeds, by measure.

    `best_seed` is the seed of the checkpoint, None where too few were usable to keep one.
    """

    name: str
    kept: tuple[int, ...]
    test: Mapping[str, Spread]
    fine_tune_seconds: Spread
    best_seed: int | None


@dataclass(frozen=True, kw_only=True)
class JudgedBy:
    """How the layers were judged that the models are without."""

    rules: Rules


@dataclass(frozen=True, kw_only=True)
class PruneRecord:
    """The models of a run, how they were chosen, and what to know besides their figures."""

    run: str
    judgement: JudgedBy
    models: tuple[PrunedModel, ...]
    notes: tuple[str, ...]


def read_pruned(folder: Path) -> PruneRecord:
    """Read `prune.json` in a folder; GenoslimError names the field that is wrong."""
    path = folder / PRUNE_FILE
    content = read_json(path)
    if content is None:
        raise GenoslimError(f"{path}: no such file; `genoslim prune` writes it")
    check_format(content, PRUNE_FORMAT, str(path))
    return decode(PruneRecord, content, str(path))
