"""Sequences a second in fine-tuning: our loop against transformers' Trainer.

    python tools/benchmarks/trainer.py [--smoke] [--depths 12 9 6 3] [--batch 8] [--windows 64]
        [--vcf IN.vcf.gz --fasta REF.fa] [--official DIR] [--threads N] [--repeats N]

One epoch of DNABERT-2 (768 wide, random weights) on windows of 512 bp, in float32 on the CPU, by
turns. Trainer has its defaults but for the batch: random batches padded to their longest row. It
runs the plain network, every position through every layer by torch's own operators (see
_networks.py), or with `--same-network` ours. Both clip the gradient at 1, and nothing is evaluated
(ours: one row). Of Trainer only the epoch itself is timed, of ours all.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from _common import HEADER, arguments, compared, interleaved, show, show_machine
from _networks import CONFIGS, SMALL, PlainNetwork
from _windows import tokenizer_of, windows_of
from torch import Tensor, nn
from torch.nn import functional
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from genoslim.models import kernels
from genoslim.models.checkpoint import new_classifier
from genoslim.models.classifier import Classifier, NativeClassifier
from genoslim.models.tokenizer import SequenceTokenizer
from genoslim.prune.finetune import Labelled, fine_tune_tokens
from genoslim.prune.recipe import Recipe
from genoslim.prune.tokens import TokenTable

WINDOW = 512
RATE = 3e-5
DECAY = 0.01


def main() -> None:
    """Compare at every depth."""
    options = arguments(__doc__ or "", _extend, depths=(12, 9, 6, 3), batch=(8,), windows=(64,))
    if options.smoke:
        options.depths, options.windows = [3, 2], [16]
    logging.getLogger("transformers").setLevel(logging.ERROR)
    show_machine(options.threads)
    batch, count = options.batch[0], options.windows[0]
    tokenizer = tokenizer_of("dnabert2", options.official)
    windows = windows_of(options.vcf, options.fasta, length=WINDOW, count=count)
    rows = tokenizer.encode(windows)
    print(_described(rows, batch))
    for depth in options.depths:
        trainer = _Trainer(
            _model(depth, options.smoke), tokenizer, rows, batch, plain=not options.same_network
        )
        ours = _ours(_model(depth, options.smoke), tokenizer, windows, batch)
        calls = {"Trainer": trainer, "ours": ours}
        trainer.renew()
        times = interleaved(calls, options.repeats, before=trainer.renew)
        times["Trainer"] = trainer.clock.seconds[-options.repeats :]
        show(f"{depth} layers, batches of {batch}", HEADER, compared(times, count, "sequences"))


def _extend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--vcf", type=Path, help="windows of its SNVs in place of simulated ones")
    parser.add_argument("--fasta", type=Path, help="the reference of --vcf")
    parser.add_argument("--official", type=Path, help="folder of the published tokenizers")
    parser.add_argument("--same-network", action="store_true", help="Trainer runs our network")


def _model(layers: int, small: bool) -> NativeClassifier:
    settings = CONFIGS["dnabert2"] | (SMALL if small else {}) | {"num_hidden_layers": layers}
    model = new_classifier(settings)
    assert isinstance(model, NativeClassifier)
    return model


def _described(rows: Sequence[np.ndarray], batch: int) -> str:
    """Say how long the windows are in tokens and what random batches of them waste."""
    lengths = np.array([len(row) for row in rows])
    shuffled = np.random.default_rng(0).permuted(np.tile(lengths, (100, 1)), axis=1)
    whole = shuffled[:, : len(lengths) // batch * batch].reshape(-1, batch)
    waste = 1 - whole.sum() / (whole.max(axis=1).sum() * batch)
    return (
        f"{len(rows)} windows of {WINDOW} bp, {lengths.mean():.0f} tokens ({lengths.min()} to"
        f" {lengths.max()}); {waste:.1%} of a random batch of {batch} is padding"
    )


def _ours(
    model: Classifier, tokenizer: SequenceTokenizer, windows: Sequence[str], batch: int
) -> Callable[[], object]:
    tokens = TokenTable.encode(tokenizer, windows)
    train = Labelled(tokens, torch.arange(len(windows)) % 2)
    validation = Labelled(TokenTable.encode(tokenizer, windows[:1]), torch.zeros(1).long())
    recipe = Recipe(
        epochs=1, batch_size=batch, learning_rate=RATE, weight_decay=DECAY, warmup_steps=0
    )
    return lambda: fine_tune_tokens(model, train, validation, recipe, seed=0)


class _WithLoss(nn.Module):
    """What Trainer asks of a network: the loss beside the logits."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor
    ) -> dict[str, Tensor]:
        """Return the cross-entropy (nats) and the logits [B, labels]."""
        logits = self.network(input_ids, attention_mask)
        return {"loss": functional.cross_entropy(logits, labels), "logits": logits}


class _Clock(TrainerCallback):
    """Times epochs: what Trainer does before and after them counts for nothing in a long run."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_epoch_begin(self, *_: object, **__: object) -> None:
        self.begun = time.perf_counter()

    def on_epoch_end(self, *_: object, **__: object) -> None:
        self.seconds.append(time.perf_counter() - self.begun)


class _Trainer:
    """Trainer on encoded windows."""

    def __init__(
        self, model: NativeClassifier, tokenizer: SequenceTokenizer, rows: Sequence[np.ndarray],
        batch: int, *, plain: bool,
    ) -> None:  # fmt: skip
        self.network = _WithLoss(PlainNetwork(model) if plain else model)
        self.kernels = _torchs_own if plain else nullcontext
        self.tokenizer = tokenizer
        self.batch = batch
        self.clock = _Clock()
        self.examples = [(row, number % 2) for number, row in enumerate(rows)]

    def renew(self) -> None:
        """Make the trainer of the next call."""
        settings = TrainingArguments(
            output_dir=tempfile.gettempdir(),
            per_device_train_batch_size=self.batch,
            num_train_epochs=1,
            learning_rate=RATE,
            weight_decay=DECAY,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
            dataloader_pin_memory=False,
            remove_unused_columns=False,
        )
        self.trainer = Trainer(
            model=self.network,
            args=settings,
            train_dataset=self.examples,
            data_collator=self._padded,
            callbacks=[self.clock],
        )
        self.trainer.remove_callback(PrinterCallback)

    def __call__(self) -> object:
        """Train one epoch."""
        with self.kernels():
            return self.trainer.train()

    def _padded(self, chosen: Sequence[tuple[np.ndarray, int]]) -> dict[str, Tensor]:
        rows, labels = zip(*chosen, strict=True)
        ids, mask = map(torch.from_numpy, self.tokenizer.pad(rows))
        return {"input_ids": ids, "attention_mask": mask, "labels": torch.tensor(labels)}


@contextmanager
def _torchs_own() -> Iterator[None]:
    """Let linear layers and dropout be those of torch."""
    with (
        mock.patch.object(kernels, "_ONE_DNN", False),
        mock.patch.object(kernels.Dropout, "forward", nn.Dropout.forward),
    ):
        yield


if __name__ == "__main__":
    main()
