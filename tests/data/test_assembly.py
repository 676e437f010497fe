from __future__ import annotations

import pytest

from genoslim.data import assembly


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hg38", "GRCh38"),
        ("GRCh38.p14", "GRCh38"),
        ("file:///refs/hs37d5.fa.gz", "GRCh37"),
        ("b37", "GRCh37"),
        ("hg19", "GRCh37"),
        ("chm13v2.0.fa", "T2T-CHM13v2.0"),
        ("mm10", "GRCm38"),
        ("simulated", None),
        ("", None),
    ],
)
def test_names_are_brought_to_one(name: str, expected: str | None) -> None:
    assert assembly.canonical(name) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("##reference=file:///data/hg38.fa\n", "GRCh38"),
        ("##contig=<ID=1,assembly=b37,length=249250621>\n", "GRCh37"),
        ("##contig=<ID=chr1,length=248956422>\n", "GRCh38"),
        ("##contig=<length=64444167,ID=chr20>\n", "GRCh38"),
        ("##contig=<ID=z,length=1000>\n##reference=ref.fa\n", None),
        ("##source=hg38 things\n", None),
        ("##assembly=\n##reference=\n##contig=<ID=1,assembly=>\n", None),
    ],
)
def test_a_header_tells_by_name_or_by_length(header: str, expected: str | None) -> None:
    assert assembly.of_header(header) == expected


def test_only_known_and_different_assemblies_disagree() -> None:
    found = {"a": "GRCh37", "b": "GRCh38", "c": None}
    assert list(assembly.disagreements("hg38", found)) == [
        "the bundle was made for hg38, but a is of GRCh37"
    ]
    assert not list(assembly.disagreements("simulated", found))
