"""The input: a plain or gzip-compressed VCF, from a file or from stdin, as lines of bytes.

Whatever ends too early is an error: a gzip member that stops short, a damaged one (its check sum is
compared), and BGZF without the empty block that ends it (so a cut between two blocks is seen too).
"""

from __future__ import annotations

import io
import select
import sys
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from ..errors import GenoslimError
from .bgzf import END_OF_FILE, is_bgzf

STDIN = "-"
_BLOCK = 1 << 18
_POLL_SECONDS = 0.1
_GZIP = b"\x1f\x8b"
_GZIP_WRAPPER = 31
_OTHERS = {
    b"BCF\x02": "BCF; convert it first: bcftools view IN.bcf | genoslim score -i - ...",
    b"BCF\x04": "BCF; convert it first: bcftools view IN.bcf | genoslim score -i - ...",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; decompress it first: zstd -dc IN | genoslim ...",
    b"\xfd7zX": "compressed with xz; decompress it first: xz -dc IN | genoslim score -i - ...",
    b"BZh": "compressed with bzip2; decompress it first: bzip2 -dc IN | genoslim score -i - ...",
    b"PK\x03\x04": "a zip archive; unpack it first",
    b"\xef\xbb\xbf": "text with a byte-order mark in front; save it as UTF-8 without one",
    b"\xff\xfe": "UTF-16 text; save it as UTF-8",
}


@contextmanager
def open_lines(name: str, stop: threading.Event | None = None) -> Iterator[Iterator[bytes]]:
    """Open a VCF (`-`: stdin) and give its lines, line ends included.

    Once `stop` is set, stdin is not waited for any more: the lines end.

    GenoslimError, here or while reading: no such file, not a VCF by its first bytes, truncated,
    damaged.
    """
    with _open_stream(name) as stream:
        label = display_name(name)
        awaited = _Awaited(stream, stop) if stop and _is_descriptor(name, stream) else stream
        yield _lines(_checked(_plain(_blocks(awaited, label), label), label))


def display_name(name: str) -> str:
    """Return an input as messages name it."""
    return "stdin" if name == STDIN else name


@contextmanager
def _open_stream(name: str) -> Iterator[BinaryIO]:
    if name == STDIN:
        yield _stdin()
        return
    path = Path(name)
    if not path.exists():
        raise GenoslimError(f"{name}: no such file")
    if path.is_dir():
        raise GenoslimError(f"{name}: is a folder; expected a VCF file")
    with path.open("rb", buffering=0) as stream:
        yield cast("BinaryIO", stream)


def _is_descriptor(name: str, stream: BinaryIO) -> bool:
    """Say whether this is stdin as the system's own stream, which can be waited for."""
    return name == STDIN and isinstance(stream, io.FileIO)


def _stdin() -> BinaryIO:
    """Return unbuffered stdin, whose read takes no lock that the interpreter wants when it ends."""
    if sys.stdin is None:  # the process was started with stdin closed
        raise GenoslimError("stdin: closed; give -i a file")
    try:
        return cast("BinaryIO", io.FileIO(sys.stdin.fileno(), closefd=False))
    except (OSError, ValueError):
        return sys.stdin.buffer


class _Reads(Protocol):
    """What blocks are read from."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, none at the end."""


class _Awaited:
    """A stream whose reader is never stuck in a read that no data ends, so that it can be joined.

    An interpreter that ends while a thread is inside such a read may crash.
    """

    def __init__(self, stream: BinaryIO, stop: threading.Event) -> None:
        self._stream = stream
        self._stop = stop

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, none at the end or when stopped."""
        while not self._stop.is_set():
            if select.select([self._stream], [], [], _POLL_SECONDS)[0]:
                return self._stream.read(size)
        return b""


def _blocks(stream: _Reads, name: str) -> Iterator[bytes]:
    try:
        while block := stream.read(_BLOCK):
            yield block
    except OSError as error:
        raise GenoslimError(f"{name}: cannot be read: {error.strerror or error}") from None


def _peeked(blocks: Iterator[bytes], size: int) -> tuple[bytes, Iterator[bytes]]:
    """Return at least the first `size` bytes, if there are so many, and all blocks again."""
    head = b""
    while len(head) < size and (block := next(blocks, b"")):
        head += block
    return head, chain([head] if head else [], blocks)


def _plain(blocks: Iterator[bytes], name: str) -> Iterator[bytes]:
    head, blocks = _peeked(blocks, len(END_OF_FILE))
    if not head.startswith(_GZIP):
        return blocks
    return inflate(_require_end(blocks, name) if is_bgzf(head) else blocks, name)


def _checked(blocks: Iterator[bytes], name: str) -> Iterator[bytes]:
    """Refuse what is known by its first bytes not to be a VCF."""
    head, blocks = _peeked(blocks, 4)
    for magic, what in _OTHERS.items():
        if head.startswith(magic):
            raise GenoslimError(f"{name}: not a VCF but {what}")
    return blocks


def _require_end(blocks: Iterator[bytes], name: str) -> Iterator[bytes]:
    """Pass BGZF blocks on and check that the last bytes are BGZF's end of file."""
    tail = b""
    for block in blocks:
        tail = (tail + block)[-len(END_OF_FILE) :]
        yield block
    if tail != END_OF_FILE:
        raise GenoslimError(
            f"{name}: truncated: BGZF without its end-of-file block"
            " (get the file again; if it is whole, rewrite it with bgzip)"
        )


def inflate(blocks: Iterator[bytes], name: str) -> Iterator[bytes]:
    """Decompress gzip members one after the other, some hundred kilobytes at a time."""
    inflater = None
    try:
        for block in blocks:
            while block:
                if inflater is None:
                    block = block.lstrip(b"\0")  # padding after a member, as gzip allows
                    inflater = zlib.decompressobj(_GZIP_WRAPPER) if block else None
                    continue
                if plain := inflater.decompress(block, _BLOCK):
                    yield plain
                block = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
                inflater = None if inflater.eof else inflater
    except zlib.error as error:
        raise GenoslimError(f"{name}: damaged: gzip does not decompress ({error})") from None
    if inflater is not None:
        raise GenoslimError(f"{name}: truncated: its gzip data ends too early")


def _lines(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Cut blocks after each LF; what follows the last LF is a line of its own."""
    pending: list[bytes] = []
    for block in blocks:
        whole, newline, rest = block.rpartition(b"\n")
        if not newline:
            pending.append(rest)
            continue
        pending.append(whole)
        for line in b"".join(pending).split(b"\n"):
            yield line + b"\n"
        pending = [rest]
    if last := b"".join(pending):
        yield last
