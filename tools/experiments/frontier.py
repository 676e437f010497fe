"""How few layers are as good as all of them, and whether it matters which.

    python tools/experiments/frontier.py -o DIR [--families dnabert2 nt nt_v2] [--seeds 5]
        [--draws 1] [--smoke]

On a simulated set with more than 1,000 validation and test rows the whole search is repeated for
each seed: fine-tune the full model, train it on as a supernet, find a subset of each size by
its forward passes on validation, heal it from the better of the two. Beside it, trained alike: the
first layers, a random draw (another one for each seed), and the full model; and the full model
trained twice as long, and the chosen subsets from the pretrained weights. Nothing is chosen on
test. With `--draws` 2 or more, "any" is the best on validation of all subsets of a size, drawn ones
included, as in a search that asks the strategy `random` too.

Every training is a trial in DIR, so that the command goes on where it was ended; FAMILY.json and
the tables are of what is there. One torch thread.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from _common import INLINE, arguments, opened, simulated

from genoslim.files import write_json
from genoslim.prune.execution import run_trials
from genoslim.prune.plan import setting_of, spec_of
from genoslim.prune.run_folder import RunFolder
from genoslim.prune.strategies import beam
from genoslim.prune.subsets import draws, first
from genoslim.prune.trainings import Trainings
from genoslim.prune.trial import Trial, TrialSpec
from genoslim.stats.clustered import pooled_aurocs
from genoslim.stats.student import t_below, t_quantile
from genoslim.tables import table

FULL_ARMS = ("full", "full, twice as long", "full, healed")
NONINFERIOR = 0.02


@dataclass(frozen=True)
class Cell:
    """One trained model: `arm` says how it was made, `units` are layers times epochs trained."""

    family: str
    seed: int
    arm: str
    layers: int
    kept: tuple[int, ...]
    validation: float
    test: float
    units: float
    seconds: float
    trial: str


def main() -> None:
    """Measure every family, seed by seed; print its tables as they grow."""
    options = arguments(__doc__, ["dnabert2", "nt", "nt_v2"])
    data = simulated(options)
    runs = {family: opened(options, family, data) for family in options.families}
    cells: dict[str, list[Cell]] = {family: [] for family in runs}
    for seed in range(options.seeds):
        for family, run in runs.items():
            cells[family] += _pipeline(run, family, seed, options)
            write_json(options.out / f"{family}.json", [asdict(cell) for cell in cells[family]])
            print(f"\n{_tables(run, cells[family], options)}", flush=True)


def _pipeline(
    run: RunFolder, family: str, seed: int, options: argparse.Namespace
) -> Iterator[Cell]:
    """Train every arm of one seed, and yield what it reached."""
    run_trials(
        [spec_of(run, (), seed)],
        store=run.trials,
        setting=setting_of(run),
        executor=INLINE,
        keeps=lambda spec: True,
    )
    trainings = Trainings(run, run.folder / "search", INLINE, seed=seed)
    depth = trainings.depth
    longer = replace(
        trainings.teacher.spec,
        recipe=replace(trainings.teacher.spec.recipe, epochs=2 * options.epochs),
    )
    full = trainings.spec(trainings.full, "healed", seed)
    arms = {"full": trainings.teacher.spec, "full, healed": full}
    trainings.settle([trainings.supernet])
    supernet = trainings.find(trainings.supernet)
    path = beam(depth, trainings.probe(supernet, trainings.full))
    for size in options.sizes:
        drawn = draws(depth, size, options.draws, 1000 + seed)
        named = {"supernet": path[size], "first": first(depth, size), "random": drawn[0]}
        named |= {f"random draw {n}": kept for n, kept in enumerate(drawn[1:], start=2)}
        for name, kept in named.items():
            arms[f"{name} {size}"] = trainings.spec(kept, "healed", seed)
        if size in (4, 3):
            arms[f"supernet {size}, from pretrained"] = trainings.spec(
                path[size], "pretrained", seed
            )
    arms["full, twice as long"] = longer
    for arm, spec in arms.items():
        trainings.settle([spec])
        yield _cell(trainings, trainings.find(spec), family, seed, arm)
    yield _cell(trainings, supernet, family, seed, "supernet itself")


def _cell(trainings: Trainings, trial: Trial, family: str, seed: int, arm: str) -> Cell:
    spec = trial.spec
    kept = tuple(layer for layer in trainings.full if layer not in spec.dropped)
    layers = len(kept) if spec.supernet is None else _supernet_layers(spec, trainings.depth)
    return Cell(
        family=family,
        seed=seed,
        arm=arm,
        layers=len(kept),
        kept=kept,
        validation=trial.result.validation.auroc,
        test=trial.result.test.auroc,
        units=(spec.recipe.epochs or 0) * layers,
        seconds=trial.result.fine_tune_seconds,
        trial=spec.hash,
    )


def _supernet_layers(spec: TrialSpec, depth: int) -> float:
    """Return the layers that one step of a supernet trains, on average."""
    smallest = spec.supernet.smallest if spec.supernet else 0
    return depth + (smallest + 1 + depth - 1) / 2 + smallest


def _tables(run: RunFolder, cells: Sequence[Cell], options: argparse.Namespace) -> str:
    """Return the arms of a family, and what the search chose against the best full model."""
    cells = [*cells, *_chosen(cells, options.sizes)]
    by_arm: dict[str, list[Cell]] = {}
    for cell in cells:
        by_arm.setdefault(cell.arm, []).append(cell)
    rows = [
        [
            arm,
            *map(_spread, ([c.test for c in found], [c.validation for c in found])),
            _units(found),
        ]
        for arm, found in by_arm.items()
    ]
    seeds = len(by_arm["full"])
    best = max(FULL_ARMS, key=lambda arm: np.mean([c.test for c in by_arm[arm]]))
    heads = ["arm", "test AUROC", "validation AUROC", "layer-epochs"]
    depth = run.record.layers
    sweep = depth * (depth - 1) * options.epochs
    return "\n".join(
        [
            f"{cells[0].family}, {seeds} seeds: mean, sd (least to greatest)",
            table(heads, rows, width=110),
            f"search: {_search_units(cells, seeds):.0f} layer-epochs a seed; a sweep of one seed a"
            f" layer: {sweep}",
            f"against the best full model on test ({best}), t over seeds and rows:",
            table(
                [
                    "layers",
                    "",
                    "test AUROC",
                    "difference",
                    "95 % interval",
                    "p of a loss of 0.02",
                    "random",
                ],
                [
                    _against(run, by_arm, best, size, arm)
                    for size in options.sizes
                    for arm in ("chosen", "any")
                ],
                width=110,
            ),
        ]
    )


def _chosen(cells: Sequence[Cell], sizes: Sequence[int]) -> Iterator[Cell]:
    """Yield what a search takes for each seed and size: the better on validation, none random."""
    for size in sizes:
        for seed in sorted({cell.seed for cell in cells}):
            arms = (f"supernet {size}", f"first {size}")
            found = [c for c in cells if c.seed == seed and c.arm in arms]
            yield replace(max(found, key=lambda c: c.validation), arm=f"chosen {size}")
            found += [c for c in cells if c.seed == seed and _is_draw(c, size)]
            yield replace(max(found, key=lambda c: c.validation), arm=f"any {size}")


def _is_draw(cell: Cell, size: int) -> bool:
    return cell.arm.startswith("random") and cell.arm.endswith(f" {size}")


def _search_units(cells: Sequence[Cell], seeds: int) -> float:
    """Return the training of a search: the supernet, and two candidates of every size."""
    spent = [c.units for c in cells if c.arm.startswith("first") or c.arm.startswith("supernet")]
    twins = [c.units for c in cells if c.arm.endswith("from pretrained")]
    return (sum(spent) - sum(twins)) / seeds


def _against(
    run: RunFolder, by_arm: dict[str, list[Cell]], best: str, size: int, arm: str
) -> list[str]:
    chosen, full = by_arm[f"{arm} {size}"], by_arm[best]
    drawn = [cell for cells in by_arm.values() for cell in cells if _is_draw(cell, size)]
    value, low, high, p = _difference(run, chosen, full)
    return [
        str(size),
        arm,
        f"{np.mean([c.test for c in chosen]):.4f}",
        f"{value:+.4f}",
        f"{low:+.4f} to {high:+.4f}",
        f"{p:.2g}",
        f"{np.mean([c.test for c in drawn]):.4f}",
    ]


def _difference(
    run: RunFolder, slim: Sequence[Cell], full: Sequence[Cell]
) -> tuple[float, float, float, float]:
    """Compare on test: pairs of a seed share their teacher. Returns difference, interval, p.

    The variance is that of the rows (covariance of all AUROCs) and of the paired differences over
    seeds, s2 / n; degrees of freedom are Satterthwaite's.
    """
    rows = run.rows()["test"]
    scores = [_test(run, cell) for cell in (*slim, *full)]
    found = pooled_aurocs(rows.labels, np.column_stack(scores), rows.keys)
    count = len(slim)
    weights = np.repeat([1 / count, -1 / count], count)
    pairs = found.values[:count] - found.values[count:]
    parts = {len(rows.labels) - 1: float(weights @ found.covariance @ weights)}
    if count > 1:
        parts[count - 1] = float(np.var(pairs, ddof=1)) / count
    variance = sum(parts.values())
    freedom = variance**2 / sum(part**2 / df for df, part in parts.items())
    value, error = float(pairs.mean()), variance**0.5
    reach = t_quantile(0.975, freedom) * error
    return value, value - reach, value + reach, t_below((-NONINFERIOR - value) / error, freedom)


def _test(run: RunFolder, cell: Cell) -> np.ndarray:
    """Return the probabilities on the test rows of the trial of a cell."""
    for folder in (run.trials.folder, run.folder / "search" / "trials"):
        path = folder / cell.trial / "predictions.npz"
        if path.exists():
            with np.load(path) as arrays:
                probabilities: np.ndarray = arrays["test_probabilities"]
                return probabilities
    raise SystemExit(f"{cell.trial}: its predictions are gone")


def _spread(values: Sequence[float]) -> str:
    sd = f" {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.4f}{sd} ({min(values):.3f} to {max(values):.3f})"


def _units(cells: Sequence[Cell]) -> str:
    return f"{np.mean([cell.units for cell in cells]):.0f}"


if __name__ == "__main__":
    main()
