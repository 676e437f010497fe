"""The outputs: VCF (plain, bgzip with an index, stdout), TSV and Parquet.

Each file appears whole or not at all.
"""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

import pysam

from ..errors import GenoslimError, UsageError, needs_extra
from ..files import atomic_path
from .bgzf import BgzfWriter
from .record import ScoredRecord, format_probability

STDOUT = "-"
_log = logging.getLogger(__name__)
_COLUMNS = ("contig", "position", "id", "ref", "alt", "probability", "call", "status")
_LAST_TBI_POSITION = 1 << 29
_ROW_GROUP = 1 << 16


class Sink(Protocol):
    """Takes scored records, in order."""

    def write(self, records: Sequence[ScoredRecord]) -> None:
        """Write some records."""


@dataclass(frozen=True)
class Labels:
    """The names of the two classes, and the probability from which the second is called."""

    names: tuple[str, ...]
    threshold: float

    def call(self, probability: float | None) -> str | None:
        """Return the name of the class, None without a probability."""
        return None if probability is None else self.names[probability >= self.threshold]


@contextmanager
def open_sink(output: str, header: bytes, labels: Labels) -> Iterator[Sink]:
    """Open the sink that the suffix of `output` asks for (`-`: VCF on stdout).

    UsageError: another suffix. The file is there when the context ends without an error, and else
    nothing is. GenoslimError: Parquet without pyarrow, or an output that cannot be written.
    """
    opened = _stdout(header) if output == STDOUT else _opener(output)(Path(output), header, labels)
    try:
        with opened as sink:
            yield sink
    except OSError as error:
        where = "stdout" if output == STDOUT else output
        raise GenoslimError(f"{where}: cannot be written: {error.strerror or error}") from error


def check_output(output: str) -> None:
    """Raise what `open_sink` would at once: another suffix, Parquet without pyarrow."""
    if output != STDOUT and _opener(output) is _parquet:
        _import_pyarrow(output)


def _opener(output: str) -> Callable[[Path, bytes, Labels], AbstractContextManager[Sink]]:
    for suffix, opener in _OPENERS.items():
        if output.lower().endswith(suffix) and Path(output).name.lower() != suffix:
            return opener
    raise UsageError(
        f"output is {output!r}; expected a name that ends in {', '.join(_OPENERS)}, or - for stdout"
    )


class _VcfSink:
    """VCF text to anything that takes bytes; the header goes out with the first records."""

    def __init__(self, write: Callable[[bytes], object], header: bytes) -> None:
        self._write = write
        self._header = header

    def write(self, records: Sequence[ScoredRecord]) -> None:
        lines = [record.annotated(values, statuses) for record, values, statuses in records]
        self._write(self._header + b"".join(lines))
        self._header = b""

    def finish(self) -> None:
        """Write what waits: the header, if there was no record."""
        self._write(self._header)


@contextmanager
def _stdout(header: bytes) -> Iterator[Sink]:
    if sys.stdout is None:  # the process was started with stdout closed
        raise GenoslimError("stdout: closed; give -o a file")
    sys.stdout.flush()
    try:
        stream = cast("BinaryIO", io.FileIO(sys.stdout.fileno(), "wb", closefd=False))
    except (OSError, ValueError):
        stream = sys.stdout.buffer
    sink = _VcfSink(lambda data: _write_all(stream, data), header)
    yield sink
    sink.finish()
    stream.flush()


def _write_all(stream: BinaryIO, data: bytes) -> None:
    """Write everything, however little an unbuffered stream takes at a time."""
    view = memoryview(data)
    while view:
        view = view[stream.write(view) :]


@contextmanager
def _plain_vcf(path: Path, header: bytes, _labels: Labels) -> Iterator[Sink]:
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        sink = _VcfSink(stream.write, header)
        yield sink
        sink.finish()


@contextmanager
def _compressed_vcf(path: Path, header: bytes, _labels: Labels) -> Iterator[Sink]:
    """Write bgzip, and an index beside it if the records are sorted and all of them records.

    An index of an earlier file of that name is removed first: it would lead astray.
    """
    made: list[Path] = []
    try:
        with atomic_path(path) as temporary:
            with temporary.open("wb") as stream:
                writer = BgzfWriter(stream)
                sink = _IndexableSink(writer.write, header)
                yield sink
                sink.finish()
                writer.close()
            made += _index(temporary, path, sink)
            for suffix in (".tbi", ".csi"):
                Path(f"{path}{suffix}").unlink(missing_ok=True)
        for index in made:
            index.replace(f"{path}{index.suffix}")
    finally:
        for index in made:
            index.unlink(missing_ok=True)


class _IndexableSink(_VcfSink):
    """VCF text, remembering whether an index can be made of it."""

    def __init__(self, write: Callable[[bytes], object], header: bytes) -> None:
        super().__init__(write, header)
        self.obstacle = ""
        self.last_position = 0
        self._contig: bytes | None = None
        self._position = 0
        self._seen: set[bytes] = set()

    def write(self, records: Sequence[ScoredRecord]) -> None:
        super().write(records)
        for scored in records:
            if self.obstacle:
                return
            self._follow(scored)

    def _follow(self, scored: ScoredRecord) -> None:
        record = scored.record
        position = record.position if record.well_formed else None
        if position is None:
            if not record.line.startswith(b"#"):  # tabix skips those, but no blank line
                self.obstacle = "a line of it is no record"
            return
        if record.contig != self._contig:
            if record.contig in self._seen:
                self.obstacle = "its contigs are not together"
            self._seen.add(record.contig)
            self._contig, self._position = record.contig, 0
        if position < self._position:
            self.obstacle = "its records are not sorted"
        self._position = position
        self.last_position = max(self.last_position, position + len(record.reference))


def _index(temporary: Path, path: Path, sink: _IndexableSink) -> list[Path]:
    """Make a tabix index (CSI where positions are too high for one) and return its path, if any.

    What cannot be indexed after all (an END out of all bounds) is a warning: the scores are right.
    """
    if sink.obstacle:
        _log.warning("%s: no index: %s", path, sink.obstacle)
        return []
    csi = sink.last_position >= _LAST_TBI_POSITION
    index = Path(f"{temporary}{'.csi' if csi else '.tbi'}")
    verbosity = pysam.set_verbosity(0)
    try:
        pysam.tabix_index(str(temporary), preset="vcf", force=True, csi=csi)
    except OSError as error:
        index.unlink(missing_ok=True)
        _log.warning("%s: no index: %s", path, error)
        return []
    finally:
        pysam.set_verbosity(verbosity)
    return [index]


class _TsvSink:
    """One row an allele, tab-separated; empty where there is no value."""

    def __init__(self, write: Callable[[bytes], object], labels: Labels) -> None:
        self._write = write
        self._labels = labels
        write("\t".join(_COLUMNS).encode("ascii") + b"\n")

    def write(self, records: Sequence[ScoredRecord]) -> None:
        rows = [b"\t".join(self._row(*row)) + b"\n" for row in allele_rows(records)]
        self._write(b"".join(rows))

    def _row(self, fields: Sequence[bytes], value: float | None, status: str) -> list[bytes]:
        text = "" if value is None else format_probability(value)
        call = self._labels.call(value) or ""
        return [*fields, *(cell.encode("utf-8") for cell in (text, call, status))]


@contextmanager
def _tsv(path: Path, _header: bytes, labels: Labels) -> Iterator[Sink]:
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        yield _TsvSink(stream.write, labels)


class _ParquetSink:
    """One row an allele, in row groups of some ten thousand."""

    def __init__(self, pyarrow: Any, writer: Any, labels: Labels) -> None:
        self._pyarrow = pyarrow
        self._writer = writer
        self._labels = labels
        self._rows: list[tuple[object, ...]] = []

    def write(self, records: Sequence[ScoredRecord]) -> None:
        self._rows += [self._row(*row) for row in allele_rows(records)]
        if len(self._rows) >= _ROW_GROUP:
            self.flush()

    def flush(self) -> None:
        """Write the rows that wait as one row group."""
        if self._rows:
            columns = [list(column) for column in zip(*self._rows, strict=True)]
            schema = self._writer.schema
            self._writer.write_table(
                self._pyarrow.Table.from_arrays(
                    [
                        self._pyarrow.array(column, item.type)
                        for column, item in zip(columns, schema, strict=True)
                    ],
                    schema=schema,
                )
            )
            self._rows = []

    def _row(self, fields: Sequence[bytes], value: float | None, status: str) -> tuple[object, ...]:
        contig, position, name, reference, alternate = (
            field.decode("utf-8", "replace") for field in fields
        )
        place = int(position) if position.isdecimal() and len(position) <= 18 else None
        return contig, place, name, reference, alternate, value, self._labels.call(value), status


@contextmanager
def _parquet(path: Path, _header: bytes, labels: Labels) -> Iterator[Sink]:
    pyarrow = _import_pyarrow(path)
    types = {"position": pyarrow.int64(), "probability": pyarrow.float32()}
    schema = pyarrow.schema([(name, types.get(name, pyarrow.string())) for name in _COLUMNS])
    with (
        atomic_path(path) as temporary,
        pyarrow.parquet.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        sink = _ParquetSink(pyarrow, writer, labels)
        yield sink
        sink.flush()


def _import_pyarrow(output: str | Path) -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise needs_extra(f"{output}: writing Parquet", "pyarrow", "parquet") from None
    return pyarrow


def allele_rows(
    records: Sequence[ScoredRecord],
) -> Iterator[tuple[Sequence[bytes], float | None, str]]:
    """Yield (contig, position, id, ref, alt as bytes), probability and status of every allele.

    A line that is no record gives one row, with what columns it has; a blank or `#` line gives
    none.
    """
    for record, values, statuses in records:
        if record.well_formed:
            alternates = record.alternates
            fields = record.fields[:4]
        elif record.silent:
            continue
        else:
            columns = [*record.line.rstrip(b"\r\n").split(b"\t"), b"", b"", b"", b"", b""]
            fields, alternates = tuple(columns[:4]), [columns[4]]
        for alternate, value, status in zip(alternates, values, statuses, strict=True):
            yield (*fields, alternate), value, status


_OPENERS: dict[str, Callable[[Path, bytes, Labels], AbstractContextManager[Sink]]] = {
    ".vcf": _plain_vcf,
    ".vcf.gz": _compressed_vcf,
    ".tsv": _tsv,
    ".parquet": _parquet,
}
