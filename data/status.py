"""Whether an alternate allele can be scored, and if not, why."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """The outcome for one alternate allele, as in GS_STATUS (docs/scoring.md has the rules)."""

    OK = "OK"
    """Scored."""
    CONTIG_EDGE = "CONTIG_EDGE"
    """Scored; the window reaches over an end of the contig and is padded there with N."""
    NOT_SNV = "NOT_SNV"
    """Not one base for one base; scored only on demand."""
    TOO_LONG = "TOO_LONG"
    """A non-SNV's allele is longer than half the window, or the window has too many tokens."""
    REF_MISMATCH = "REF_MISMATCH"
    """REF is not what the FASTA has there."""
    SYMBOLIC = "SYMBOLIC"
    """`<DEL>`, `<*>`, `<NON_REF>`: no sequence is given."""
    STAR = "STAR"
    """`*`: removed by a deletion that begins upstream."""
    BREAKEND = "BREAKEND"
    """A breakend, paired or single."""
    NO_CONTIG = "NO_CONTIG"
    """The FASTA has no such contig."""
    N_WINDOW = "N_WINDOW"
    """An allele has an N, or most of the window's bases are N."""
    INVALID = "INVALID"
    """No alternate allele, or none that can be read, or a place outside the contig."""

    @property
    def scored(self) -> bool:
        """Whether an allele of this status has a probability."""
        return self in (Status.OK, Status.CONTIG_EDGE)
