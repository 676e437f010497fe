"""The header of a VCF: read, checked as far as scoring depends on it, and given our lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import GenoslimError

_COLUMNS = b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"
_OURS = re.compile(
    rb'##(?:genoslim(?:Version|Command|Bundle)=|INFO=<(?:[^"]*,)?ID=GS_(?:P|STATUS)[,>])'
)
_EXCERPT_BYTES = 80


@dataclass(frozen=True)
class Header:
    """The header's lines with their line ends; the last is the `#CHROM` line."""

    lines: tuple[bytes, ...]

    @classmethod
    def read(cls, lines: Iterator[bytes], name: str) -> Header:
        """Take lines up to and with the `#CHROM` line.

        GenoslimError: nothing there, not a VCF, no `#CHROM` line, or not a VCF's eight columns.
        """
        found: list[bytes] = []
        for line in lines:
            found.append(line)
            if line.startswith(b"#CHROM"):
                _check_columns(line, name)
                return cls(tuple(found))
            if not line.startswith(b"#") and line.strip():
                raise GenoslimError(
                    f"{name}: line {len(found)} is {_excerpt(line)}; expected the header of a VCF"
                    " (lines that begin with ##, then the #CHROM line)"
                )
        if not any(line.strip() for line in found):
            raise GenoslimError(f"{name}: empty; a VCF has at least a #CHROM line")
        raise GenoslimError(f"{name}: ends after {len(found)} header lines without a #CHROM line")

    def annotated(self, *, version: str, command: str, digest: str, label: str) -> bytes:
        """Return the header with our lines before the `#CHROM` line, in place of any there before.

        `label` is the name of the class whose probability GS_P is; `digest` identifies the bundle.
        """
        label = re.sub(r'["\\\s]+', " ", label)
        ours = [
            '##INFO=<ID=GS_P,Number=A,Type=Float,Description="Calibrated probability of class'
            f' {label} for the alternate sequence; missing where it was not scored">',
            '##INFO=<ID=GS_STATUS,Number=A,Type=String,Description="What genoslim found: OK or'
            ' CONTIG_EDGE where scored, else the reason why not">',
            f"##genoslimVersion={version}",
            f"##genoslimCommand={' '.join(command.split())}",
            f"##genoslimBundle={digest}",
        ]
        end = b"\r\n" if self.lines[-1].endswith(b"\r\n") else b"\n"
        kept = [line for line in self.lines[:-1] if not _OURS.match(line)]
        added = [line.encode("utf-8", "surrogateescape") + end for line in ours]
        return b"".join([*kept, *added, self.lines[-1]])

    @property
    def text(self) -> str:
        """The header as text, for searching; bytes that are not UTF-8 are replaced."""
        return b"".join(self.lines).decode("utf-8", "replace")


def _check_columns(line: bytes, name: str) -> None:
    columns = line.rstrip(b"\r\n")
    if columns != _COLUMNS and not columns.startswith(_COLUMNS + b"\t"):
        raise GenoslimError(
            f"{name}: the header's columns are {_excerpt(columns)}; expected"
            f" {_COLUMNS.decode().expandtabs(1)}, separated by tabs"
        )


def _excerpt(line: bytes) -> str:
    """Return the beginning of a line as a terminal can show it."""
    text = repr(line.rstrip(b"\r\n")[:_EXCERPT_BYTES])[1:]
    return text + ("..." if len(line) > _EXCERPT_BYTES else "")
