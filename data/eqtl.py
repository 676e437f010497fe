"""The causal eQTL table of InstaDeepAI's genomics long-range benchmark (hg38).

A row is a variant in a tissue: one variant recurs over tissues, sometimes with both labels. Rows
are kept; the variant key is the cluster. The windows are those of the benchmark's own loader.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import GenoslimError, UsageError
from .assemble import Edges, LabelledVariant, assemble, without_edges
from .dataset import LabelledData
from .genome import Genome
from .leakage import checked
from .metadata import DataMetadata
from .splits import split_by_chromosome
from .table import Row, read_table
from .variant import variant_at

SOURCE = "InstaDeepAI/genomics-long-range-benchmark variant_effect_causal_eqtl"
LICENCE = "CC-BY-NC-SA-4.0"
LABEL_NAMES = ("not_causal", "causal")

# Two middle-sized chromosomes: a tenth of the training rows or so, and, being whole
# chromosomes, no window of theirs overlaps one that stays in training.
VALIDATION_CHROMOSOMES = ("chr7", "chr8")

_REQUIRED = ("CHROM", "POS", "REF", "ALT", "label", "split")
# The benchmark's own loader also drops the window that ends exactly where its contig does.
_SPARE = 1
# Bases to the nearest transcription start site, as the benchmark's own subgroups have them.
_TSS_BINS = ((30_000, "0-30 kb"), (100_000, "30-100 kb"))
_BEYOND = "100 kb and more"
# GTEx's tissues whose organ is not their first word.
_ORGANS = {
    "Adipose": "Adipose Tissue",
    "Adrenal": "Adrenal Gland",
    "Artery": "Blood Vessel",
    "Minor": "Salivary Gland",
    "Small": "Small Intestine",
    "Whole": "Blood",
}
_TISSUE, _DISTANCE = "tissue", "distance_to_nearest_TSS"


def build_eqtl_data(
    table: str | Path,
    fasta: str | Path,
    *,
    window: int,
    validation_chromosomes: Collection[str] = VALIDATION_CHROMOSOMES,
    edges: Edges = "drop",
    assembly: str = "hg38",
) -> LabelledData:
    """Cut the windows of the causal eQTL table of the genomics long-range benchmark.

    A row is a variant in a tissue; all of a variant's rows are kept, and statistics cluster them.

    Args:
        table: CSV or TSV, plain or gzip, with the columns CHROM, POS (1-based), REF, ALT, label (0
            or 1), split (train or test) and, where there, tissue and distance_to_nearest_TSS.
        fasta: The genome, plain or bgzip.
        window: Bases a window; the alternate allele is at the 0-based index `window // 2`.
        validation_chromosomes: The training rows on these become the validation split.
        edges: `drop` leaves out windows that leave their contig, as the benchmark does; `pad` fills
            them with N.
        assembly: What the genome is, for the record.

    Returns:
        The windows, rows in the order of the table, with the subgroups `tss_distance` (0-30 kb,
        30-100 kb, 100 kb and more) and `tissue_group` (the organ) where their columns are there.

    Raises:
        GenoslimError: a bad table, a REF that is not the genome's in more than 1 % of the rows, or
            a split with one class only.
        UsageError: validation chromosomes without training rows.
        GateError: two splits share a variant or overlapping windows.

    Example:
        >>> from genoslim import build_eqtl_data
        >>> data = build_eqtl_data(
        ...     "eqtl.csv", "genome.fa", window=96, validation_chromosomes=["chr5"]
        ... )
        >>> data.split_counts
        {'train': 260, 'validation': 60, 'test': 80}
    """
    table, fasta = Path(table), Path(fasta)
    rows = [_labelled(row) for row in read_table(table, required=_REQUIRED)]
    if not rows:
        raise GenoslimError(f"{table}: a header but no rows; expected at least one variant")
    rows = _with_validation(rows, validation_chromosomes)
    metadata = DataMetadata(
        window_length=window,
        assembly=assembly,
        source=SOURCE,
        licence=LICENCE,
        label_names=LABEL_NAMES,
        options={"edges": edges, "validation_chromosomes": sorted(validation_chromosomes)},
    )
    with Genome(fasta) as genome:
        if edges == "drop":
            rows, dropped = without_edges(rows, genome, window, margin=_SPARE)
            metadata = replace(metadata, dropped=dropped)
        return checked(assemble(rows, genome, metadata))


def tss_bin(distance: int) -> str:
    """Return the bin of a distance to the nearest TSS (in bases, of either sign)."""
    return next((name for end, name in _TSS_BINS if abs(distance) < end), _BEYOND)


def tissue_group(tissue: str) -> str:
    """Return the organ that a GTEx tissue is of (`Brain - Cortex`: `Brain`), or its own name.

    As GTEx's sample attributes have it (SMTS for SMTSD), with spaces or underscores.
    """
    words = [word for word in re.split(r"[\s_()-]+", tissue) if word]
    if not words:
        return ""
    if words[0] == "Cells":
        return "Blood" if "lymphocytes" in words else "Skin"
    return _ORGANS.get(words[0], words[0])


def _labelled(row: Row) -> LabelledVariant:
    names = ("CHROM", "REF", "ALT")
    contig, reference, alternate = (row.text(name) for name in names)
    tissue = row.cells.get(_TISSUE)
    distance = row.integer(_DISTANCE) if _DISTANCE in row.cells else None
    subgroups = {} if distance is None else {"tss_distance": tss_bin(distance)}
    subgroups |= {} if tissue is None else {"tissue_group": tissue_group(tissue)}
    return LabelledVariant(
        variant=variant_at(row.place, contig, row.integer("POS"), reference, alternate),
        label=row.label("label"),
        split=row.choice("split", ("train", "test")),
        tissue=tissue,
        distance_to_tss=distance,
        subgroups=subgroups,
        place=row.place,
    )


def _with_validation(
    rows: list[LabelledVariant], chromosomes: Collection[str]
) -> list[LabelledVariant]:
    """Turn the training rows on some chromosomes into validation rows."""
    training = np.array([r.variant.contig for r in rows if r.split == "train"], dtype=np.str_)
    try:
        splits = iter(split_by_chromosome(training, validation=chromosomes, test=()).tolist())
    except UsageError as error:
        raise UsageError(
            f"{error}; name other --validation-chromosomes among those with training rows"
        ) from None
    return [replace(r, split=next(splits)) if r.split == "train" else r for r in rows]
