"""Which genome assembly a name, a VCF header or a FASTA speaks of, where that can be told."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_NAMES = {
    "GRCh38": re.compile(r"grch38|hg38|hs38|\bb38\b", re.I),
    "GRCh37": re.compile(r"grch37|hg19|hs37|\bb37\b", re.I),
    "T2T-CHM13v2.0": re.compile(r"chm13|t2t|\bhs1\b", re.I),
    "GRCm38": re.compile(r"grcm38|mm10\b", re.I),
    "GRCm39": re.compile(r"grcm39|mm39\b", re.I),
}  # fmt: skip
_LENGTHS = {
    ("1", 248956422): "GRCh38",
    ("20", 64444167): "GRCh38",
    ("21", 46709983): "GRCh38",
    ("22", 50818468): "GRCh38",
    ("X", 156040895): "GRCh38",
    ("1", 249250621): "GRCh37",
    ("20", 63025520): "GRCh37",
    ("21", 48129895): "GRCh37",
    ("22", 51304566): "GRCh37",
    ("X", 155270560): "GRCh37",
    ("1", 248387328): "T2T-CHM13v2.0",
    ("1", 195471971): "GRCm38",
    ("1", 195154279): "GRCm39",
}
_SAYS = re.compile(r"^##(?:reference|assembly)=(.*)$|^##contig=<.*\bassembly=([^,>]+)", re.M)
_CONTIG = re.compile(r"^##contig=<(?=.*\bID=([^,>]+))(?=.*\blength=(\d{1,18})\b)", re.M)


def canonical(name: str) -> str | None:
    """Return the one name that we use for an assembly, None if `name` speaks of none we know."""
    return next((known for known, pattern in _NAMES.items() if pattern.search(name)), None)


def same(first: str | None, second: str | None) -> bool:
    """Say whether two names may be of one assembly: under any alias, or where one is not stated."""
    if not stated(first) or not stated(second):
        return True
    one, other = str(first), str(second)
    return one == other or (canonical(one) or one) == (canonical(other) or other)


def stated(name: str | None) -> bool:
    """Say whether a name says anything at all."""
    return name not in (None, "", "unknown")


def of_header(text: str) -> str | None:
    """Return the assembly that a VCF header names, else the one its contigs' lengths tell."""
    named = (canonical(match[1] or match[2] or "") for match in _SAYS.finditer(text))
    contigs = {match[1]: int(match[2]) for match in _CONTIG.finditer(text)}
    return next((name for name in named if name), None) or of_contigs(contigs)


def of_contigs(contigs: Mapping[str, int]) -> str | None:
    """Return the assembly that contigs of these lengths belong to."""
    keys = ((name.removeprefix("chr"), length) for name, length in contigs.items())
    return next((_LENGTHS[key] for key in keys if key in _LENGTHS), None)


def disagreements(expected: str, found: Mapping[str, str | None]) -> Iterator[str]:
    """Yield a sentence for each source of a known assembly other than `expected`."""
    wanted = canonical(expected)
    for source, assembly in found.items():
        if wanted and assembly and assembly != wanted:
            yield f"the bundle was made for {expected}, but {source} is of {assembly}"
