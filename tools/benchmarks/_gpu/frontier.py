"""How many rows of a training step fit into the memory of the GPU at once.

`genoslim` takes no more than 16,384 tokens at once; this asks what a card would hold. The peak at
two numbers of rows gives what a row takes and what does not depend on rows; from these follows the
largest number that fits, and a step of 85 % of it is made to see whether it does.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import product

import torch
from torch.nn import functional

from genoslim.models.precision import Precision, autocast, float32_products

from .context import Context, random_tokens
from .networks import random_network
from .record import Row

_SHARE = 0.85


def measure(context: Context) -> Iterator[Row]:
    """Yield a row for each length, depth and precision."""
    sizes = context.sizes
    precisions = [name for name in ("bf16", "fp32") if name in context.precisions]
    depths = (max(sizes.layers), min(sizes.layers))
    for (tokens, rows), layers, precision in product(sizes.frontier, depths, precisions):
        row: Row = {"tokens": tokens, "layers": layers, "precision": precision}
        yield context.attempt(row, partial(_one, context, layers, tokens, precision, rows))


def _one(context: Context, layers: int, tokens: int, precision: Precision, rows: int) -> Row:
    peak_of = partial(_peak, context, layers, tokens, precision)
    few, many = peak_of(rows), peak_of(2 * rows)
    if few is None or many is None:
        return {"note": "peaks are known on CUDA only"}
    a_row = (many - few) / rows
    fixed = few - rows * a_row
    total = torch.cuda.get_device_properties(context.device).total_memory
    most = int((total - fixed) / a_row)
    tried = max(1, int(_SHARE * most))
    return {
        "bytes_per_row": a_row,
        "fixed_bytes": fixed,
        "total_bytes": total,
        "rows_by_arithmetic": most,
        "rows_tried": tried,
        "peak_bytes": peak_of(tried),
    }


def _peak(
    context: Context, layers: int, tokens: int, precision: Precision, rows: int
) -> int | None:
    """Return the peak of two steps of AdamW on some rows; None on a CPU."""
    model = random_network("dnabert2", layers, context.device, small=context.sizes.small).train()
    optimiser = torch.optim.AdamW(model.parameters(), fused=True)
    ids = random_tokens(rows, tokens, model.config.vocab_size).to(context.device)
    labels = torch.arange(rows, device=context.device) % 2
    with context.peak() as peak, float32_products(precision, context.device):
        for _ in range(2):
            with autocast(precision, context.device):
                logits = model(ids, torch.ones_like(ids[:1]))
            functional.cross_entropy(logits.float(), labels).backward()
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        context.synchronise()
        return peak()
