"""Token tables: sequences encoded once, and batches of nearly equal length cut from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..models.tokenizer import SequenceTokenizer

_BUCKET_BATCHES = 50
"""Batches' worth of shuffled rows that are sorted by length before they are cut."""


@dataclass(frozen=True)
class TokenTable:
    """Encoded sequences on one device, right-padded once to the longest of them.

    `ids` [n, longest] in the smallest integer type that holds the vocabulary, `lengths`
    int64[n] on the CPU, where batches are planned, and `positions` int64[longest].
    """

    ids: Tensor
    lengths: Tensor
    positions: Tensor

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
        ids = np.full((len(rows), int(lengths.max(initial=1))), tokenizer.pad_id, dtype=small)
        ids[np.arange(ids.shape[1]) < lengths[:, None]] = np.concatenate(rows) if rows else []
        positions = torch.arange(ids.shape[1], device=device)
        return cls(torch.from_numpy(ids).to(device), torch.from_numpy(lengths), positions)

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return input ids and attention mask, int64 [b, longest of these], of `rows` int64[b]."""
        lengths = self.lengths[rows]
        longest = int(lengths.max())
        device = self.ids.device
        ids = self.ids[rows.to(device), :longest].long()
        mask = (self.positions[:longest] < lengths.to(device)[:, None]).long()
        return ids, mask

    def to(self, device: torch.device) -> TokenTable:
        """Return the table on `device`, where batches are then cut without a transfer."""
        return TokenTable(self.ids.to(device), self.lengths, self.positions.to(device))

    def by_length(self, batch_size: int) -> list[Tensor]:
        """Return the rows in order of length, cut into batches: the least padding there can be."""
        order = torch.argsort(self.lengths, stable=True)
        return list(torch.split(order, batch_size))

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
