from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genoslim.data.status import Status
from genoslim.score.record import format_probability, parse_record

_OURS = re.compile(rb";?GS_P=[^;]*;GS_STATUS=[^;\t\r\n]*")
_cell = st.binary(max_size=12).filter(
    lambda cell: not re.search(rb"[\t\r\n]", cell) and b"GS_" not in cell
)


def _line(info: bytes, rest: bytes = b"", end: bytes = b"\n") -> bytes:
    return b"1\t5\trs\xff\tA\tC,*\t.\tPASS\t" + info + rest + end


def _annotate(line: bytes) -> bytes:
    return parse_record(line).annotated([0.25, None], [Status.OK, Status.STAR])


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        (b".", b""),
        (b"", b""),
        (b"DP=3", b"DP=3;"),
        (b"DP=3;", b"DP=3;"),
        (b"DP=3;;", b"DP=3;"),
        (b";", b""),
        (b";;DP=3", b";;DP=3;"),
        (b".;", b""),
        (b"GS_P=1;GS_STATUS=OK", b""),
        (b"GS_P=1;GS_STATUS=OK;DP=3", b"DP=3;"),
        (b"DP=3;GS_STATUS=OK;DB;GS_P=0.5,.", b"DP=3;DB;"),
        (b"GS_PX=1;XGS_P=2", b"GS_PX=1;XGS_P=2;"),
        (b"GS_P;DB", b"DB;"),
        (b"A=x y;B=\xe9", b"A=x y;B=\xe9;"),
    ],
)
def test_info_gains_our_two_fields_in_place_of_older_ones(info: bytes, expected: bytes) -> None:
    ours = b"GS_P=0.25,.;GS_STATUS=OK,STAR"
    assert _annotate(_line(info)) == _line(expected + ours)
    assert _annotate(_annotate(_line(info))) == _line(expected + ours)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
@pytest.mark.parametrize("rest", [b"", b"\tGT:DP\t0/1:3\t./.:.", b"\t"])
def test_other_columns_and_line_end_stay(rest: bytes, end: bytes) -> None:
    expected = _line(b"DP=3;GS_P=0.25,.;GS_STATUS=OK,STAR", rest, end)
    assert _annotate(_line(b"DP=3", rest, end)) == expected


@given(st.lists(_cell, min_size=8, max_size=12), st.sampled_from([b"\n", b"\r\n", b""]))
def test_taking_our_fields_out_again_gives_the_line_back(cells: list[bytes], end: bytes) -> None:
    cells[0] = cells[0].lstrip(b"#") or b"1"
    line = b"\t".join(cells) + end
    record = parse_record(line)
    if not record.well_formed:  # trailing control characters that count as line end
        return
    count = len(record.alternates)
    found = record.annotated([None] * count, [Status.INVALID] * count)
    back = _OURS.sub(b"", found, count=1).split(b"\t", 8)
    info = cells[7].rstrip(b";") if cells[7].rstrip(b";") != b"." else b""
    assert back[7].rstrip(b"\r\n").rstrip(b";") == info
    assert [*back[:7], *back[8:]] == [*line.split(b"\t", 8)[:7], *line.split(b"\t", 8)[8:]]
    again = parse_record(found).annotated([None] * count, [Status.INVALID] * count)
    assert again == found


@pytest.mark.parametrize(
    "line", [b"\n", b"", b"\r\n", b"1\t2\t.\tA\tC\n", b"#x\t1\t2\t3\t4\t5\t6\t7\n", b"a b c\n"]
)
def test_a_line_that_is_no_record_is_passed_on(line: bytes) -> None:
    record = parse_record(line)
    assert not record.well_formed
    assert record.annotated([None], [Status.INVALID]) == line


@pytest.mark.parametrize(
    ("text", "position"),
    [
        (b"1", 1),
        (b"0", 0),
        (b"007", 7),
        (b"-1", None),
        (b"+1", None),
        (b"1e3", None),
        (b".", None),
        (b"", None),
        (b" 1", None),
        ("٣".encode(), None),
        (b"9" * 5000, None),
    ],
)
def test_position_is_a_plain_whole_number_or_none(text: bytes, position: int | None) -> None:
    assert parse_record(b"1\t" + text + b"\t.\tA\tC\t.\t.\t.\n").position == position


@pytest.mark.parametrize(
    ("value", "text"), [(None, "."), (0.5, "0.5"), (1e-9, "1e-09"), (0.12345678, "0.123457")]
)
def test_probabilities_have_six_digits(value: float | None, text: str) -> None:
    assert format_probability(value) == text
