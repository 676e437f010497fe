"""The variants whose windows are timed: a genome and variants in it that give windows of the data.

The data set holds finished windows. To time what a user waits for, from a variant in a genome to
a logit, a small genome is made of some windows laid end to end, so that cutting the alternate
window of variant i from it gives exactly window i.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..data.genome import Genome, alternate_window
from ..data.variant import Variant
from ..errors import GenoslimError
from ..files import write_text

_CONTIG = "timing"
_BASES = "ACGT"
_FASTA, _INDEX = "timing.fa", "timing.json"
MOST_WINDOWS, GPU_WINDOWS = 256, 10_000
"""Windows that are timed end to end; on a GPU 256 would be one batch."""


class Workload:
    """Some variants, and the genome they lie in; close it (or use `with`) when done.

    Their windows are windows of the data, until `extend` adds variants in between.
    """

    def __init__(self, folder: Path) -> None:
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        self.length: int = index["length"]
        self._genome = Genome(folder / _FASTA)
        self._variants = [Variant(_CONTIG, *fields) for fields in index["variants"]]
        self._further = [Variant(_CONTIG, *fields) for fields in index["further"]]

    def __len__(self) -> int:
        return len(self._variants)

    def __enter__(self) -> Workload:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the genome."""
        self._genome.close()

    def extend(self) -> None:
        """Take in the variants between those of the data: `GPU_WINDOWS` in all at most."""
        self._variants += self._further
        self._further = []

    def window(self, number: int) -> str:
        """Cut the window of one variant, as scoring does; numbers beyond the last start over."""
        variant = self._variants[number % len(self)]
        return alternate_window(self._genome, variant, self.length).sequence

    def windows(self) -> list[str]:
        """Cut every window."""
        return [self.window(number) for number in range(len(self))]

    def windows_of(self, length: int) -> list[str]:
        """Return as many windows of another length: the middle of each, or several end to end."""
        windows = self.windows()
        if length <= self.length:
            start = self.length // 2 - length // 2
            return [window[start : start + length] for window in windows]
        text = "".join(windows)
        text *= 1 + -(-length // len(text))
        starts = range(0, len(windows) * self.length, self.length)
        return [text[start : start + length] for start in starts]


def write_workload(
    sequences: Sequence[str], folder: Path, *, most: int = MOST_WINDOWS, seed: int = 0
) -> None:
    """Write the workload of up to `most` distinct windows, all of one length, drawn at random.

    With further variants for `extend`, whose windows straddle two of these.
    """
    distinct = sorted(set(sequences))
    if not distinct:
        raise GenoslimError("no window to time")
    drawn = np.random.default_rng(seed).permutation(len(distinct))[:most]
    chosen = [distinct[number] for number in drawn]
    length = len(chosen[0])
    index = length // 2
    alternates = [window[index] for window in chosen]
    references = ["C" if alternate == "A" else "A" for alternate in alternates]
    genome = "".join(
        window[:index] + reference + window[index + 1 :]
        for window, reference in zip(chosen, references, strict=True)
    )
    variants = [
        (number * length + index + 1, reference, alternate)
        for number, (reference, alternate) in enumerate(zip(references, alternates, strict=True))
    ]
    further = _between(genome, length, GPU_WINDOWS - len(variants), seed)
    write_text(folder / _FASTA, f">{_CONTIG}\n{genome}\n")
    content = {"length": length, "variants": variants, "further": further}
    write_text(folder / _INDEX, json.dumps(content))


def _between(genome: str, length: int, most: int, seed: int) -> list[tuple[int, str, str]]:
    """Draw up to `most` variants (position, reference, alternate) elsewhere in the genome."""
    first, last = length // 2, len(genome) - length + length // 2
    generator = np.random.default_rng(seed)
    places = generator.integers(first, last + 1, 4 * most)
    found: dict[tuple[int, str, str], None] = {}
    for place, step in zip(places.tolist(), generator.integers(1, 4, 4 * most), strict=True):
        reference = genome[place]
        if place % length != first and reference in _BASES and len(found) < most:
            alternate = _BASES[(_BASES.index(reference) + step) % 4]
            found[place + 1, reference, alternate] = None
    return list(found)
