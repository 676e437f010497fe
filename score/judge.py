"""Decide for each alternate allele of a VCF record whether it can be scored, and make its window.

First what the line alone says, then what `data.judge` asks of the genome.
"""

from __future__ import annotations

import re

from ..data.judge import VariantJudge, Verdict
from ..data.status import Status
from .record import Record

_SEQUENCE = re.compile(rb"[ACGTNacgtn]+")
_SYMBOLIC = re.compile(rb"[ACGTNacgtn]*<[^<>]+>[ACGTNacgtn]*")
_BREAKEND = re.compile(
    rb"[ACGTNacgtn.]+([\[\]])[^\[\]]+\1|([\[\]])[^\[\]]+\2[ACGTNacgtn.]+"
    rb"|\.[ACGTNacgtn]+|[ACGTNacgtn]+\."
)


class RecordJudge(VariantJudge):
    """A judge of the lines of a VCF."""

    def verdicts(self, record: Record) -> list[Verdict]:
        """Return one verdict for each alternate allele; one in all for a line that is no record."""
        if not record.well_formed:
            return [Verdict(Status.INVALID)]
        alternates = record.alternates
        if record.position is None or not _SEQUENCE.fullmatch(record.reference):
            return [Verdict(Status.INVALID)] * len(alternates)
        reference = record.reference.upper()
        kinds = [
            Status.INVALID if allele.upper() == reference else allele_kind(allele)
            for allele in alternates
        ]
        if None not in kinds:
            return [Verdict(kind) for kind in kinds if kind is not None]
        contig = record.contig.decode("utf-8", "surrogateescape")
        site = self.locate(contig, record.position, reference.decode("ascii"))
        return [
            self.judge_at(site, allele.upper().decode("ascii")) if kind is None else Verdict(kind)
            for kind, allele in zip(kinds, alternates, strict=True)
        ]


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
