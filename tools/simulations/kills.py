"""Kill a sweep and a search 20 times each, at random, and compare with what was not killed.

Each is killed (SIGKILL) at moments spread at random over all of its work, begun again by the same
command, and let come to its end. Every prediction, metric and SHA-256 of weights, the verdicts and
the frontier must then be those of an uninterrupted run, bit for bit; times are left out.

    python tools/simulations/kills.py                       # some minutes
    python tools/simulations/kills.py --kills 5 --seed 7    # other moments
    python tools/simulations/kills.py --smoke
"""

from __future__ import annotations

import argparse
import os
import runpy
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from genoslim.tables import table

FIXTURES = Path(__file__).parents[2] / "tests" / "fixtures"
TINY = runpy.run_path(str(FIXTURES / "tiny_sweep.py"))
KILLS = runpy.run_path(str(FIXTURES / "kills.py"))
Command, findings, kill_at_random = (KILLS[n] for n in ("Command", "findings", "kill_at_random"))

SWEEP = ("--epochs", "3", "--learning-rate", "0.01", "--batch-size", "8")
SEARCH = (
    *("--margin", "0.2", "--strategy", "supernet", "--strategy", "greedy"),
    *("--strategy", "random"),
)
HERE = ("--device", "cpu", "--threads", "1")


def main() -> None:
    """Kill a sweep, then a search of its run; exit with 1 if either finds anything else."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="Of the moments.")
    parser.add_argument("--layers", type=int, default=6, help="Of the model.")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--trainings", type=int, default=24, help="Of the search.")
    parser.add_argument("--smoke", action="store_true", help="One kill of each.")
    options = parser.parse_args()
    if options.smoke:
        options.kills, options.layers, options.trainings = 1, 2, 4
    with TemporaryDirectory() as folder:
        lines = [_sweep(options, Path(folder)), _prune(options, Path(folder))]
    heads = ["killed", "kills", "files at each kill", "of", "s undisturbed", "alike"]
    print(table(heads, [[str(cell) for cell in line] for line in lines]))
    print(f"seed {options.seed}, {options.workers} worker(s), {options.layers} layers")
    sys.exit(0 if all(line[-1] == "yes" for line in lines) else 1)


def _sweep(options: argparse.Namespace, folder: Path) -> list[Any]:
    model = TINY["write_model"](
        folder / "model", "dnabert2", layers=options.layers, hidden=16, dropout=0.1
    )
    data = TINY["write_data"](folder / "data.parquet", train=160, held_out=64)

    def command(place: Path) -> Any:
        made = ("-m", model, "-d", data, "-o", place / "run", *SWEEP, *HERE)
        return Command(("sweep", *made, "--workers", options.workers), place)

    return _compared("sweep", command, folder / "undisturbed", folder / "killed", options)


def _prune(options: argparse.Namespace, folder: Path) -> list[Any]:
    def command(place: Path) -> Any:
        made = (place / "run", "-o", place / "slim", "--trainings", options.trainings)
        return Command(("prune", *made, *SEARCH, *HERE, "--workers", options.workers), place)

    places = [folder / "searched", folder / "killed-search"]
    for place in places:
        shutil.copytree(folder / "undisturbed" / "run", place / "run")
    return _compared("search", command, *places, options)


def _compared(
    what: str, command: Any, undisturbed: Path, killed: Path, options: argparse.Namespace
) -> list[Any]:
    """Return a line of the table."""
    whole, broken = command(undisturbed), command(killed)
    before = whole.written()
    seconds = whole.run()
    after = whole.written()
    found = kill_at_random(
        broken,
        kills=options.kills,
        before=before,
        after=after,
        pace=seconds / (after - before),
        seed=options.seed,
    )
    broken.run()
    alike = "yes" if findings(killed) == findings(undisturbed) else "NO"
    moments = " ".join(str(files - before) for files in found)
    return [what, len(found), moments, after - before, f"{seconds:.0f}", alike]


if __name__ == "__main__":
    main()
