"""What int8 costs a slim model, and whether fine-tuning with int8 in the loop wins it back.

    python tools/experiments/quantised.py -o DIR [--families dnabert2 nt] [--seeds 5]

Of every family the first three layers are fine-tuned on the simulated set, over several seeds.
Each is put into int8 as it is; after two more epochs of plain fine-tuning, which cost the same as
what they are the control of; and after two epochs with int8 in the loop. All are the graphs that
`genoslim export` makes, run by ONNX Runtime on the test split. Differences are by seed; intervals
are Student's t over seeds, 95 %, of this one data set. One torch thread.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from _common import arguments, simulated

from genoslim.bundle.runner import GraphRunner
from genoslim.data.dataset import LabelledData, read_data
from genoslim.export.precision import convert
from genoslim.export.trace import trace
from genoslim.models import load, load_tokenizer
from genoslim.models.classifier import Classifier
from genoslim.models.fake_quantisation import int8_rounding
from genoslim.models.layers import remove_layers
from genoslim.models.tokenizer import SequenceTokenizer
from genoslim.prune.finetune import Labelled, fine_tune_tokens, predict_tokens
from genoslim.prune.int8 import EPOCHS
from genoslim.prune.recipe import Recipe
from genoslim.stats.ranks import auroc
from genoslim.stats.student import t_quantile
from genoslim.tables import table

LAYERS = 3
RATES = (1e-4, 3e-4, 1e-3)
"""Learning rates of the two epochs; validation chooses among them, for plain and int8 apart."""

Logits = np.ndarray
Aurocs = dict[str, float]
EXACT, PLAIN = "float32", "int8"
LONGER, LOOP = "int8, two epochs more", "int8, two epochs with int8 in the loop"
"""What is compared."""


def main() -> None:
    """Train, put into int8 in every way, and print a table a family."""
    torch.set_num_threads(1)
    options = arguments(__doc__, ["dnabert2", "nt"])
    data = read_data(simulated(options))
    recipe = Recipe(epochs=options.epochs, learning_rate=options.learning_rate)
    for family in options.families:
        trials = [_Trial(family, seed, data, recipe, options.out) for seed in range(options.seeds)]
        found = [dict(trial.run()) for trial in trials]
        print(f"\n{family}, {LAYERS} layers, {options.seeds} seeds\n{_report(found)}", flush=True)


class _Trial:
    """One seed of a family's slim model."""

    def __init__(
        self, family: str, seed: int, data: LabelledData, recipe: Recipe, folder: Path
    ) -> None:
        self.seed, self.recipe, self.folder = seed, recipe, folder
        self.source = f"shipped:{family}"
        self.tokenizer: SequenceTokenizer = load_tokenizer(self.source)
        self.splits = {name: data.split(name) for name in ("train", "validation", "test")}
        self.rows = {
            name: Labelled.encode(self.tokenizer, split) for name, split in self.splits.items()
        }

    def run(self) -> Iterator[tuple[str, tuple[float, float]]]:
        """Yield the AUROC on test of every form, and its mean logit difference from float32."""
        model = load(self.source, num_labels=2, seed=self.seed, fresh_head=True)
        remove_layers(model, range(LAYERS, len(model.blocks)))
        self._tune(model, self.recipe, rounding=False)
        exact = self._logits(model, "test", precision=EXACT)
        yield EXACT, (self._auroc(exact, "test"), 0.0)
        yield PLAIN, self._judged(model, exact)
        for name, rounding in ((LONGER, False), (LOOP, True)):
            yield name, self._judged(self._longer(model, rounding=rounding), exact)

    def _longer(self, model: Classifier, *, rounding: bool) -> Classifier:
        """Return the model after two epochs more, at the rate best in int8 on validation."""
        tried = []
        for rate in RATES:
            again = copy.deepcopy(model)
            self._tune(again, Recipe(epochs=EPOCHS, learning_rate=rate), rounding=rounding)
            with int8_rounding(again):
                logits = predict_tokens(again, self.rows["validation"].tokens)
            tried.append((self._auroc(logits, "validation"), again))
        return max(tried, key=lambda each: each[0])[1]

    def _tune(self, model: Classifier, recipe: Recipe, *, rounding: bool) -> None:
        with int8_rounding(model) if rounding else nullcontext():
            train, validation = self.rows["train"], self.rows["validation"]
            fine_tune_tokens(model, train, validation, recipe, seed=self.seed)

    def _judged(self, model: Classifier, exact: Logits) -> tuple[float, float]:
        logits = self._logits(model, "test", precision=PLAIN)
        return self._auroc(logits, "test"), float(np.abs(logits - exact).mean())

    def _auroc(self, logits: Logits, split: str) -> float:
        return auroc(self.splits[split].labels, logits[:, 1] - logits[:, 0])

    def _logits(self, model: Classifier, split: str, *, precision: str) -> Logits:
        """Return the logits of a model's exported graph."""
        graph = self.folder / "graph.onnx"
        trace(model.eval(), graph)
        if precision == PLAIN:
            convert(graph, self.folder / "int8.onnx", "int8")
            graph = self.folder / "int8.onnx"
        runner = GraphRunner(graph, self.tokenizer, device="cpu", threads=1)
        return runner.logits(self.splits[split].sequences)


def _report(found: list[dict[str, tuple[float, float]]]) -> str:
    """Return a table: AUROC, its differences by seed, and how far logits are from float32."""
    heads = ["", "AUROC on test", "less float32's", "less the control's", "mean logit difference"]
    return table(heads, [_row(name, found) for name in found[0]], width=110)


def _row(name: str, found: list[dict[str, tuple[float, float]]]) -> list[str]:
    own, exact, control = (
        np.array([seed[form][0] for seed in found]) for form in (name, EXACT, LONGER)
    )
    moved = np.mean([seed[name][1] for seed in found])
    return [
        name,
        _mean(own, digits=3),
        "" if name == EXACT else _mean(own - exact, digits=4),
        _mean(own - control, digits=4) if name == LOOP else "",
        "" if name == EXACT else f"{moved:.4f}",
    ]


def _mean(values: np.ndarray, *, digits: int) -> str:
    """Return a mean over seeds with its interval."""
    reach = t_quantile(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    mean = values.mean()
    return f"{mean:.{digits}f} ({mean - reach:.{digits}f} to {mean + reach:.{digits}f})"


if __name__ == "__main__":
    main()
