"""A reference genome in FASTA, and the windows of sequence around variants.

All coordinates are 0-based and half-open except `Variant.position`. The sequence handed out holds
A, C, G, T and N alone: lower case (soft masking) is lifted and every other letter becomes N.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import pysam

from ..errors import GenoslimError
from ..files import atomic_path
from .variant import Variant

_log = logging.getLogger(__name__)

# Consecutive fetches from one contig before the whole contig is worth holding in memory.
_FETCHES_BEFORE_LOAD = 32
_TO_ACGTN = dict.fromkeys(range(128), "N") | {ord(base): base.upper() for base in "ACGTacgt"}
_MITOCHONDRIAL = ("chrM", "M", "chrMT", "MT")


class UnknownContig(GenoslimError):  # noqa: N818
    """A contig that the FASTA does not have under any name we know."""


class ReferenceMismatch(GenoslimError):  # noqa: N818
    """A variant whose reference allele is not what the genome has there."""


@dataclass(frozen=True, slots=True)
class Window:
    """Sequence of fixed length with the variant's allele at the 0-based `index`.

    `padded` says whether an end of the contig was met and filled up with N.
    """

    sequence: str
    index: int
    padded: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.index < len(self.sequence):
            raise GenoslimError(
                f"window index {self.index}: not within a sequence of {len(self.sequence)} bases"
            )


class Genome:
    """Random access to a FASTA file, plain or bgzip-compressed.

    An index (`.fai`) beside the file is used if it describes the file. Otherwise one is made:
    beside the FASTA where that folder can be written to, else a temporary one. A contig that is
    asked for time after time is held in memory, one contig at a time.

    Raises GenoslimError for a file that is no FASTA, has two contigs of one name, or is
    compressed with gzip rather than bgzip. Not safe to share between threads.
    """

    def __init__(self, fasta: Path) -> None:
        self.path: Path = Path(fasta)
        self._file = self._open()
        names, lengths = self._file.references, self._file.lengths
        self.contigs: dict[str, int] = dict(zip(names, lengths, strict=True))
        self._loaded: tuple[str, str] = ("", "")
        self._last, self._streak = "", 0

    def __enter__(self) -> Genome:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def resolve(self, contig: str) -> str | None:
        """Return this FASTA's name of `contig`: itself, else with or without `chr`, else None.

        `M`, `MT`, `chrM` and `chrMT` are taken for one contig.
        """
        if contig in self.contigs:
            return contig
        bare = contig.removeprefix("chr")
        others = _MITOCHONDRIAL if contig in _MITOCHONDRIAL else (bare, "chr" + bare)
        return next((name for name in others if name in self.contigs), None)

    def fetch(self, contig: str, start: int, end: int) -> str:
        """Return bases [start, end) of a contig, clipped to it: never wrapped, never padded.

        Raises UnknownContig.
        """
        name = self.resolve(contig)
        if name is None:
            raise UnknownContig(
                f"{self.path}: no contig {contig!r}; it has {_listed(self.contigs)}"
            )
        start = max(0, start)
        end = min(end, self.contigs[name])
        if start >= end:
            return ""
        if self._loaded[0] == name:
            return self._loaded[1][start:end]
        return self._fetch_from_file(name, start, end)

    def _fetch_from_file(self, name: str, start: int, end: int) -> str:
        self._streak = self._streak + 1 if name == self._last else 1
        self._last = name
        if self._streak > _FETCHES_BEFORE_LOAD:
            self._loaded = ("", "")  # frees the other contig before this one is read
            self._loaded = (name, self._read(name, 0, self.contigs[name]))
            return self._loaded[1][start:end]
        return self._read(name, start, end)

    def _read(self, name: str, start: int, end: int) -> str:
        try:
            sequence: str = self._file.fetch(name, start, end)
        except (OSError, ValueError) as error:
            raise GenoslimError(f"{self.path}: cannot read {name}:{start}-{end}: {error}") from None
        if len(sequence) != end - start:
            raise GenoslimError(
                f"{self.path}: {name}:{start}-{end} holds {len(sequence)} bases where its index"
                f" says {end - start}: the file is truncated, or the index is of another file"
            )
        return sequence.translate(_TO_ACGTN)

    def _open(self) -> pysam.FastaFile:
        compressed = _is_bgzip(self.path)
        beside = [Path(f"{self.path}.fai")] + [Path(f"{self.path}.gzi")] * compressed
        if all(index.is_file() for index in beside):
            if compressed or _describes(beside[0], self.path):
                return self._opened(*beside)
            _log.warning("%s does not describe %s: indexing again", beside[0], self.path)
        with tempfile.TemporaryDirectory(prefix="genoslim-") as folder:
            return self._opened(*self._index(Path(folder), compressed))

    def _opened(self, fai: Path, gzi: Path | None = None) -> pysam.FastaFile:
        try:
            return pysam.FastaFile(
                str(self.path),
                filepath_index=str(fai),
                filepath_index_compressed=None if gzi is None else str(gzi),
            )
        except (OSError, ValueError) as error:
            raise GenoslimError(f"{self.path}: cannot be read as FASTA: {error}") from None

    def _index(self, folder: Path, compressed: bool) -> list[Path]:
        """Index the FASTA in a folder, then move the index beside the FASTA if possible."""
        _refuse_what_is_not_fasta(self.path)
        fai, gzi = folder / "index.fai", folder / "index.gzi"
        verbosity = pysam.set_verbosity(0)
        try:
            pysam.faidx("--fai-idx", str(fai), "--gzi-idx", str(gzi), str(self.path))
        except pysam.SamtoolsError:
            raise GenoslimError(
                f"{self.path}: cannot be indexed as FASTA: all lines of a contig but the last"
                " must be of one length, and hold sequence alone"
            ) from None
        finally:
            pysam.set_verbosity(verbosity)
        made = [(fai, ".fai")] + [(gzi, ".gzi")] * compressed
        return [_moved(index, Path(f"{self.path}{suffix}")) for index, suffix in made]


def alternate_window(genome: Genome, variant: Variant, length: int) -> Window:
    """Return the window of `length` bases with the alternate allele at index `length // 2`.

    For an SNV this is `[start - length // 2, start + length // 2 + length % 2)` of the contig with
    one base replaced; N stands for what lies outside the contig. For other variants what follows
    the reference allele follows the alternate one, and the window is cut to `length`.

    Raises UnknownContig, and ReferenceMismatch if the genome has another reference allele.
    """
    if length < 1:
        raise GenoslimError(f"window length {length}: must be 1 or more")
    check_reference(genome, variant)
    index = length // 2
    allele = variant.alternate.translate(_TO_ACGTN)[: length - index]
    after = length - index - len(allele)
    left = genome.fetch(variant.contig, variant.start - index, variant.start)
    right = genome.fetch(variant.contig, variant.end, variant.end + after)
    padded = len(left) < index or len(right) < after
    return Window(left.rjust(index, "N") + allele + right.ljust(after, "N"), index, padded)


def check_reference(genome: Genome, variant: Variant) -> None:
    """Raise ReferenceMismatch unless the genome holds the variant's reference allele.

    Letters other than A, C, G, T count as N on both sides.
    """
    found = genome.fetch(variant.contig, variant.start, variant.end)
    if found == variant.reference.translate(_TO_ACGTN):
        return
    raise ReferenceMismatch(
        f"{variant}: REF is {_shown(variant.reference)} but {genome.path} has"
        f" {_shown(found) if found else 'no such position'}: is it the same assembly?"
    )


def _shown(allele: str) -> str:
    return allele if len(allele) <= 20 else f"{allele[:20]}... ({len(allele)} bases)"


def _listed(contigs: dict[str, int]) -> str:
    names = list(contigs)
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _is_bgzip(fasta: Path) -> bool:
    """Whether the file is bgzip-compressed; raises GenoslimError for ordinary gzip, and no file."""
    try:
        with fasta.open("rb") as stream:
            head = stream.read(16)
    except OSError as error:
        raise GenoslimError(f"{fasta}: cannot be read: {error.strerror or error}") from None
    if head[:2] != b"\x1f\x8b":
        return False
    if head[3] & 4 and head[12:14] == b"BC":
        return True
    raise GenoslimError(
        f"{fasta}: compressed with gzip, which allows no random access:"
        f" decompress it, or compress it with bgzip (gunzip -c {fasta.name} | bgzip > new.fa.gz)"
    )


def _refuse_what_is_not_fasta(fasta: Path) -> None:
    """Raise GenoslimError for an empty file, other text, and contigs of one name."""
    seen: set[str] = set()
    for number, line in enumerate(_lines(fasta), start=1):
        if line.startswith(b">"):
            name = (line[1:].split() or [b""])[0].decode(errors="replace")
            if name in seen or not name:
                found = f"contig {name!r} for the second time" if name else "a contig with no name"
                raise GenoslimError(f"{fasta}, line {number}: {found}; names must be unique")
            seen.add(name)
        elif not seen and line.strip():
            raise GenoslimError(
                f"{fasta}, line {number}: found {line[:20].decode(errors='replace').strip()!r};"
                " a FASTA file begins with a line like `>chr1`"
            )
    if not seen:
        raise GenoslimError(f"{fasta}: empty; expected FASTA: a line `>name`, then sequence")


def _lines(fasta: Path) -> Iterator[bytes]:
    """Yield the lines of a plain or bgzip-compressed file."""
    if not _is_bgzip(fasta):
        with fasta.open("rb") as stream:
            yield from stream
        return
    with pysam.BGZFile(str(fasta), "r") as stream:
        yield from stream


def _describes(index: Path, fasta: Path) -> bool:
    """Whether each entry of a `.fai` follows one header line of its name, and all is covered.

    Reads the header lines alone. False for an index of another version of the file, and for one
    that leaves out a second contig of the same name, as samtools' does.
    """
    position = 0
    try:
        with fasta.open("rb") as stream:
            for line in index.read_text().splitlines():
                name, length, offset, bases, width = line.split("\t")[:5]
                stream.seek(position)
                header = stream.read(max(0, int(offset) - position)).strip()
                if header.count(b"\n") or (header[1:].split() or [b""])[0] != name.encode():
                    return False
                full, rest = divmod(int(length), max(1, int(bases)))
                position = int(offset) + full * int(width) + rest
            stream.seek(position)
            return 0 < position <= fasta.stat().st_size and not stream.read(65536).strip()
    except ValueError:
        return False


def _moved(temporary: Path, beside: Path) -> Path:
    """Put an index beside its FASTA, whole or not at all; leave it where it is if that fails."""
    with suppress(OSError):
        with atomic_path(beside) as target:
            target.write_bytes(temporary.read_bytes())
        return beside
    return temporary
