"""Any labelled variants, from a VCF with a label in INFO or from a table, as a data set."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import GenoslimError, UsageError
from .alleles import Allele, allele_kind
from .assemble import Edges, LabelledVariant, assemble, without_edges
from .dataset import ANNOTATION_PREFIX, SPLITS, SUBGROUP_PREFIX, LabelledData
from .genome import Genome
from .leakage import checked
from .metadata import DataMetadata
from .splits import choose_chromosomes, split_by_chromosome, split_by_variant
from .table import Row, read_lines, read_table
from .variant import variant_at
from .vcf import VcfRecord, read_vcf

_log = logging.getLogger(__name__)

_REQUIRED = ("contig", "position", "reference", "alternate", "label")
# Names of VCF's columns that tables have as well, in any case; the exact names come first.
_ALIASES = {"chrom": "contig", "pos": "position", "ref": "reference", "alt": "alternate"} | {
    name: name for name in ("label", "split", "group", "tissue", "distance_to_tss")
}
_SPLIT_NAMES = {"val": "validation"} | {name: name for name in SPLITS}


@dataclass(frozen=True, kw_only=True)
class SplitRule:
    """How rows get their split: the column or INFO key `split`, by chromosome, or by variant.

    With `validation_chromosomes` or `test_chromosomes` by chromosome; with fractions by variant
    key; with neither, the input names the splits or, if it does not, whole chromosomes are chosen
    (`choose_chromosomes`). Raises UsageError if both are given.
    """

    validation_chromosomes: Collection[str] = ()
    test_chromosomes: Collection[str] = ()
    validation_fraction: float = 0.0
    test_fraction: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.by_chromosome and self.by_variant:
            raise UsageError("splits: name chromosomes or fractions, not both")

    @property
    def by_chromosome(self) -> bool:
        """Whether chromosomes are named."""
        return bool(self.validation_chromosomes or self.test_chromosomes)

    @property
    def by_variant(self) -> bool:
        """Whether fractions are given."""
        return bool(self.validation_fraction or self.test_fraction)

    def options(self) -> dict[str, object]:
        """Return what the metadata records of the rule."""
        if self.by_chromosome:
            return {
                "split_by": "chromosome",
                "validation_chromosomes": sorted(self.validation_chromosomes),
                "test_chromosomes": sorted(self.test_chromosomes),
            }
        if self.by_variant:
            fractions = {"validation": self.validation_fraction, "test": self.test_fraction}
            return {"split_by": "variant", "seed": self.seed, **fractions}
        return {"split_by": "input"}


def build_variant_data(
    source: str | Path,
    fasta: str | Path,
    *,
    window: int,
    rule: SplitRule | None = None,
    label_info: str = "LABEL",
    edges: Edges = "pad",
    check_windows: bool = True,
    assembly: str = "unknown",
    licence: str = "unknown",
) -> LabelledData:
    """Cut the windows of labelled variants: a VCF with the label in INFO, or a table.

    A table has the columns contig, position (1-based), reference, alternate (or chrom, pos, ref,
    alt, in any case), label (0 or 1), and where wanted split, group, tissue, distance_to_tss,
    `subgroup_*` and `annotation_*` (numbers). A VCF has SPLIT and GROUP in INFO where wanted.
    Alleles that are no sequence (`<DEL>`, `*`, breakends) and alleles without a label are left out
    and counted.

    Args:
        source: VCF, CSV or TSV, told by content, plain, gzip or bgzip.
        fasta: The genome, plain or bgzip.
        window: Bases a window; the alternate allele is at the 0-based index `window // 2`.
        rule: How rows get their split; by default as the input names it, else by whole chromosomes.
        label_info: The INFO key of a VCF with the label: one value, or one an allele.
        edges: `pad` fills windows that leave their contig with N; `drop` leaves them out.
        check_windows: Refuse overlapping windows of different splits, and leave out a window whose
            sequence stands in a later split too.
        assembly: What the genome is, for the record.
        licence: Of the data, for the record.

    Returns:
        The windows, rows in the order of the source; `metadata.dropped` counts what was left out.

    Raises:
        GenoslimError: a bad input, a REF that is not the genome's in more than 1 % of the rows, or
            a split with one class only.
        UsageError: a rule that does not fit the input.
        GateError: two splits share a variant or, with `check_windows`, overlapping windows.

    Example:
        >>> from genoslim import SplitRule, build_variant_data
        >>> rule = SplitRule(validation_chromosomes=["chr5"], test_chromosomes=["chr6"])
        >>> data = build_variant_data("variants.vcf", "genome.fa", window=96, rule=rule)
        >>> data.split_counts
        {'train': 260, 'validation': 60, 'test': 80}
    """
    source, fasta = Path(source), Path(fasta)
    dropped: Counter[str] = Counter()
    rows = list(_rows(source, label_info, dropped))
    if not rows:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(dropped.items()))
        raise GenoslimError(
            f"{source}: no labelled variant ({reasons or 'no records'}); labels are 0 or 1 in the"
            f" column `label` of a table, or in INFO {label_info} of a VCF (--label-info)"
        )
    rule = _resolved(rule or SplitRule(), rows)
    metadata = DataMetadata(
        window_length=window,
        assembly=assembly,
        source=source.name,
        licence=licence,
        dropped=dict(dropped),
        options={"edges": edges, **rule.options()},
    )
    with Genome(fasta) as genome:
        rows = _split(rows, rule, source)
        if edges == "drop":
            rows, outside = without_edges(rows, genome, window)
            metadata = replace(metadata, dropped={**metadata.dropped, **outside})
        return checked(assemble(rows, genome, metadata), windows=check_windows)


def _rows(source: Path, label_info: str, dropped: Counter[str]) -> Iterator[LabelledVariant]:
    if next(read_lines(source), "").startswith("##fileformat=VCF"):
        for record in read_vcf(source):
            yield from _from_record(record, label_info, dropped)
    else:
        yield from map(_from_table, read_table(source, required=_REQUIRED, aliases=_ALIASES))


def _from_table(row: Row) -> LabelledVariant:
    names = ("contig", "reference", "alternate")
    contig, reference, alternate = (row.text(name) for name in names)
    has_distance = "distance_to_tss" in row.cells
    return LabelledVariant(
        variant=variant_at(row.place, contig, row.integer("position"), reference, alternate),
        label=row.label("label"),
        split=_split_name(row.cells.get("split", ""), row.place),
        group=row.cells.get("group", ""),
        tissue=row.cells.get("tissue"),
        distance_to_tss=row.integer("distance_to_tss") if has_distance else None,
        subgroups={
            name.removeprefix(SUBGROUP_PREFIX): value
            for name, value in row.cells.items()
            if name.startswith(SUBGROUP_PREFIX)
        },
        annotations={
            name.removeprefix(ANNOTATION_PREFIX): row.number(name)
            for name in row.cells
            if name.startswith(ANNOTATION_PREFIX)
        },
        place=row.place,
    )


def _from_record(
    record: VcfRecord, label_info: str, dropped: Counter[str]
) -> Iterator[LabelledVariant]:
    labels = _labels(record, label_info)
    for alternate in record.alternates:
        kind = allele_kind(record.reference, alternate)
        if kind is not Allele.SEQUENCE:
            dropped[f"allele_{kind.value}"] += 1
    for index, variant in record.variants():
        label = labels[index]
        if label is None:
            dropped["no_label"] += 1
            continue
        yield LabelledVariant(
            variant=variant,
            label=label,
            split=_split_name(record.info_value("SPLIT") or "", record.place),
            group=record.info_value("GROUP") or "",
            place=record.place,
        )


def _labels(record: VcfRecord, key: str) -> list[int | None]:
    """Return the label of each alternate allele: 0, 1, or None where there is none."""
    text = record.info_value(key)
    values = ["."] if text is None else text.split(",")
    if len(values) == 1:
        values *= len(record.alternates)
    known = {"0": 0, "1": 1, ".": None}
    if len(values) != len(record.alternates) or not set(values) <= set(known):
        raise GenoslimError(
            f"{record.place}: INFO {key}={text}; expected 0 or 1, once or for each of"
            f" {len(record.alternates)} alternate alleles"
        )
    return [known[value] for value in values]


def _split_name(value: str, place: str) -> str:
    """Return the split a source names, '' if it names none."""
    if value and value not in _SPLIT_NAMES:
        raise GenoslimError(f"{place}: split is {value!r}; expected {' or '.join(SPLITS)}")
    return _SPLIT_NAMES.get(value, "")


def _resolved(rule: SplitRule, rows: list[LabelledVariant]) -> SplitRule:
    """Return the rule, with chromosomes chosen where neither it nor any row names a split."""
    if rule.by_chromosome or rule.by_variant or any(row.split for row in rows):
        return rule
    validation, test = choose_chromosomes(
        np.array([row.variant.contig for row in rows], dtype=np.str_),
        np.array([row.label for row in rows], dtype=np.int8),
    )
    _log.warning(
        "no split named: validation is %s, test %s, training the rest (choose others with"
        " --validation-chromosomes and --test-chromosomes)",
        ", ".join(sorted(validation)),
        ", ".join(sorted(test)),
    )
    return SplitRule(validation_chromosomes=validation, test_chromosomes=test)


def _split(rows: list[LabelledVariant], rule: SplitRule, source: Path) -> list[LabelledVariant]:
    if rule.by_chromosome:
        contigs = np.array([row.variant.contig for row in rows], dtype=np.str_)
        splits = split_by_chromosome(
            contigs, validation=rule.validation_chromosomes, test=rule.test_chromosomes
        )
    elif rule.by_variant:
        keys = np.array([row.variant.key for row in rows], dtype=np.str_)
        splits = split_by_variant(
            keys, validation=rule.validation_fraction, test=rule.test_fraction, seed=rule.seed
        )
    else:
        return _named_splits(rows, source)
    return [replace(row, split=name) for row, name in zip(rows, splits.tolist(), strict=True)]


def _named_splits(rows: list[LabelledVariant], source: Path) -> list[LabelledVariant]:
    for row in rows:
        if not row.split:
            raise UsageError(
                f"{row.place or source}: no split named, while other rows name theirs: name every"
                " one, or choose --validation-chromosomes and --test-chromosomes, or"
                " --validation-fraction and --test-fraction"
            )
    return rows
