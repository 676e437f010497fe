"""Batches of near-equal length within a budget of tokens: one rule for all that runs a model.

Memory and time go with the tokens of a batch, padding included, whatever the length of its rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

__all__ = [
    "CPU_BATCH_TOKENS",
    "GPU_BATCH_TOKENS",
    "GPU_MULTIPLE",
    "batch_limits",
    "batches",
    "padded_length",
]

CPU_BATCH_TOKENS, GPU_BATCH_TOKENS = 1024, 16384
"""Default budgets of a batch: rows x longest row, in tokens."""

GPU_MULTIPLE = 16
"""What lengths are rounded up to on a GPU.

torch's memory-efficient attention copies a bias whose rows are no multiple of 8, and cuDNN's makes
a plan for every length that it meets.
"""

_SPREAD = 1.25  # the longest row of a batch is at most this much longer than its shortest


def batch_limits(*, gpu: bool) -> tuple[int, int]:
    """Return the default budget of a batch in tokens, and what its lengths are rounded up to."""
    return (GPU_BATCH_TOKENS, GPU_MULTIPLE) if gpu else (CPU_BATCH_TOKENS, 1)


def padded_length(longest: int, *, multiple: int = 1, limit: int | None = None) -> int:
    """Return the tokens that a batch with this longest row is padded to.

    The next multiple, but no more than `limit`, the most that a model takes.
    """
    rounded = -(-longest // multiple) * multiple
    return rounded if limit is None else max(longest, min(rounded, limit))


def batches(
    lengths: Sequence[int], *, tokens: int, rows: int | None = None, multiple: int = 1
) -> Iterator[list[int]]:
    """Yield the places of `lengths`, shortest first, in batches of near-equal lengths.

    A batch holds at most `tokens`, padding to a `multiple` included, but one row at least, and at
    most `rows` rows.
    """
    padded = [padded_length(length, multiple=multiple) for length in lengths]
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        longest = padded[place]
        full = len(batch) == rows or (len(batch) + 1) * longest > tokens
        if batch and (full or longest > _SPREAD * padded[batch[0]]):
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch
