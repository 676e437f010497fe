"""Decide for each alternate allele of a VCF record whether it can be scored, and make its window.

First what the line alone says, then what `data.judge` asks of the genome.
"""

from __future__ import annotations

from ..data.alleles import Allele, allele_kind
from ..data.judge import VariantJudge, Verdict
from ..data.status import Status
from .record import Record

_STATUS = {
    Allele.SYMBOLIC: Status.SYMBOLIC,
    Allele.STAR: Status.STAR,
    Allele.BREAKEND: Status.BREAKEND,
    Allele.MISSING: Status.INVALID,
    Allele.INVALID: Status.INVALID,
}
"""The status of an allele that is no sequence."""


class RecordJudge(VariantJudge):
    """A judge of the lines of a VCF."""

    def verdicts(self, record: Record) -> list[Verdict]:
        """Return one verdict for each alternate allele; one in all for a line that is no record."""
        if not record.well_formed:
            return [Verdict(Status.INVALID)]
        reference = record.reference.decode("ascii", "replace")
        alternates = [allele.decode("ascii", "replace") for allele in record.alternates]
        if record.position is None:
            return [Verdict(Status.INVALID)] * len(alternates)
        kinds = [_STATUS.get(allele_kind(reference, allele)) for allele in alternates]
        if None not in kinds:
            return [Verdict(kind) for kind in kinds if kind is not None]
        contig = record.contig.decode("utf-8", "surrogateescape")
        site = self.locate(contig, record.position, reference.upper())
        return [
            self.judge_at(site, allele.upper()) if kind is None else Verdict(kind)
            for kind, allele in zip(kinds, alternates, strict=True)
        ]
