"""What an allele of a VCF is, judged by its letters alone: the one grammar of data sets and scores.

VCF 4.3, section 1.6.1, fields 4 and 5: a sequence is made of A, C, G, T, N in either case. The
other IUPAC codes are no sequence; the specification has them reduced to a base before.
"""

from __future__ import annotations

import re
from enum import Enum

_SEQUENCE = re.compile(r"[ACGTN]+", re.IGNORECASE | re.ASCII)
_SYMBOLIC = re.compile(r"[ACGTN]*<[^<>]+>[ACGTN]*", re.IGNORECASE | re.ASCII)
_BREAKEND = re.compile(
    r"[ACGTN.]+([\[\]])[^\[\]]+\1|([\[\]])[^\[\]]+\2[ACGTN.]+|\.[ACGTN]+|[ACGTN]+\.",
    re.IGNORECASE | re.ASCII,
)


class Allele(Enum):
    """What an alternate allele is."""

    SEQUENCE = "sequence"
    """Spelt out, so that a window can be made of it."""
    SYMBOLIC = "symbolic"
    """`<DEL>`, `<*>`, `C<ctg1>`."""
    STAR = "star"
    """`*`: removed by a deletion that begins upstream."""
    BREAKEND = "breakend"
    """`G]17:198982]`, or a single one, `G.`."""
    MISSING = "missing"
    """`.`: the record has no alternate allele."""
    INVALID = "invalid"
    """Nothing that the specification has, or equal to the reference allele."""


def is_sequence(allele: str) -> bool:
    """Say whether an allele is one or more of A, C, G, T, N in either case."""
    return _SEQUENCE.fullmatch(allele) is not None


def allele_kind(reference: str, alternate: str) -> Allele:
    """Return what `alternate` is beside `reference`, which has to be a sequence itself."""
    if not is_sequence(reference) or alternate.upper() == reference.upper():
        return Allele.INVALID
    if is_sequence(alternate):
        return Allele.SEQUENCE
    if alternate in _ALONE:
        return _ALONE[alternate]
    if _SYMBOLIC.fullmatch(alternate):
        return Allele.SYMBOLIC
    return Allele.BREAKEND if _BREAKEND.fullmatch(alternate) else Allele.INVALID


_ALONE = {"*": Allele.STAR, ".": Allele.MISSING}
