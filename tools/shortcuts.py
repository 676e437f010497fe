"""What linear models, and a fine-tuned one, reach on simulated sets, whole and by kind of variant.

    python tools/shortcuts.py --variants 8000 --seeds 0 1 2 3 4
    python tools/shortcuts.py --variants 4000 --seeds 0 1 2 --models dnabert2 nt --layers 12 6 3 1

A seed is that of the simulated set and of the fine-tuning; `--layers` keeps the first layers of a
shipped model. Prints means over the seeds with the least and the greatest.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import numpy.typing as npt

from genoslim.data.dataset import LabelledData
from genoslim.data.shortcuts import fit_shortcuts
from genoslim.data.simulate import KINDS, simulate_data
from genoslim.stats.ranks import auroc
from genoslim.tables import table

COLUMNS = ("validation", "test", *(kind for kind in KINDS if kind != "broken"))


def main() -> None:
    """Measure every seed and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--variants", type=int, default=8000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--models", nargs="*", default=[])
    parser.add_argument("--layers", type=int, nargs="+", default=[12])
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    options = parser.parse_args()
    found: dict[str, list[list[float]]] = {}
    for seed in options.seeds:
        for name, values in _measured(options, seed):
            found.setdefault(name, []).append(values)
    rows = [(name, *map(_spread, zip(*values, strict=True))) for name, values in found.items()]
    print(table(("AUROC", *COLUMNS), rows, width=200))
    print(f"{options.variants} variants, seeds {options.seeds}; a kind against `broken`, test rows")


def _measured(options: argparse.Namespace, seed: int) -> Iterator[tuple[str, list[float]]]:
    with TemporaryDirectory() as folder:
        data = simulate_data(Path(folder), variants=options.variants, seed=seed)
    for shortcut in fit_shortcuts(data):
        yield shortcut.name, _aurocs(data, shortcut.scores)
    for model in options.models:
        for layers in options.layers:
            scores = _fine_tuned(options, data, model, layers, seed)
            yield f"{model}, first {layers} layers", _aurocs(data, scores)


def _fine_tuned(
    options: argparse.Namespace, data: LabelledData, name: str, layers: int, seed: int
) -> npt.NDArray[np.float64]:
    from genoslim.models import load, load_tokenizer
    from genoslim.models.layers import remove_layers
    from genoslim.prune.finetune import fine_tune, predict
    from genoslim.prune.recipe import Recipe

    source = f"shipped:{name}"
    model, tokenizer = load(source, seed=seed), load_tokenizer(source)
    dropped = range(layers, model.config.num_hidden_layers)
    model = remove_layers(model, dropped) if dropped else model
    recipe = Recipe(epochs=options.epochs, learning_rate=options.learning_rate)
    fine_tune(model, tokenizer, data, recipe, seed=seed)
    logits = predict(model, tokenizer, data.sequences).astype(np.float64)
    scores: npt.NDArray[np.float64] = logits[:, 1] - logits[:, 0]
    return scores


def _aurocs(data: LabelledData, scores: npt.NDArray[np.float64]) -> list[float]:
    test, kind = data.splits == "test", data.subgroups["kind"]
    parts = [data.splits == "validation", test]
    parts += [test & np.isin(kind, ["broken", other]) for other in COLUMNS[2:]]
    return [auroc(data.labels[part], scores[part]) for part in parts]


def _spread(values: tuple[float, ...]) -> str:
    return f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


if __name__ == "__main__":
    main()
