"""A variant: one reference allele replaced by one alternate allele at a place of a genome."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import GenoslimError
from .alleles import is_sequence


class InvalidVariant(GenoslimError):  # noqa: N818
    """A contig, position or allele that no variant can have."""


@dataclass(frozen=True, slots=True, order=True)
class Variant:
    """One alternate allele. `position` is 1-based, as in VCF; alleles are kept upper-case.

    Raises InvalidVariant if the contig is blank, the position below 1, or an allele anything
    but A, C, G, T, N (so other IUPAC codes, symbolic alleles, `*`, `.`, breakends are no Variants).
    """

    contig: str
    position: int
    reference: str
    alternate: str

    def __post_init__(self) -> None:
        if not self.contig or self.contig != self.contig.strip():
            raise InvalidVariant(f"contig {self.contig!r}: a contig's name is not blank")
        if self.position < 1:
            raise InvalidVariant(
                f"{self.contig}: position {self.position}: positions are 1-based, so 1 or more"
            )
        object.__setattr__(self, "reference", self._checked("reference", self.reference))
        object.__setattr__(self, "alternate", self._checked("alternate", self.alternate))

    def _checked(self, name: str, allele: str) -> str:
        if not is_sequence(allele):
            raise InvalidVariant(
                f"{self.contig}:{self.position}: {name} allele {allele!r}:"
                " an allele is one or more of the letters A, C, G, T, N"
            )
        return allele.upper()

    @property
    def start(self) -> int:
        """The 0-based position of the first reference base."""
        return self.position - 1

    @property
    def end(self) -> int:
        """The 0-based position just past the last reference base."""
        return self.start + len(self.reference)

    @property
    def key(self) -> str:
        """`contig:position:reference:alternate`, the same for the same variant."""
        return f"{self.contig}:{self.position}:{self.reference}:{self.alternate}"

    def __str__(self) -> str:
        return self.key


def variant_at(place: str, contig: str, position: int, reference: str, alternate: str) -> Variant:
    """Return the Variant read at `place` (file and line), which a raised InvalidVariant names."""
    try:
        return Variant(contig, position, reference, alternate)
    except InvalidVariant as error:
        raise InvalidVariant(f"{place}: {error}") from None
