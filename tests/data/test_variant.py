from __future__ import annotations

import pytest

from genoslim.data.variant import InvalidVariant, Variant, variant_at
from genoslim.errors import GenoslimError


def test_coordinates_and_key() -> None:
    variant = Variant("chr1", 10, "ac", "t")
    assert (variant.start, variant.end, variant.key) == (9, 11, "chr1:10:AC:T")
    assert str(variant) == variant.key


@pytest.mark.parametrize(
    ("contig", "position", "reference", "alternate", "named"),
    [
        ("", 1, "A", "C", "contig ''"),
        (" chr1", 1, "A", "C", "contig ' chr1'"),
        ("chr1", 0, "A", "C", "position 0"),
        ("chr1", 1, "", "C", "reference allele ''"),
        ("chr1", 1, "A", "<DEL>", "alternate allele '<DEL>'"),
        ("chr1", 1, "A", "*", "alternate allele '*'"),
        ("chr1", 1, "A", "C\n", "alternate allele"),
    ],
)
def test_refusals_name_the_value(
    contig: str, position: int, reference: str, alternate: str, named: str
) -> None:
    with pytest.raises(InvalidVariant, match=named.replace("*", r"\*")) as caught:
        variant_at("f.vcf, line 3", contig, position, reference, alternate)
    assert str(caught.value).startswith("f.vcf, line 3: ")
    assert isinstance(caught.value, GenoslimError)
