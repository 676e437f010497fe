"""What lets a model look better than it is: splits that share rows, and shortcuts of padding.

Two splits leak into one another by variants, by windows that cover a common base, and by windows
of the same sequence elsewhere in the genome. Beside that, the number of N in a window, which is
how far it reaches over the end of its contig, may tell the classes apart without any biology.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations

import numpy as np
import numpy.typing as npt

from ..errors import GateError, GenoslimError
from ..stats.metrics import macro_auroc
from .dataset import LabelledData, Strings

_log = logging.getLogger(__name__)

SHORTEST_COMPARED = 24
"""Windows shorter than this many bases occur twice by chance, and are not compared."""
REPEATED = "window_in_later_split"

_COMPLEMENT = str.maketrans("ACGT", "TGCA")
_TELLING, _ERRORS = 0.05, 3.0  # how far from 0.5, and by how many standard errors, is worth a word


class Leakage(GateError):  # noqa: N818
    """Two splits of a data set share a variant, or overlapping or equal windows."""


def check_leakage(data: LabelledData, *, windows: bool = True) -> None:
    """Raise Leakage if two splits share a variant or, with `windows`, overlapping or equal windows.

    Two windows overlap if they cover a common base of the genome, which leaves out the padding
    only as far as both cover it. They are equal if they are of one sequence around the variant,
    on either strand and whatever the variant's own base; windows under 24 bases are not compared.
    The message counts the rows and shows one pair.
    """
    _check_variants(data)
    if windows:
        _check_overlap(data)
        _check_sequences(data)


def checked(data: LabelledData, *, windows: bool = True) -> LabelledData:
    """Return what a builder may hand out: splits that do not leak, with both labels in each.

    Rows whose sequence stands in a later split too (of train, validation, test) are left out and
    counted: the genome repeats itself, so this is no fault of the split. Warns if the number of N
    tells the classes apart. Raises Leakage for shared variants and, with `windows`, overlapping
    windows; GenoslimError if a split that is there has a single class.
    """
    _check_variants(data)
    if windows:
        _check_overlap(data)
        data = _without_repeats(data)
    _refuse_single_class(data)
    for split, auroc in unknown_bases_auroc(data).items():
        _log.warning(
            "the number of N in a window alone has AUROC %.3f on %s (%s N: %s): a model can learn"
            " the padding instead of the sequence; leave such windows out (--edges drop)",
            max(auroc, 1 - auroc),
            split,
            "fewer" if auroc < 0.5 else "more",
            data.metadata.label_names[1],
        )
    return data


def unknown_bases_auroc(data: LabelledData) -> dict[str, float]:
    """Return, for each split where it tells the classes apart, the AUROC of the number of N.

    It is the macro mean over the groups where there are any; below 0.5 if positives have fewer N.
    Left out is what lies within 0.05, or within three standard errors of the rank sum, of 0.5.
    """
    counts = np.array([sequence.count("N") for sequence in data.sequences], dtype=np.float64)
    found: dict[str, float] = {}
    for split in data.split_counts:
        rows = data.splits == split
        if not counts[rows].any() or len(set(data.labels[rows].tolist())) < 2:
            continue
        measured = macro_auroc(data.labels[rows], counts[rows], data.groups[rows])
        error = _chance_error(data.labels[rows], data.groups[rows])
        if abs(measured.macro_mean - 0.5) > max(_TELLING, _ERRORS * error):
            found[split] = measured.macro_mean
    return found


def _chance_error(labels: npt.NDArray[np.int8], groups: Strings) -> float:
    """Return the standard error, without ties, of the macro AUROC of scores that tell nothing."""
    variances = []
    for group in np.unique(groups):
        positives = int(labels[groups == group].sum())
        negatives = int((groups == group).sum()) - positives
        if positives and negatives:
            variances.append((positives + negatives + 1) / (12 * positives * negatives))
    return float(np.sqrt(sum(variances)) / len(variances))


def _check_variants(data: LabelledData) -> None:
    for first, second, rows_first, rows_second in _pairs(data):
        shared = np.intersect1d(data.keys[rows_first], data.keys[rows_second])
        if len(shared):
            raise Leakage(
                f"{len(shared)} variants are in both {first} and {second}, such as {shared[0]}:"
                " split by chromosome or by variant, not by row"
            )


def _check_overlap(data: LabelledData) -> None:
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


def _check_sequences(data: LabelledData) -> None:
    contexts = _contexts(data)
    for first, second, rows_first, rows_second in _pairs(data):
        hits = rows_first[np.isin(contexts[rows_first], contexts[rows_second])]
        if len(hits):
            example = hits[0]
            same = rows_second[contexts[rows_second] == contexts[example]][0]
            raise Leakage(
                f"{len(hits)} windows of {first} are of the sequence of windows of {second}, on"
                f" this strand or the other, such as those of {data.keys[example]} and"
                f" {data.keys[same]}: leave them out of one split"
            )


def _without_repeats(data: LabelledData) -> LabelledData:
    """Return the rows whose context does not stand in a later split as well."""
    contexts = _contexts(data)
    kept = np.ones(len(data), dtype=np.bool_)
    for _, _, rows_first, rows_second in _pairs(data):
        kept[rows_first[np.isin(contexts[rows_first], contexts[rows_second])]] = False
    if kept.all():
        return data
    count = int((~kept).sum())
    _log.warning("left out: %d windows whose sequence stands in a later split too", count)
    dropped = dict(sorted({**data.metadata.dropped, REPEATED: count}.items()))
    return replace(data.subset(kept), metadata=replace(data.metadata, dropped=dropped))


def _contexts(data: LabelledData) -> npt.NDArray[np.uint64]:
    """Return a number for each row's sequence around its variant, the same for either strand.

    The variant's own base is passed over, and so is the first base of windows of even length, so
    that as many bases stand on either side and a window equals its reverse complement's. Windows
    too short to be compared all differ.
    """
    length = data.metadata.window_length
    if length < SHORTEST_COMPARED:
        return np.arange(len(data), dtype=np.uint64)
    half = (length - 1) // 2
    numbers: dict[str, int] = {}
    found = np.empty(len(data), dtype=np.uint64)
    for row, sequence in enumerate(data.sequences):
        context = f"{sequence[-2 * half - 1 : length // 2]}N{sequence[length // 2 + 1 :]}"
        strand = min(context, context.translate(_COMPLEMENT)[::-1])
        found[row] = numbers.setdefault(strand, len(numbers))
    return found


def _refuse_single_class(data: LabelledData) -> None:
    for split in data.split_counts:
        labels = data.labels[data.splits == split]
        if len(set(labels.tolist())) == 1:
            name = data.metadata.label_names[int(labels[0])]
            left_out = ", ".join(f"{n} {reason}" for reason, n in data.metadata.dropped.items())
            raise GenoslimError(
                f"{data.metadata.source}: all {len(labels)} rows of split {split} are labelled"
                f" {int(labels[0])} ({name}); every split needs both labels"
                f"{f'; left out: {left_out}' if left_out else ''}"
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
    """Yield every two splits, the earlier first, with the numbers of their rows."""
    for first, second in combinations(data.split_counts, 2):
        yield (
            first,
            second,
            np.flatnonzero(data.splits == first),
            np.flatnonzero(data.splits == second),
        )
