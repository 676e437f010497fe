"""What the experiments share: their options, the simulated set, run folders."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from genoslim.data.simulate import simulate_data
from genoslim.prune.execution import Executor
from genoslim.prune.plan import SweepConfig, open_sweep
from genoslim.prune.recipe import Recipe
from genoslim.prune.run_folder import RunFolder

INLINE = Executor(workers=1, threads=1, device="cpu")
SPLITS = {"train": ("chr1", "chr2"), "validation": ("chr3", "chr4"), "test": ("chr5", "chr6")}


def arguments(description: str | None, families: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(description or "").split("\n", maxsplit=1)[0])
    parser.add_argument("-o", dest="out", type=Path, required=True)
    parser.add_argument("--families", nargs="+", default=families)
    parser.add_argument("--seeds", type=int, default=5, help="of the baseline, and of the search")
    parser.add_argument("--layer-seeds", type=int, default=3)
    parser.add_argument("--draws", type=int, default=1, help="random subsets of each size")
    parser.add_argument("--variants", type=int, default=4500)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--sizes", type=int, nargs="+", default=[6, 4, 3, 2])
    parser.add_argument("--smoke", action="store_true", help="minutes; figures mean nothing")
    options = parser.parse_args()
    if options.smoke:
        options.variants, options.epochs, options.sizes = 1500, 3, [3]
        options.seeds, options.layer_seeds = 2, 2
    return options


def simulated(options: argparse.Namespace) -> Path:
    """Simulate a set and split it so that about a third each is trained, chosen and tested on."""
    folder = options.out / f"data-{options.variants}"
    path = folder / "split.parquet"
    if not path.exists():
        data = simulate_data(folder, variants=options.variants, seed=0)
        contigs = np.asarray(data.variants.contig)
        split_of = {contig: split for split, names in SPLITS.items() for contig in names}
        splits = np.array([split_of[contig] for contig in contigs])
        replace(data, splits=splits).write(path)
    return path


def opened(options: argparse.Namespace, family: str, data: Path) -> RunFolder:
    """Open the run folder of a family: its baselines and, for a sweep, its layers."""
    recipe = Recipe(epochs=options.epochs, learning_rate=options.learning_rate)
    config = SweepConfig(
        model=f"shipped:{family}",
        data=data,
        recipe=recipe,
        seeds=options.seeds,
        layer_seeds=options.layer_seeds,
    )
    return open_sweep(options.out / family, config)
