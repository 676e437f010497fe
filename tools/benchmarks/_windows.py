"""Real windows, their tokens, and the batches that are made of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from genoslim.data.genome import Genome, ReferenceMismatch, alternate_window
from genoslim.data.simulate import simulated_sequences
from genoslim.data.vcf import read_vcf
from genoslim.models import load_tokenizer
from genoslim.models.tokenizer import SequenceTokenizer

Batch = tuple[np.ndarray, np.ndarray]
"""Token ids and attention mask, both int64 [rows, tokens]."""


def windows_of(vcf: Path | None, fasta: Path | None, *, length: int, count: int) -> list[str]:
    """Return alternate sequences of SNVs spread evenly over a VCF, or simulated ones without it."""
    if vcf is None or fasta is None:
        return simulated_sequences(count, length, seed=0)
    with Genome(fasta) as genome:
        found = list(dict.fromkeys(_alternates(vcf, genome, length)))
    if len(found) < count:
        raise SystemExit(f"{vcf}: {len(found)} SNVs with a whole window; expected {count} or more")
    return spread(found, count)


def spread(windows: Sequence[str], count: int) -> list[str]:
    """Return `count` of the windows, evenly spread, in their order."""
    return [windows[place] for place in np.linspace(0, len(windows) - 1, count).astype(int)]


def _alternates(vcf: Path, genome: Genome, length: int) -> Iterator[str]:
    for record in read_vcf(vcf):
        for _, variant in record.variants():
            if len(variant.reference) != 1 or len(variant.alternate) != 1:  # no SNV
                continue
            try:
                window = alternate_window(genome, variant, length)
            except ReferenceMismatch:
                continue
            if not window.padded:
                yield window.sequence


def tokenizer_of(family: str, official: Path | None) -> SequenceTokenizer:
    """Return the published tokenizer from `official/<family>`, or the one that is shipped."""
    if official is None:
        return load_tokenizer(f"shipped:{family}")
    return SequenceTokenizer.from_folder(official / family)


@dataclass(frozen=True)
class Workload:
    """Windows to be scored in batches of at most `batch` rows.

    Everybody gets the tokens, nobody is timed making them.
    """

    windows: Sequence[str]
    tokenizer: SequenceTokenizer
    batch: int

    @cached_property
    def rows(self) -> list[np.ndarray]:
        """The token ids of each window, int64 [tokens]."""
        return self.tokenizer.encode(self.windows)

    @property
    def lengths(self) -> list[int]:
        """Tokens of each window."""
        return [len(row) for row in self.rows]

    @cached_property
    def in_order(self) -> list[Batch]:
        """Batches in the order of the windows, each padded to its longest row."""
        starts = range(0, len(self.rows), self.batch)
        return [self.tokenizer.pad(self.rows[start : start + self.batch]) for start in starts]

    @property
    def padding(self) -> float:
        """The share of `in_order` that is padding."""
        return 1 - sum(self.lengths) / sum(ids.size for ids, _ in self.in_order)


class Tokenised(SequenceTokenizer):
    """A tokenizer that looks known windows up, so that a runtime is timed without tokenising."""

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload.tokenizer.raw, max_tokens=workload.tokenizer.max_tokens)
        self._rows = dict(zip(workload.windows, workload.rows, strict=True))

    def encode(self, sequences: Sequence[str]) -> list[np.ndarray]:
        """Return the rows of windows of the workload."""
        return [self._rows[sequence] for sequence in sequences]
