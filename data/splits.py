"""Splits by chromosome or by variant, never by row, and the check that none leaks into another."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from itertools import combinations

import numpy as np
import numpy.typing as npt

from ..errors import GateError, UsageError
from .dataset import LabelledData, Strings


class Leakage(GateError):  # noqa: N818
    """Two splits of a data set share a variant, or overlapping windows."""


def split_by_chromosome(
    contigs: Strings, *, validation: Collection[str], test: Collection[str]
) -> Strings:
    """Return a split name for each of n contigs; what is named nowhere is `train`.

    Raises UsageError if a contig is named twice or is not there at all.
    """
    if both := set(validation) & set(test):
        raise UsageError(f"{', '.join(sorted(both))}: named for both validation and test")
    if absent := (set(validation) | set(test)) - set(contigs.tolist()):
        raise UsageError(
            f"no variant on {', '.join(sorted(absent))};"
            f" the data has {', '.join(sorted(set(contigs.tolist())))}"
        )
    splits = np.full(len(contigs), "train", dtype="<U10")
    splits[np.isin(contigs, list(validation))] = "validation"
    splits[np.isin(contigs, list(test))] = "test"
    return splits


def split_by_variant(keys: Strings, *, validation: float, test: float, seed: int = 0) -> Strings:
    """Return a split name for each of n variant keys; equal keys fall into one split.

    `validation` and `test` are the expected fractions. The split depends on the key and the seed
    alone, so adding or reordering rows moves no variant. Windows of near variants may overlap.
    """
    if min(validation, test) < 0 or validation + test >= 1:
        raise UsageError(
            f"fractions validation {validation} and test {test}:"
            " expected 0 or more each, and less than 1 together"
        )
    place = np.array([_uniform(f"{seed}:{key}") for key in keys.tolist()], dtype=np.float64)
    names = np.where(place < validation, "validation", "train")
    return np.where(place >= 1 - test, "test", names)


def check_leakage(data: LabelledData, *, windows: bool = True) -> None:
    """Raise Leakage if two splits share a variant or, with `windows`, overlapping windows.

    Two windows overlap if they cover a common base of the genome, which leaves out the padding
    only as far as both cover it. The message counts the rows and shows one pair.
    """
    _check_variants(data)
    if windows:
        _check_windows(data)


def _check_variants(data: LabelledData) -> None:
    for first, second, rows_first, rows_second in _pairs(data):
        shared = np.intersect1d(data.keys[rows_first], data.keys[rows_second])
        if len(shared):
            raise Leakage(
                f"{len(shared)} variants are in both {first} and {second}, such as {shared[0]}:"
                " split by chromosome or by variant, not by row"
            )


def _check_windows(data: LabelledData) -> None:
    starts, ends = _spans(data)
    for first, second, rows_first, rows_second in _pairs(data):
        other_starts, other_ends = np.sort(starts[rows_second]), np.sort(ends[rows_second])
        begun = np.searchsorted(other_starts, ends[rows_first], side="left")
        over = np.searchsorted(other_ends, starts[rows_first], side="right")
        hits = rows_first[begun > over]
        if len(hits):
            example = hits[0]
            meets = (starts[rows_second] < ends[example]) & (ends[rows_second] > starts[example])
            raise Leakage(
                f"{len(hits)} windows of {first} overlap windows of {second}, such as those of"
                f" {data.keys[example]} and {data.keys[rows_second[meets][0]]}"
                f" ({data.metadata.window_length} bases each): split by chromosome"
            )


def _spans(data: LabelledData) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return where each window starts and ends, contigs laid end to end with gaps between."""
    length = data.metadata.window_length
    starts = data.variants.position - 1 - length // 2
    reference = np.char.str_len(data.variants.reference).astype(np.int64)
    alternate = np.char.str_len(data.variants.alternate).astype(np.int64)
    after = np.maximum(0, length - length // 2 - alternate)
    ends = data.variants.position - 1 + reference + after
    contig = np.unique(data.variants.contig, return_inverse=True)[1].astype(np.int64)
    offset = contig * (int(ends.max(initial=0)) + length + 1)
    return starts + offset, ends + offset


def _pairs(
    data: LabelledData,
) -> Iterator[tuple[str, str, npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    for first, second in combinations(data.split_counts, 2):
        yield (
            first,
            second,
            np.flatnonzero(data.splits == first),
            np.flatnonzero(data.splits == second),
        )


def _uniform(text: str) -> float:
    """Return a number in [0, 1) that depends on the text alone, on any platform."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / (1 << 48)
