"""From labelled variants and a genome to labelled windows, with a count of what was left out."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from ..errors import GenoslimError
from .dataset import LabelledData, VariantColumns
from .genome import Genome, ReferenceMismatch, Window, alternate_window
from .metadata import DataMetadata
from .variant import Variant

_log = logging.getLogger(__name__)

# More REF mismatches than this share of the rows means another assembly, not a few bad rows.
MAX_MISMATCH_RATE = 0.01

Edges = Literal["pad", "drop"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledVariant:
    """One row of a source: a variant, its label and split, and where it was read (`place`).

    `subgroups` names the subgroup of the row in each way to part the rows; `annotations` are
    numbers that are known of it, by name.
    """

    variant: Variant
    label: int
    split: str
    group: str = ""
    tissue: str | None = None
    distance_to_tss: int | None = None
    subgroups: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, float] = field(default_factory=dict)
    place: str = ""


def assemble(
    rows: Sequence[LabelledVariant],
    genome: Genome,
    metadata: DataMetadata,
) -> LabelledData:
    """Cut the window of every row and return the data set, rows in the order given.

    Contigs get the names of the FASTA; windows that leave their contig hold N. Left out, and
    counted in `metadata.dropped`, are rows on contigs that the FASTA lacks (`unknown_contig`) and
    rows whose REF it does not have (`reference_mismatch`).

    Raises GenoslimError if REF mismatches in more than 1 % of the rows, or no row is left.
    """
    windows: dict[int, Window] = {}
    kept: dict[int, LabelledVariant] = {}
    mismatches: list[tuple[int, ReferenceMismatch]] = []
    dropped: Counter[str] = Counter(metadata.dropped)
    for number in sorted(range(len(rows)), key=lambda i: rows[i].variant.contig):
        row = _renamed(rows[number], genome)
        if row is None:
            dropped["unknown_contig"] += 1
            continue
        try:
            windows[number] = alternate_window(genome, row.variant, metadata.window_length)
            kept[number] = row
        except ReferenceMismatch as error:
            mismatches.append((number, error))
    if mismatches:
        dropped["reference_mismatch"] += len(mismatches)
        _refuse_another_assembly(rows, mismatches)
    if not kept:
        raise GenoslimError(
            f"{genome.path}: none of {len(rows) or 'the'} variants gave a window"
            f" ({_counts(dropped) or 'no rows'});"
            f" the contigs of the FASTA are {', '.join(list(genome.contigs)[:6])} ..."
        )
    if dropped:
        _log.warning("left out: %s", _counts(dropped))
    order = sorted(kept)
    finished = replace(metadata, dropped=dict(sorted(dropped.items())))
    return _columns([kept[i] for i in order], [windows[i].sequence for i in order], finished)


def _columns(
    rows: list[LabelledVariant], sequences: list[str], metadata: DataMetadata
) -> LabelledData:
    tissues = [row.tissue for row in rows if row.tissue is not None]
    distances = [row.distance_to_tss for row in rows if row.distance_to_tss is not None]
    ways = list(dict.fromkeys(name for row in rows for name in row.subgroups))
    annotations = list(dict.fromkeys(name for row in rows for name in row.annotations))
    return LabelledData(
        sequences=sequences,
        labels=np.array([row.label for row in rows], dtype=np.int8),
        splits=np.array([row.split for row in rows], dtype=np.str_),
        variants=VariantColumns.of([row.variant for row in rows]),
        groups=np.array([row.group for row in rows], dtype=np.str_),
        metadata=metadata,
        tissues=np.array(tissues, dtype=np.str_) if tissues else None,
        distances_to_tss=np.array(distances, dtype=np.int64) if distances else None,
        subgroups={
            way: np.array([row.subgroups.get(way, "") for row in rows], dtype=np.str_)
            for way in ways
        },
        annotations={
            name: np.array([row.annotations.get(name, np.nan) for row in rows], dtype=np.float64)
            for name in annotations
        },
    )


def _renamed(row: LabelledVariant, genome: Genome) -> LabelledVariant | None:
    """Return the row with the FASTA's own name of its contig, None if it has none."""
    name = genome.resolve(row.variant.contig)
    if name is None or name == row.variant.contig:
        return row if name else None
    return replace(row, variant=replace(row.variant, contig=name))


def without_edges(
    rows: Sequence[LabelledVariant], genome: Genome, length: int, *, margin: int = 0
) -> tuple[list[LabelledVariant], dict[str, int]]:
    """Return the rows whose window of `length` bases stays in its contig, and how many do not.

    A window has to leave `margin` bases before the contig's end as well. Rows on contigs that the
    FASTA lacks stay; the count is empty if every row does.
    """
    kept = [row for row in rows if not _leaves(row.variant, genome, length, margin)]
    left_out = len(rows) - len(kept)
    return kept, {"window_leaves_contig": left_out} if left_out else {}


def _leaves(variant: Variant, genome: Genome, length: int, margin: int) -> bool:
    start = variant.start - length // 2
    contig = genome.resolve(variant.contig)
    return contig is not None and (start < 0 or start + length + margin > genome.contigs[contig])


def _refuse_another_assembly(
    rows: Sequence[LabelledVariant], mismatches: list[tuple[int, ReferenceMismatch]]
) -> None:
    if len(mismatches) > MAX_MISMATCH_RATE * len(rows):
        number, first = min(mismatches, key=lambda item: item[0])
        place = rows[number].place
        raise GenoslimError(
            f"{place + ': ' if place else ''}{first}"
            f" REF mismatches in {len(mismatches)} of {len(rows)} rows;"
            f" up to {MAX_MISMATCH_RATE:.0%} would be left out and counted"
        )


def _counts(dropped: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in sorted(dropped.items()))
