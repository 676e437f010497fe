"""Block gzip (BGZF), written with zlib: gzip members of at most 64 KiB that say their own length.

Section 4.1 of the SAM specification (samtools.github.io/hts-specs). Own code, because a full disk
must be an ordinary error here, and because zlib runs beside the model (it releases the
interpreter's lock).
"""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO

END_OF_FILE = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_BLOCK = 0xFF00  # what bgzip puts in a block: so much fits even where nothing can be compressed
_HEAD = bytes.fromhex("1f8b08040000000000ff060042430200")
_LEVEL = 6
_RAW = -15


def is_bgzf(head: bytes) -> bool:
    """Say whether data that begins with `head` (18 bytes or more) is BGZF."""
    return head[:4] == _HEAD[:4] and head[12:16] == _HEAD[12:16]


class BgzfWriter:
    """Write bytes as BGZF to a binary stream; `close` ends the data and leaves the stream open."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._pending = bytearray()

    def write(self, data: bytes) -> None:
        """Take `data`; whole blocks are written at once."""
        self._pending += data
        while len(self._pending) >= _BLOCK:
            self._stream.write(compress_block(bytes(self._pending[:_BLOCK])))
            del self._pending[:_BLOCK]

    def close(self) -> None:
        """Write what is left and the end-of-file block."""
        if self._pending:
            self._stream.write(compress_block(bytes(self._pending)))
            self._pending.clear()
        self._stream.write(END_OF_FILE)


def compress_block(data: bytes) -> bytes:
    """Return one BGZF block of at most 0xFF00 bytes of data."""
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW)
    packed = compressor.compress(data) + compressor.flush()
    head = _HEAD + struct.pack("<H", len(_HEAD) + 2 + len(packed) + 8 - 1)
    return head + packed + struct.pack("<II", zlib.crc32(data), len(data))
