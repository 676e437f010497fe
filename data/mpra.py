"""Saturation mutagenesis of regulatory elements (Kircher et al. 2019, GSE126550) as a data set.

A contig is an element (locus) a few hundred bases long, so many windows reach over its ends: those
are left out unless they are asked for. The groups are the loci: quality is the macro mean of the
AUROC over loci, since an element's share of functional variants alone confounds a pooled one.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.random import PCG64, Generator

from ..errors import GenoslimError, UsageError
from .assemble import Edges, LabelledVariant, assemble, without_edges
from .dataset import LabelledData
from .genome import Genome
from .leakage import checked
from .metadata import DataMetadata
from .table import Row, read_table
from .variant import variant_at

SOURCE = "kircherlab/MPRA_SaturationMutagenesis (Kircher et al. 2019, GSE126550)"
LICENCE = "GPL-3.0"
LABEL_NAMES = ("not_functional", "functional")

_REQUIRED = ("locus", "offset0", "Ref", "Alt", "label", "split")
_SPLITS = {"train": "train", "val": "validation", "validation": "validation", "test": "test"}


def build_mpra_data(
    table: str | Path,
    fasta: str | Path,
    *,
    window: int,
    negatives_per_positive: float | None = None,
    seed: int = 0,
    edges: Edges = "drop",
    assembly: str = "GRCh38",
) -> LabelledData:
    """Cut the windows of saturation mutagenesis; the groups are the loci.

    Args:
        table: TSV or CSV, plain or gzip, with the columns locus (a contig of the FASTA), offset0
            (0-based in it), Ref, Alt, label (1, 0, or blank: ambiguous, left out) and split (train,
            val, test).
        fasta: The loci, plain or bgzip.
        window: Bases a window; the alternate allele is at the 0-based index `window // 2`.
        negatives_per_positive: Of the training split alone, keep that many negatives for each
            positive of a locus; by default all.
        seed: What those are drawn with.
        edges: `drop` leaves out windows that leave their locus, before negatives are drawn: how
            much of a window is padding tells the classes apart by itself. `pad` fills them with N.
        assembly: What the loci are from, for the record.

    Returns:
        The windows, rows in the order of the table; `metadata.dropped` counts what was left out.

    Raises:
        GenoslimError: a bad table, a REF that is not the FASTA's in more than 1 % of the rows, or a
            split with one class only.
        UsageError: a number of negatives that is not above 0, or a negative seed.
        GateError: two splits share a variant or overlapping windows.

    Example:
        >>> from genoslim import build_mpra_data
        >>> data = build_mpra_data("mpra.tsv", "genome.fa", window=96)
        >>> data.metadata.label_names
        ('not_functional', 'functional')
    """
    table, fasta = Path(table), Path(fasta)
    if negatives_per_positive is not None and negatives_per_positive <= 0:
        raise UsageError(f"negatives per positive {negatives_per_positive}: must be above 0")
    table_rows = list(read_table(table, required=_REQUIRED))
    if not table_rows:
        raise GenoslimError(f"{table}: a header but no rows; expected at least one variant")
    rows = [_labelled(row) for row in table_rows if row.cells["label"].strip()]
    dropped = {"ambiguous_label": len(table_rows) - len(rows)}
    with Genome(fasta) as genome:
        if edges == "drop":
            rows, outside = without_edges(rows, genome, window)
            dropped |= outside
        if negatives_per_positive is not None:
            labelled = len(rows)
            rows = _sampled(rows, negatives_per_positive, seed)
            dropped["negative_not_sampled"] = labelled - len(rows)
        metadata = DataMetadata(
            window_length=window,
            assembly=assembly,
            source=SOURCE,
            licence=LICENCE,
            label_names=LABEL_NAMES,
            dropped={reason: count for reason, count in dropped.items() if count},
            options={
                "negatives_per_positive": negatives_per_positive,
                "seed": seed,
                "edges": edges,
            },
        )
        return checked(assemble(rows, genome, metadata))


def _labelled(row: Row) -> LabelledVariant:
    locus = row.text("locus")
    position = row.integer("offset0") + 1
    return LabelledVariant(
        variant=variant_at(row.place, locus, position, row.text("Ref"), row.text("Alt")),
        label=row.label("label"),
        split=_SPLITS[row.choice("split", tuple(_SPLITS))],
        group=locus,
        place=row.place,
    )


def _sampled(rows: list[LabelledVariant], ratio: float, seed: int) -> list[LabelledVariant]:
    """Return the rows without the training negatives beyond `ratio` a positive of their locus."""
    if seed < 0:
        raise UsageError(f"seed {seed}: must be 0 or more")
    generator = Generator(PCG64(seed))
    positives: dict[str, int] = defaultdict(int)
    negatives: dict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        if row.split == "train" and row.label:
            positives[row.group] += 1
        elif row.split == "train":
            negatives[row.group].append(number)
    surplus: set[int] = set()
    for locus in sorted(negatives):
        order = np.argsort(generator.random(len(negatives[locus])), kind="stable")
        keep = int(ratio * positives[locus])
        surplus.update(negatives[locus][i] for i in order[keep:].tolist())
    return [row for number, row in enumerate(rows) if number not in surplus]
