from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from genoslim.data.table import Row, read_table
from genoslim.errors import GenoslimError


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_cells_stand_as_they_are(tmp_path: Path) -> None:
    path = write(tmp_path / "t.tsv", "\ufefflocus\tn\nNA\t\n\nnan\t1\n")
    rows = list(read_table(path, required=["locus"]))
    assert [row.cells for row in rows] == [{"locus": "NA", "n": ""}, {"locus": "nan", "n": "1"}]
    assert rows[1].place == f"{path}, line 4"


def test_commas_quotes_and_gzip(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b'a,b\r\n"x, y",2\r\n'))
    assert [row.cells for row in read_table(path, required=["a", "b"])] == [{"a": "x, y", "b": "2"}]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "empty; expected a header line with CHROM, POS"),
        ("CHROM,Pos\n", r"no column 'POS'; is it 'Pos'\? \(found CHROM, Pos\)"),
        ("CHROM,POSS\n", r"is it 'POSS'"),
        ("CHROM,POS,POS\n", "column 'POS' stands twice"),
        ("CHROM,POS\nchr1\n", "line 2: 1 cells; the header has 2"),
        ('CHROM,POS\n"chr1,2\n', "line"),
    ],
)
def test_faults_are_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(GenoslimError, match=named):
        list(read_table(write(tmp_path / "t.csv", text), required=["CHROM", "POS"]))


def test_not_text(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"CHROM\nchr1\nchr\xff\n")
    with pytest.raises(GenoslimError, match="line 3: byte 0xff is no UTF-8"):
        list(read_table(path, required=["CHROM"]))


@pytest.mark.parametrize(("text", "value"), [("12", 12), ("-3", -3), ("12.0", 12), (" 7 ", 7)])
def test_integer(text: str, value: int) -> None:
    assert Row({"n": text}, "p").integer("n") == value


@pytest.mark.parametrize("text", ["", "x", "1.5", "nan", "inf", "1_0x"])
def test_not_an_integer(text: str) -> None:
    with pytest.raises(GenoslimError, match=r"^p: n is"):
        Row({"n": text}, "p").integer("n")


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("1", 1), ("1.0", 1), ("False", 0)])
def test_label(text: str, value: int) -> None:
    assert Row({"n": text}, "p").label("n") == value


def test_not_a_label_nor_a_choice() -> None:
    with pytest.raises(GenoslimError, match="p: n is '2'; expected 0 or 1"):
        Row({"n": "2"}, "p").label("n")
    with pytest.raises(GenoslimError, match="p: n is 'valid'; expected train or test"):
        Row({"n": "valid"}, "p").choice("n", ("train", "test"))
