"""One grammar: what a data set takes for a sequence is what scoring takes for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genoslim.data.alleles import Allele, allele_kind, is_sequence
from genoslim.data.variant import InvalidVariant, Variant

ALLELES = [
    ("A", "sequence"),
    ("acgtn", "sequence"),
    ("*", "star"),
    ("<DEL>", "symbolic"),
    ("<*>", "symbolic"),
    ("<NON_REF>", "symbolic"),
    ("<INS:ME:ALU>", "symbolic"),
    ("<a[b]c>", "symbolic"),
    ("C<ctg1>", "symbolic"),
    ("G]17:198982]", "breakend"),
    ("]13:123456]T", "breakend"),
    ("C[<ctg1>:7[", "breakend"),
    (".[13:123457[", "breakend"),
    ("A.", "breakend"),
    (".A", "breakend"),
    (".", "missing"),
    ("", "invalid"),
    ("R", "invalid"),
    ("ACRT", "invalid"),
    ("A T", "invalid"),
    ("<DEL", "invalid"),
    ("<INS>BLAH>", "invalid"),
    ("[1:100[", "invalid"),
    ("G]17:198982[", "invalid"),
    ("**", "invalid"),
    ("é", "invalid"),
    ("\u212a", "invalid"),
    ("A\n", "invalid"),
]


@pytest.mark.parametrize(("allele", "kind"), ALLELES)
def test_the_kind_of_an_alternate_allele(allele: str, kind: str) -> None:
    assert allele_kind("GA", allele) is Allele(kind)


@pytest.mark.parametrize("reference", ["R", "", ".", "<DEL>", "*", "A-"])
def test_beside_a_reference_that_is_no_sequence_nothing_is_valid(reference: str) -> None:
    assert allele_kind(reference, "C") is Allele.INVALID


def test_an_allele_equal_to_the_reference_is_no_alternate() -> None:
    assert allele_kind("ac", "AC") is Allele.INVALID


@given(allele=st.text(alphabet="ACGTNacgtnRrYx*.<>[]-", max_size=4))
def test_what_is_a_sequence_makes_a_variant_and_nothing_else_does(allele: str) -> None:
    assert (allele_kind("GGGGG", allele) is Allele.SEQUENCE) == is_sequence(allele)
    if is_sequence(allele):
        assert Variant("c", 1, "GGGGG", allele).alternate == allele.upper()
    else:
        with pytest.raises(InvalidVariant, match="one or more of the letters A, C, G, T, N"):
            Variant("c", 1, "GGGGG", allele)
