"""VCF as records: what is needed to build data sets.

The file is read as text, line by line, since a real file may name contigs, filters or INFO keys
that its header does not declare; nothing that a data set does not need is judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import GenoslimError
from .alleles import Allele, allele_kind
from .table import read_lines
from .variant import Variant, variant_at

_COLUMNS = ("#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO")


@dataclass(frozen=True, slots=True)
class VcfRecord:
    """One line of a VCF: `position` is 1-based; `info` is the column as it stands."""

    contig: str
    position: int
    identifier: str
    reference: str
    alternates: tuple[str, ...]
    info: str
    place: str

    def variants(self) -> Iterator[tuple[int, Variant]]:
        """Yield (index among the alternates, Variant) of every allele that is a sequence.

        Raises GenoslimError, naming the line, for a position below 1.
        """
        for index, alternate in enumerate(self.alternates):
            if allele_kind(self.reference, alternate) is Allele.SEQUENCE:
                yield (
                    index,
                    variant_at(self.place, self.contig, self.position, self.reference, alternate),
                )

    def info_value(self, key: str) -> str | None:
        """Return the text of an INFO key, '' for a flag, None if it is absent."""
        for entry in self.info.split(";"):
            name, _, value = entry.partition("=")
            if name == key:
                return value
        return None


def parse_record(line: str, *, place: str) -> VcfRecord:
    """Parse one body line; raises GenoslimError, naming `place`, if it is no record."""
    fields = line.split("\t", 8)
    if len(fields) < 8:
        raise GenoslimError(
            f"{place}: {len(fields)} tab-separated columns; expected at least 8 ({_shown()})"
        )
    contig, position, identifier, reference, alternates, _, _, info = fields[:8]
    if not (position.isascii() and position.isdigit()):
        raise GenoslimError(f"{place}: POS is {position!r}; expected a whole number")
    if not contig or not reference:
        raise GenoslimError(f"{place}: CHROM {contig!r}, REF {reference!r}: neither may be blank")
    alternate = tuple(alternates.split(","))
    return VcfRecord(contig, int(position), identifier, reference, alternate, info, place)


def read_vcf(path: Path) -> Iterator[VcfRecord]:
    """Yield the records of a VCF file, plain, gzip or bgzip, in their order.

    Raises GenoslimError, naming file and line, for BCF, a file that is no VCF, a truncated gzip
    and a line that is no record.
    """
    seen_columns = False
    for number, line in enumerate(read_lines(path), start=1):
        place = f"{path}, line {number}"
        if number == 1 and not line.startswith("##fileformat=VCF"):
            raise GenoslimError(f"{place}: {line[:40]!r}; a VCF begins with ##fileformat=VCFv4.x")
        if line.startswith("##") or not line:
            continue
        if line.startswith("#"):
            _check_columns(line, place)
            seen_columns = True
        elif not seen_columns:
            raise GenoslimError(f"{place}: a record before the line {_shown()}")
        else:
            yield parse_record(line, place=place)
    if not seen_columns:
        raise GenoslimError(f"{path}: no line {_shown()}: empty or truncated VCF")


def _check_columns(line: str, place: str) -> None:
    if tuple(line.split("\t")[:8]) != _COLUMNS:
        raise GenoslimError(f"{place}: columns {line[:60]!r}; expected {_shown()}")


def _shown() -> str:
    return " ".join(_COLUMNS)
