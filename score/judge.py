"""Decide for each alternate allele whether it can be scored, and make its window.

The order in which the rules are asked is part of the contract (docs/scoring.md): first what the
line alone says, then the contig and the place, then the reference, then the size, then the window.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from ..data.genome import Genome, alternate_window
from ..data.variant import Variant
from .record import Record
from .status import Status

_SEQUENCE = re.compile(rb"[ACGTNacgtn]+")
_SYMBOLIC = re.compile(rb"[ACGTNacgtn]*<[^<>]+>[ACGTNacgtn]*")
_BREAKEND = re.compile(
    rb"[ACGTNacgtn.]+([\[\]])[^\[\]]+\1|([\[\]])[^\[\]]+\2[ACGTNacgtn.]+"
    rb"|\.[ACGTNacgtn]+|[ACGTNacgtn]+\."
)


class Verdict(NamedTuple):
    """The status of one alternate allele, and its window where it is to be scored."""

    status: Status
    window: str | None = None


@dataclass(slots=True)
class ReferenceCheck:
    """How many records had their REF compared with the FASTA, and how many of those differed."""

    checked: int = 0
    mismatched: int = 0
    example: str = ""

    @property
    def rate(self) -> float:
        """The share of compared records that differed."""
        return self.mismatched / self.checked if self.checked else 0.0


class _Place(NamedTuple):
    """A reference allele that was found in the FASTA; `reference` is what the FASTA has."""

    contig: str
    position: int
    reference: str


@dataclass
class Judge:
    """Judge records against a genome, one thread at a time.

    `window_length` is in base pairs. `compare_reference` is off for `--check-ref skip`. What was
    seen on the way adds up in `reference_check`, `aliases` (contig of the VCF: contig of the FASTA,
    where the names differ) and `contigs` (every contig asked for: its name in the FASTA or None).
    """

    genome: Genome
    window_length: int
    compare_reference: bool = True
    score_non_snv: bool = False
    reference_check: ReferenceCheck = field(default_factory=ReferenceCheck)
    contigs: dict[bytes, str | None] = field(default_factory=dict)

    @property
    def aliases(self) -> dict[str, str]:
        """Contigs of the VCF that the FASTA has under another name, and that name."""
        named = ((_text(contig), name) for contig, name in self.contigs.items() if name)
        return {contig: name for contig, name in named if contig != name}

    def verdicts(self, record: Record) -> list[Verdict]:
        """Return one verdict for each alternate allele; one in all for a line that is no record."""
        if not record.well_formed:
            return [Verdict(Status.INVALID)]
        alternates = record.alternates
        if record.position is None or not _SEQUENCE.fullmatch(record.reference):
            return [Verdict(Status.INVALID)] * len(alternates)
        same = record.reference.upper()
        kinds = [
            Status.INVALID if allele.upper() == same else allele_kind(allele)
            for allele in alternates
        ]
        place = self._place(record) if None in kinds else Status.INVALID
        return [
            Verdict(kind) if kind is not None else self._allele(place, allele)
            for kind, allele in zip(kinds, alternates, strict=True)
        ]

    def _place(self, record: Record) -> _Place | Status:
        """Find a record's reference allele in the genome, or say why it is not there."""
        contig = self._contig(record.contig)
        if contig is None:
            return Status.NO_CONTIG
        position, reference = record.position or 0, record.reference.upper().decode("ascii")
        end = position - 1 + len(reference)
        if position < 1 or end > self.genome.contigs[contig]:
            return Status.INVALID
        found = self.genome.fetch(contig, position - 1, end)
        if "N" in found:
            return Status.N_WINDOW
        if self.compare_reference and not self._same(found, reference, record):
            return Status.REF_MISMATCH
        return _Place(contig, position, found)

    def _contig(self, contig: bytes) -> str | None:
        if contig not in self.contigs:
            self.contigs[contig] = self.genome.resolve(_text(contig))
        return self.contigs[contig]

    def _same(self, found: str, reference: str, record: Record) -> bool:
        check = self.reference_check
        check.checked += 1
        if found == reference:
            return True
        check.mismatched += 1
        if not check.example:
            where = f"{_text(record.contig)}:{record.position}"
            check.example = f"{where} has REF {reference[:20]}, the FASTA {found[:20]}"
        return False

    def _allele(self, place: _Place | Status, allele: bytes) -> Verdict:
        """Judge an allele that is a sequence."""
        if isinstance(place, Status):
            return Verdict(place)
        alternate = allele.upper().decode("ascii")
        if len(alternate) != 1 or len(place.reference) != 1:
            if not self.score_non_snv:
                return Verdict(Status.NOT_SNV)
            if max(len(alternate), len(place.reference)) > (self.window_length + 1) // 2:
                return Verdict(Status.TOO_LONG)
        return self._window(place, alternate)

    def _window(self, place: _Place, alternate: str) -> Verdict:
        """Make the window, unless too much of it is unknown: N in the allele, or mostly N."""
        if "N" in alternate:
            return Verdict(Status.N_WINDOW)
        variant = Variant(place.contig, place.position, place.reference, alternate)
        window = alternate_window(self.genome, variant, self.window_length)
        if "N" not in window.sequence:
            return Verdict(Status.OK, window.sequence)
        outside = self._outside(variant)
        unknown = window.sequence.count("N") - outside
        if 2 * unknown > self.window_length - outside:
            return Verdict(Status.N_WINDOW)
        return Verdict(Status.CONTIG_EDGE if window.padded else Status.OK, window.sequence)

    def _outside(self, variant: Variant) -> int:
        """Return how many of the window's positions lie outside the contig."""
        index = self.window_length // 2
        after = self.window_length - index - len(variant.alternate)
        beyond = variant.end + after - self.genome.contigs[variant.contig]
        return max(0, index - variant.start) + max(0, beyond)


def allele_kind(allele: bytes) -> Status | None:
    """Return the status of an ALT that is no sequence of bases, None for one that is."""
    if _SEQUENCE.fullmatch(allele):
        return None
    if allele == b"*":
        return Status.STAR
    if _SYMBOLIC.fullmatch(allele):
        return Status.SYMBOLIC
    if _BREAKEND.fullmatch(allele):
        return Status.BREAKEND
    return Status.INVALID


def _text(contig: bytes) -> str:
    return contig.decode("utf-8", "surrogateescape")
