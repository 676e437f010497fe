"""Splits by chromosome or by variant, never by row."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt

from ..errors import UsageError
from .dataset import Strings


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


def choose_chromosomes(
    contigs: Strings, labels: npt.NDArray[np.int8]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Choose contigs for validation (about a tenth of n rows) and test (about a fifth).

    Only contigs with both labels are chosen, and one is left for training. The choice depends on
    their names and numbers of rows alone. Raises UsageError if fewer than three have both labels.
    """
    sizes = Counter(contigs.tolist())
    both = set(contigs[labels == 0].tolist()) & set(contigs[labels == 1].tolist())
    if len(both) < 3:
        raise UsageError(
            f"no split named, and {len(both)} of {len(sizes)} chromosomes have both labels, which"
            " takes three: add a column (or INFO key) `split`, or choose"
            " --validation-chromosomes and --test-chromosomes, or --validation-fraction and"
            " --test-fraction"
        )
    order = sorted(both, key=_uniform)
    test = _filled(order, sizes, 0.2 * len(contigs), at_most=len(order) - 2)
    rest = [name for name in order if name not in test]
    return _filled(rest, sizes, 0.1 * len(contigs), at_most=len(rest) - 1), test


def _filled(
    order: list[str], sizes: Mapping[str, int], wanted: float, *, at_most: int
) -> tuple[str, ...]:
    """Take each contig in turn that brings the sum nearer to `wanted`, or else the smallest."""
    taken: list[str] = []
    total = 0
    for name in order:
        if len(taken) < at_most and abs(total + sizes[name] - wanted) < wanted - total:
            taken.append(name)
            total += sizes[name]
    return tuple(taken or [min(order, key=lambda name: sizes[name])])


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


def _uniform(text: str) -> float:
    """Return a number in [0, 1) that depends on the text alone, on any platform."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / (1 << 48)
