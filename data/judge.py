"""Decide whether a variant can be scored, and make its window.

The order in which the rules are asked is part of the contract (docs/scoring.md): first the contig
and the place, then the reference, then the size, then the window.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from .genome import Genome, alternate_window
from .status import Status
from .variant import Variant

_BASES = frozenset("ACGT")
_FEW, _LIMIT_OF_FEW, _LIMIT = 100, 0.5, 0.05


class Verdict(NamedTuple):
    """The status of one alternate allele, and its window where it is to be scored."""

    status: Status
    window: str | None = None


@dataclass(slots=True)
class ReferenceCheck:
    """How many reference alleles were compared with the FASTA, and how many of those differed."""

    checked: int = 0
    mismatched: int = 0
    example: str = ""

    @property
    def rate(self) -> float:
        """The share of compared alleles that differed."""
        return self.mismatched / self.checked if self.checked else 0.0

    @property
    def limit(self) -> float:
        """The share that may differ before another assembly is to be thought of."""
        return _LIMIT if self.enough else _LIMIT_OF_FEW

    @property
    def enough(self) -> bool:
        """Whether so many were compared that the share means something."""
        return self.checked >= _FEW


class Site(NamedTuple):
    """A reference allele that was found in the FASTA, under the FASTA's name of the contig.

    `position` is 1-based; `reference` is what the FASTA has.
    """

    contig: str
    position: int
    reference: str


@dataclass
class VariantJudge:
    """Judge variants against a genome, one thread at a time.

    `window_length` is in base pairs. `compare_reference` is off where REF is not to be compared
    with the FASTA, `score_non_snv` on where more than SNVs are to be scored. What was seen on the
    way adds up in `reference_check`, and in `contigs`: every contig asked for, with its name in the
    FASTA or None.
    """

    genome: Genome
    window_length: int
    compare_reference: bool = True
    score_non_snv: bool = False
    reference_check: ReferenceCheck = field(default_factory=ReferenceCheck)
    contigs: dict[str, str | None] = field(default_factory=dict)

    @property
    def aliases(self) -> dict[str, str]:
        """Contigs that the FASTA has under another name, and that name."""
        return {contig: name for contig, name in self.contigs.items() if name and name != contig}

    def judge(self, variant: Variant) -> Verdict:
        """Return the status of a variant, and its window where it is to be scored."""
        if variant.reference == variant.alternate:
            return Verdict(Status.INVALID)
        site = self.locate(variant.contig, variant.position, variant.reference)
        return self.judge_at(site, variant.alternate)

    def locate(self, contig: str, position: int, reference: str) -> Site | Status:
        """Find an upper-case reference allele in the genome, or say why it is not there."""
        name = self._name(contig)
        if name is None:
            return Status.NO_CONTIG
        end = position - 1 + len(reference)
        if position < 1 or end > self.genome.contigs[name]:
            return Status.INVALID
        found = self.genome.fetch(name, position - 1, end)
        if "N" in found:
            return Status.N_WINDOW
        if self.compare_reference and not self._same(found, reference, f"{contig}:{position}"):
            return Status.REF_MISMATCH
        return Site(name, position, found)

    def judge_at(self, site: Site | Status, alternate: str) -> Verdict:
        """Judge an upper-case alternate allele of letters at a place that `locate` returned."""
        if isinstance(site, Status):
            return Verdict(site)
        if len(alternate) != 1 or len(site.reference) != 1:
            if not self.score_non_snv:
                return Verdict(Status.NOT_SNV)
            if max(len(alternate), len(site.reference)) > (self.window_length + 1) // 2:
                return Verdict(Status.TOO_LONG)
        return self._window(site, alternate)

    def _name(self, contig: str) -> str | None:
        if contig not in self.contigs:
            self.contigs[contig] = self.genome.resolve(contig)
        return self.contigs[contig]

    def _same(self, found: str, reference: str, place: str) -> bool:
        check = self.reference_check
        check.checked += 1
        if found == reference:
            return True
        check.mismatched += 1
        if not check.example:
            check.example = f"{place} has REF {reference[:20]}, the FASTA {found[:20]}"
        return False

    def _window(self, site: Site, alternate: str) -> Verdict:
        """Make the window, unless too much of it is unknown: no base in the allele, or mostly N."""
        if not _BASES.issuperset(alternate):
            return Verdict(Status.N_WINDOW)
        variant = Variant(site.contig, site.position, site.reference, alternate)
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
