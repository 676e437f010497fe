"""Fine-tuning: the loop of `genoslim sweep` on networks of random weights, by shape and precision.

DNABERT-2 117M (768 wide) and the Nucleotide Transformer v2 50M (512 wide), the first k of their 12
layers, rows of random tokens, all of one length; the clock runs over whole steps, optimiser
included, once the first two are made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from statistics import median

from _arithmetic import plain_operations

from genoslim.models.classifier import NativeClassifier
from genoslim.models.precision import Precision
from genoslim.prune.finetune import fine_tune_tokens
from genoslim.prune.recipe import Recipe

from .context import Context, StepClock, random_tokens
from .networks import NETWORKS, random_network
from .prepared import random_rows
from .record import Row

_WARM = 2
_PASSES = 3
"""A step is a forward and a backward pass: about three times the products of a forward pass."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """A short training: a network of random weights, and the rows of a step."""

    network: str
    layers: int
    tokens: int
    batch: int
    precision: Precision

    def run(self, context: Context, steps: int) -> Row:
        """Make some steps; return their times, the rate and the peak of memory."""
        model = random_network(self.network, self.layers, context.device, small=context.sizes.small)
        rows = self.batch * steps
        vocabulary = model.config.vocab_size
        train, watched = (
            random_rows(count, self.tokens, random_tokens(count, self.tokens, vocabulary), device)
            for count, device in ((rows, context.device), (1, context.device))
        )
        recipe = Recipe(epochs=1, batch_size=self.batch, warmup_steps=0, precision=self.precision)
        clock = StepClock(context)
        with context.peak() as peak:
            tuned = fine_tune_tokens(model, train, watched, recipe, seed=0, progress=clock)
            most = peak()
        times = clock.seconds()
        step = median(times[_WARM - 1 :])
        return {
            "step_ms": step * 1000,
            "steps": len(times[_WARM - 1 :]),
            "second_step_ms": times[0] * 1000,
            "sequences_per_second": self.batch / step,
            "tflop_per_second": self._operations(model) / step / 1e12,
            "peak_bytes": most,
            "micro_batch": tuned.micro_batch,
        }

    def _operations(self, model: NativeClassifier) -> int:
        return _PASSES * plain_operations(model.config, [self.tokens] * self.batch)


def measure(context: Context) -> Iterator[Row]:
    """Yield a row for each network, length, depth and precision."""
    sizes = context.sizes
    for network, tokens, layers, precision in product(
        NETWORKS, sizes.tokens, sizes.layers, context.precisions
    ):
        training = Training(
            network=network, layers=layers, tokens=tokens, batch=sizes.batch, precision=precision
        )
        row: Row = {
            "network": network,
            "layers": layers,
            "tokens": tokens,
            "batch": sizes.batch,
            "precision": precision,
        }
        yield context.attempt(row, partial(training.run, context, sizes.training_steps))
