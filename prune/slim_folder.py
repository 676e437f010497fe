"""Whether slim models may be written to a folder: never over those of another run or rule."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from ..codec import plain
from ..errors import UsageError
from ..files import refuse_foreign
from ..models.record import read_training
from .choice import ModelName
from .frontier import FRONTIER_FILE
from .frontier_plots import FRONTIER_PICTURE
from .prune_record import PRUNE_FILE, PruneRecord, read_pruned
from .run_folder import RunFolder, differences
from .run_record import RUN_FILE
from .verdicts import Rules


def refuse_other_models(out: Path, run: RunFolder, rules: Rules) -> None:
    """Raise UsageError where `out` holds something else than models of this run by these rules."""
    if (out / RUN_FILE).exists():
        raise UsageError(f"{out} is a run folder: give another one for the slim models with -o")
    names = get_args(ModelName)
    begun = (*names, "trials", FRONTIER_FILE, FRONTIER_PICTURE)
    refuse_foreign(out, "folder of slim models", marker=PRUNE_FILE, begun=begun)
    for folder in (out / name for name in names):
        if folder.exists() and read_training(folder) is None:
            raise UsageError(
                f"{folder} is no checkpoint of `genoslim prune` and would be replaced: move it, or"
                " give another folder with -o"
            )
    if not (out / PRUNE_FILE).exists():
        return
    found = read_pruned(out)
    if others := [*_other_run(found, run), *_other_rules(found, rules)]:
        raise UsageError(
            f"{out} holds other slim models: {'; '.join(others)}. Ask for the same, or give another"
            " folder with -o"
        )


def _other_run(found: PruneRecord, run: RunFolder) -> list[str]:
    """Say of which other run the models are; one that is not there any more was moved."""
    there = Path(found.run)
    if not there.exists() or there.samefile(run.folder):
        return []
    return [f"run is {there} there and {run.folder.absolute()} here"]


def _other_rules(found: PruneRecord, rules: Rules) -> list[str]:
    return differences(plain(found.judgement.rules), plain(rules))
