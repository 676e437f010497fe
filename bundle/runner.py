"""Run a graph: sequences in, logits out, in batches of near-equal lengths. Needs no torch."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import UsageError
from ..models.batches import batch_limits, batches
from ..models.tokenizer import SequenceTokenizer, refuse_one_string
from .machine import available_threads
from .sessions import open_session

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["GraphRunner", "random_windows"]

_LOG = logging.getLogger(__name__)


def random_windows(length: int, count: int) -> list[str]:
    """Return `count` windows of `length` random bases, the same ones every time."""
    letters = np.random.default_rng(0).choice(list("ACGT"), (count, length))
    return ["".join(window) for window in letters.tolist()]


class GraphRunner:
    """An ONNX classifier and its tokenizer.

    `device` is `cpu` or `cuda` (an error where it does not load: never a silent
    fall-back), or `auto` (CUDA where it loads); `backend` is `onnxruntime` or `openvino`.
    `provider` is what the session itself says it runs on, `batch_tokens` the default budget.
    `tf32` has float32 products on CUDA computed in TF32, and then says whether they are.
    """

    def __init__(
        self,
        graph: Path,
        tokenizer: SequenceTokenizer,
        *,
        device: str = "auto",
        threads: int | None = None,
        backend: str = "onnxruntime",
        tf32: bool = False,
    ) -> None:
        self.tokenizer = tokenizer
        self.threads: int = available_threads(threads)
        self.backend: str = backend
        self._session = open_session(
            graph, backend=backend, device=device, threads=self.threads, tf32=tf32
        )
        self.provider: str = self._session.provider
        self.tf32: bool = self._session.tf32
        self.num_labels: int = self._session.num_labels
        self.on_gpu: bool = self._session.on_gpu
        self.batch_tokens: int
        self.batch_tokens, self._multiple = batch_limits(gpu=self.on_gpu)
        where = f"{self.provider} in TF32" if self.tf32 else self.provider
        _LOG.info("%s: %s, %s, threads: %d", graph.name, backend, where, self.threads)

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} on {self.backend}, {self.provider}, threads: {self.threads}>"
        )

    def run(
        self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return logits [B, labels] of one padded batch: ids and mask, both int64 [B, T]."""
        return self._session.run(input_ids, attention_mask)

    def pad(self, rows: Sequence[NDArray[np.int64]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return ids and mask, both int64 [B, T], of rows of token ids, as batches are padded."""
        return self.tokenizer.pad(rows, multiple=self._multiple)

    def warm_up(self, length: int) -> None:
        """Run a batch of full size and a single window, both of `length` random bases."""
        (row,) = self.tokenizer.encode(random_windows(length, 1))
        for rows in (max(1, self.batch_tokens // len(row)), 1):
            self.run(*self.pad([row] * rows))

    def logits(
        self,
        sequences: Sequence[str],
        *,
        batch_tokens: int | None = None,
        batch_size: int | None = None,
    ) -> NDArray[np.float32]:
        """Return logits [n, labels] in the order of `sequences`, which may be empty.

        Equal sequences are computed once. Batches are made of near-equal token lengths and hold
        at most `batch_tokens` tokens, padding included (but one row at least), and at most
        `batch_size` rows.
        """
        refuse_one_string(sequences)
        if batch_tokens is None:
            batch_tokens = self.batch_tokens
        if batch_tokens < 1 or (batch_size is not None and batch_size < 1):
            raise UsageError(
                f"batch of {batch_tokens} tokens, {batch_size} rows; expected at least 1"
            )
        places = {sequence: place for place, sequence in enumerate(dict.fromkeys(sequences))}
        rows = self.tokenizer.encode(list(places))
        found = np.empty((len(rows), self.num_labels), np.float32)
        lengths, multiple = [len(row) for row in rows], self._multiple
        for batch in batches(lengths, tokens=batch_tokens, rows=batch_size, multiple=multiple):
            found[batch] = self.run(*self.pad([rows[place] for place in batch]))
        return found[np.fromiter((places[s] for s in sequences), np.intp, len(sequences))]
