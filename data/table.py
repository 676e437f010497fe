"""Text files as lines, and tables with named columns: every fault named with file and line."""

from __future__ import annotations

import csv
import difflib
import gzip
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import GenoslimError

_BCF = b"BCF\x02"


def read_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a text file, plain, gzip or bgzip (told by content), with no line ends.

    Raises GenoslimError for a truncated or damaged gzip, a BCF and what is not UTF-8 text.
    """
    number = 0
    with path.open("rb") as raw:
        compressed = raw.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path, "rb") if compressed else path.open("rb") as stream:
            for line in stream:
                number += 1
                if number == 1 and line.startswith(_BCF):
                    raise GenoslimError(
                        f"{path}: a BCF; expected text: bcftools view IN.bcf -Oz -o OUT.vcf.gz"
                    )
                yield line.decode("utf-8").rstrip("\r\n")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise GenoslimError(
            f"{path}: truncated or damaged gzip after line {number} ({error}); fetch it again"
        ) from None
    except UnicodeDecodeError as error:
        raise GenoslimError(
            f"{path}, line {number}: byte {error.object[error.start]:#04x} is no UTF-8 text"
        ) from None


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table: its cells by column name, and `place` for messages (file and line)."""

    cells: dict[str, str]
    place: str

    def text(self, column: str) -> str:
        """Return a cell that may not be blank."""
        value = self.cells[column].strip()
        if not value:
            raise GenoslimError(f"{self.place}: {column} is blank; expected a value")
        return value

    def integer(self, column: str) -> int:
        """Return a cell that holds a whole number (`12` or `12.0`)."""
        value = self.text(column)
        try:
            number = float(value)
            if number == int(number):
                return int(value) if value.lstrip("+-").isdigit() else int(number)
        except (ValueError, OverflowError):
            pass
        raise GenoslimError(f"{self.place}: {column} is {value!r}; expected a whole number")

    def number(self, column: str) -> float:
        """Return a cell that holds a finite number; NaN for one that is blank, `.` or `NA`."""
        value = self.cells[column].strip()
        if value in ("", ".", "NA"):
            return math.nan
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise GenoslimError(
                f"{self.place}: {column} is {value!r}; expected a number, or blank for none"
            )
        return number

    def choice(self, column: str, choices: Sequence[str]) -> str:
        """Return a cell that holds one of some values."""
        value = self.text(column)
        if value not in choices:
            raise GenoslimError(
                f"{self.place}: {column} is {value!r}; expected {' or '.join(choices)}"
            )
        return value

    def label(self, column: str) -> int:
        """Return a cell that holds 0 or 1 (`1.0` and `true` count too)."""
        value = self.text(column)
        known = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}
        if value.lower() not in known:
            raise GenoslimError(f"{self.place}: {column} is {value!r}; expected 0 or 1")
        return known[value.lower()]


def read_table(
    path: Path, *, required: Iterable[str], aliases: Mapping[str, str] | None = None
) -> Iterator[Row]:
    """Yield the rows of a table with a header line; tabs or commas, as the header has.

    Cells are kept as they stand (`NA` is a text like any other); blank lines are passed over.
    With `aliases`, from other names to names, a column of any of both kinds, in any case and with
    `#` before it, is taken for the one it means, unless that one is there exactly. Raises
    GenoslimError for an empty file, a missing column and a row of another width.
    """
    lines = read_lines(path)
    header_line = next(lines, "").removeprefix("\ufeff")
    if not header_line.strip():
        raise GenoslimError(
            f"{path}: empty; expected a header line with {', '.join(required)}, then rows"
        )
    delimiter = "\t" if "\t" in header_line else ","
    header = [name.strip() for name in next(csv.reader([header_line], delimiter=delimiter))]
    header = header if aliases is None else _renamed(header, aliases)
    _check_header(path, header, required)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        for values in reader:
            place = f"{path}, line {reader.line_num + 1}"
            if len(values) != len(header):
                if not values:
                    continue
                raise GenoslimError(f"{place}: {len(values)} cells; the header has {len(header)}")
            yield Row(dict(zip(header, values, strict=True)), place)
    except csv.Error as error:
        raise GenoslimError(f"{path}, line {reader.line_num + 1}: {error}") from None


def _renamed(header: list[str], aliases: Mapping[str, str]) -> list[str]:
    """Return the header with other names replaced by those they mean."""
    meant = {name: name for name in aliases.values()} | dict(aliases)
    names = [meant.get(name.removeprefix("#").lower(), name) for name in header]
    return [
        old if new != old and new in header else new for old, new in zip(header, names, strict=True)
    ]


def _check_header(path: Path, header: list[str], required: Iterable[str]) -> None:
    for name in required:
        if name in header:
            continue
        near = [h for h in header if h.lower() == name.lower()]
        near = near or difflib.get_close_matches(name, header, n=1)
        hint = f"; is it {near[0]!r}?" if near else ""
        raise GenoslimError(f"{path}: no column {name!r}{hint} (found {', '.join(header)})")
    for name in header:
        if header.count(name) > 1:
            raise GenoslimError(f"{path}: column {name!r} stands twice in the header")
