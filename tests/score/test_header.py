from __future__ import annotations

import pytest

from genoslim.errors import GenoslimError
from genoslim.score.header import Header

_COLUMNS = b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"
_HEADER = b"##fileformat=VCFv4.3\n##x=\xff y\n" + _COLUMNS + b"\n"


def _read(data: bytes) -> Header:
    return Header.read(iter(data.splitlines(keepends=True)), "in.vcf")


def _annotate(data: bytes, **changes: str) -> bytes:
    given = {"version": "1", "command": "genoslim score", "digest": "ab", "label": "functional"}
    return _read(data).annotated(**(given | changes))


def test_our_lines_come_before_the_columns_and_the_rest_stays() -> None:
    found = _annotate(_HEADER).splitlines()
    assert found[:2] == [b"##fileformat=VCFv4.3", b"##x=\xff y"]
    assert found[2].startswith(b"##INFO=<ID=GS_P,Number=A,Type=Float,")
    assert found[3].startswith(b"##INFO=<ID=GS_STATUS,Number=A,Type=String,")
    assert found[4:] == [
        b"##genoslimVersion=1",
        b"##genoslimCommand=genoslim score",
        b"##genoslimBundle=ab",
        _COLUMNS,
    ]


def test_a_second_run_replaces_the_lines_of_the_first() -> None:
    first = _annotate(_HEADER)
    assert _annotate(first) == first
    other = _annotate(first, digest="cd", version="2")
    assert other.count(b"GS_P") == 1
    assert b"=ab" not in other


def test_foreign_lines_that_look_like_ours_stay() -> None:
    like = b'##INFO=<ID=GS_PX,Number=1>\n##INFO=<ID=X,Description="a,ID=GS_P,b">\n##genoslimX=1\n'
    assert like in _annotate(b"##fileformat=VCFv4.3\n" + like + _COLUMNS + b"\n")


def test_line_ends_are_those_of_the_header() -> None:
    found = _annotate(b"##fileformat=VCFv4.3\r\n" + _COLUMNS + b"\r\n")
    assert found.count(b"\r\n") == found.count(b"\n") == 7


def test_a_last_line_without_line_end_stays_last_and_without() -> None:
    assert _annotate(_HEADER[:-1]).endswith(b"\n" + _COLUMNS)


def test_command_and_label_cannot_break_the_header() -> None:
    found = _annotate(_HEADER, command="a\n#CHROM\tb", label='x"y\\\n')
    assert len(found.splitlines()) == 8
    assert b"##genoslimCommand=a #CHROM b\n" in found
    assert b"class x y " in found


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "in.vcf: empty"),
        (b"\n\n", "in.vcf: empty"),
        (b"##fileformat=VCFv4.3\n", "ends after 1 header lines without a #CHROM line"),
        (b"##fileformat=VCFv4.3\n1\t2\t.\n", r"line 2 is '1\\t2\\t\.'; expected the header"),
        (b"\x00\x01binary\n", "expected the header of a VCF"),
        (b"#CHROM\tPOSITION\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n", "POSITION.*expected #CHROM POS"),
        (b"#CHROM POS ID REF ALT QUAL FILTER INFO\n", "separated by tabs"),
        (b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\n", "the header's columns are"),
    ],
)
def test_what_is_no_header_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(GenoslimError, match=message):
        _read(data)
