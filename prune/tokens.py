"""Token tables: sequences encoded once, and batches of nearly equal length cut from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..models.batches import GPU_MULTIPLE, batch_limits, batches, padded_length
from ..models.tokenizer import SequenceTokenizer

_BUCKET_BATCHES = 50
"""Batches' worth of shuffled rows that are sorted by length before they are cut."""


@dataclass(frozen=True)
class TokenTable:
    """Encoded sequences on one device, right-padded once to the most that a batch can have.

    `ids` [n, widest] in the smallest integer type that holds the vocabulary, `lengths` int64[n] on
    the CPU, where batches are planned, and `positions` int64[widest]. The lengths of batches are
    rounded up to a `multiple`, within what the model takes.
    """

    ids: Tensor
    lengths: Tensor
    positions: Tensor
    multiple: int = 1

    @classmethod
    def encode(
        cls,
        tokenizer: SequenceTokenizer,
        sequences: Sequence[str],
        *,
        device: torch.device | None = None,
    ) -> TokenTable:
        """Encode sequences; raises what the tokenizer raises for one it cannot take."""
        rows = tokenizer.encode(sequences)
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        small = np.int16 if tokenizer.vocab_size <= np.iinfo(np.int16).max else np.int32
        widest = padded_length(
            int(lengths.max(initial=1)), multiple=GPU_MULTIPLE, limit=tokenizer.max_tokens
        )
        ids = np.full((len(rows), widest), tokenizer.pad_id, dtype=small)
        ids[np.arange(widest) < lengths[:, None]] = np.concatenate(rows) if rows else []
        table = cls(torch.from_numpy(ids), torch.from_numpy(lengths), torch.arange(widest))
        return table.to(device or torch.device("cpu"))

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def widest(self) -> int:
        """The tokens of a row in a batch that holds the longest row; 1 without rows."""
        return self.width(torch.arange(len(self))) if len(self) else 1

    def width(self, rows: Tensor) -> int:
        """Return the tokens T that each of `rows` int64[b] has in a batch of them."""
        longest = padded_length(int(self.lengths[rows].max()), multiple=self.multiple)
        return min(longest, self.ids.shape[1])

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return input ids int64 [b, T] of `rows` int64[b], and their mask int64 [b or 1, T].

        One row of the mask stands for all where these are of one length: whatever a network makes
        of it is then made once, and not held for every row.
        """
        lengths, width, device = self.lengths[rows], self.width(rows), self.ids.device
        if bool((lengths == lengths[0]).all()):
            lengths = lengths[:1]
        ids = self.ids[rows.to(device), :width].long()
        mask = (self.positions[:width] < lengths.to(device)[:, None]).long()
        return ids, mask

    def to(self, device: torch.device) -> TokenTable:
        """Return the table on `device`, where batches are then cut without a transfer."""
        ids, positions = self.ids.to(device), self.positions.to(device)
        _, multiple = batch_limits(gpu=device.type == "cuda")
        return replace(self, ids=ids, positions=positions, multiple=multiple)

    def by_length(self, tokens: int) -> list[Tensor]:
        """Return the rows in order of length, in batches of at most `tokens`, but one row at least.

        Padding is counted.
        """
        cut = batches(self.lengths.tolist(), tokens=tokens, multiple=self.multiple)
        return [torch.tensor(batch) for batch in cut]

    def shuffled(self, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
        """Yield one epoch of batches of nearly equal length, in an order drawn from `generator`.

        Rows are shuffled, sorted by length within blocks of 50 batches, cut, and the batches
        shuffled: each row comes once, and the smaller rest of the rows is a batch too.
        """
        order = torch.randperm(len(self), generator=generator)
        batches: list[Tensor] = []
        for block in torch.split(order, batch_size * _BUCKET_BATCHES):
            by_length = block[torch.argsort(self.lengths[block], stable=True)]
            batches.extend(torch.split(by_length, batch_size))
        for index in torch.randperm(len(batches), generator=generator).tolist():
            yield batches[index]
