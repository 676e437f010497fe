"""What the floors of a benchmark reach on simulated sets, or on a data set.

    python tools/floors.py --variants 8000 --seeds 0 1 2
    python tools/floors.py -d mpra.parquet --seeds 0

A seed is that of the simulated set. Prints the mean over seeds with the least and the greatest, the
best on validation first; k layers are the first of a shipped model, frozen.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from genoslim.bench.floors import Base, measure_floors
from genoslim.data.dataset import LabelledData, read_data
from genoslim.data.simulate import simulate_data
from genoslim.tables import table


def main() -> None:
    """Measure every seed and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("-d", "--data", type=Path, help="A data set, instead of simulated ones.")
    parser.add_argument("--variants", type=int, default=8000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--models", nargs="*", default=["shipped:dnabert2", "shipped:nt"])
    parser.add_argument("--layers", type=int, nargs="+", default=[12, 3])
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    bases = [Base(name, name, None, tuple(sorted(options.layers))) for name in options.models]
    found: dict[str, list[tuple[float, float]]] = {}
    for seed in options.seeds:
        floors, _ = measure_floors(
            _data(options, seed),
            bases,
            choice="all",
            threads=options.threads,
            progress=lambda step: print(step, file=sys.stderr),
        )
        for one in floors.floors:
            found.setdefault(one.name, []).append((one.validation, one.test.value))
    order = sorted(found, key=lambda name: -np.mean(found[name], axis=0)[0])
    rows = [(name, *map(_spread, zip(*found[name], strict=True))) for name in order]
    print(table(("floor", f"validation {floors.measure}", "test"), rows, width=200))


def _data(options: argparse.Namespace, seed: int) -> LabelledData:
    if options.data is not None:
        return read_data(options.data)
    with TemporaryDirectory() as folder:
        return simulate_data(Path(folder), variants=options.variants, seed=seed)


def _spread(values: Sequence[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


if __name__ == "__main__":
    main()
