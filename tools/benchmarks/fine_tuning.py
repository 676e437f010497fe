"""Sequences a second in fine-tuning (forward, backward, AdamW) by depth and width.

python tools/benchmarks/fine_tuning.py [--smoke] [--widths 128 256] [--depths 12 6 4] [--tokens 32]
                                 [--batch 32] [--threads N] [--repeats N]

Runs the training loop that `genoslim sweep` runs, its looks at the validation loss included, on
random tokens and networks of random weights. Depths take turns.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from _common import (
    HEADER,
    VOCABULARY,
    arguments,
    compared,
    interleaved,
    random_classifier,
    show,
    show_machine,
)

from genoslim.prune.finetune import Labelled, fine_tune_tokens
from genoslim.prune.recipe import Recipe
from genoslim.prune.tokens import TokenTable

_STEPS = 4


def main() -> None:
    """Measure every width, its depths in turns."""
    options = arguments(
        __doc__ or "", widths=(128, 256), depths=(12, 6, 4), tokens=(32,), batch=(32,)
    )
    if options.smoke:
        options.widths, options.depths, options.tokens, options.batch = [32], [3, 1], [8], [4]
    show_machine(options.threads)
    batch, tokens = options.batch[0], options.tokens[0]
    for width in options.widths:
        calls = {
            f"{depth} layers": _training(width, depth, batch, tokens) for depth in options.depths
        }
        times = interleaved(calls, options.repeats)
        title = f"{width} wide, {batch} x {tokens} tokens a step, {_STEPS} steps"
        show(title, HEADER, compared(times, _STEPS * batch, "sequences"))


def _training(width: int, layers: int, batch: int, tokens: int) -> Callable[[], object]:
    model = random_classifier(width=width, layers=layers)
    train, validation = (_random_rows(rows, tokens) for rows in (_STEPS * batch, 1))
    recipe = Recipe(epochs=1, batch_size=batch, warmup_steps=0)
    return lambda: fine_tune_tokens(model, train, validation, recipe, seed=0)


def _random_rows(rows: int, tokens: int) -> Labelled:
    generator = torch.Generator().manual_seed(rows)
    ids = torch.randint(5, VOCABULARY, (rows, tokens), generator=generator, dtype=torch.int16)
    table = TokenTable(ids, torch.full((rows,), tokens), torch.arange(tokens))
    return Labelled(table, torch.arange(rows) % 2)


if __name__ == "__main__":
    main()
