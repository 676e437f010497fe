"""One body line of a VCF: what scoring reads of it, and the same line with our INFO spliced in.

A line is cut at its first eight tabs only; genotype columns are carried along unread. Everything
stays bytes, so what is not ours comes out as it came in, whatever its encoding.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..data.status import Status

_INFO = 7
_LONGEST_POSITION = 18
_OURS = re.compile(rb"(?:^|;)GS_(?:P|STATUS)(?:=[^;]*)?(?=;|$)")


@dataclass(frozen=True, slots=True)
class Record:
    """A body line; `fields` are its first eight columns and, unsplit, the rest.

    `fields` is empty where the line is no record at all (too few columns, a `#` in front): such a
    line has no INFO and can only be passed on. `end` is its line end: LF, CRLF, or nothing at the
    file's end.
    """

    line: bytes
    fields: tuple[bytes, ...]
    end: bytes

    @property
    def well_formed(self) -> bool:
        """Whether the line has the eight columns of a record."""
        return bool(self.fields)

    @property
    def silent(self) -> bool:
        """Whether the line does not even try to be a record: it is blank or begins with `#`."""
        return self.line.startswith(b"#") or not self.line.strip()

    @property
    def contig(self) -> bytes:
        """CHROM, as written."""
        return self.fields[0]

    @property
    def position(self) -> int | None:
        """POS, 1-based; None where it is not a plain whole number."""
        text = self.fields[1]
        return int(text) if text.isdigit() and len(text) <= _LONGEST_POSITION else None

    @property
    def reference(self) -> bytes:
        """REF, as written."""
        return self.fields[3]

    @property
    def alternates(self) -> list[bytes]:
        """ALT, one item an allele, as written; `[b"."]` where the record has none."""
        return self.fields[4].split(b",")

    def annotated(self, probabilities: Sequence[float | None], statuses: Sequence[Status]) -> bytes:
        """Return the line with GS_P and GS_STATUS at the end of INFO, replacing older ones."""
        if not self.fields:
            return self.line
        values = ",".join([format_probability(value) for value in probabilities])
        ours = f"GS_P={values};GS_STATUS={','.join(statuses)}".encode("ascii")
        fields = list(self.fields)
        fields[_INFO] = _extend(fields[_INFO], ours)
        return b"\t".join(fields) + self.end


class ScoredRecord(NamedTuple):
    """A record with one probability (None: not scored) and one status for each alternate allele."""

    record: Record
    probabilities: Sequence[float | None]
    statuses: Sequence[Status]


def parse_record(line: bytes) -> Record:
    """Cut a body line, line end included, into its columns; never fails."""
    body = line.rstrip(b"\r\n")
    fields = tuple(body.split(b"\t", _INFO + 1))
    if len(fields) <= _INFO or body.startswith(b"#"):
        fields = ()
    return Record(line, fields, line[len(body) :])


def format_probability(value: float | None) -> str:
    """Return six significant digits, or `.` for none."""
    return "." if value is None else f"{value:.6g}"


def _extend(info: bytes, ours: bytes) -> bytes:
    """Append to an INFO column, which may be missing (`.`) or hold our fields already.

    Semicolons at its end, which separate nothing, go, so that annotating again changes nothing.
    """
    if b"GS_" in info:
        bare = _OURS.sub(b"", info)
        info = bare if info.startswith(b";") else bare.removeprefix(b";")
    info = info.rstrip(b";")
    return ours if info in (b"", b".") else info + b";" + ours
