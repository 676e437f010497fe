from __future__ import annotations

import gzip
import os
import zlib
from io import BytesIO
from pathlib import Path

import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genoslim.errors import GenoslimError
from genoslim.score.bgzf import END_OF_FILE, BgzfWriter, is_bgzf
from genoslim.score.source import inflate, open_lines

_TEXT = b"##fileformat=VCFv4.3\n" + b"".join(b"line %d\n" % i for i in range(60_000))


def _read(path: Path) -> bytes:
    with open_lines(str(path)) as lines:
        return b"".join(lines)


def _bgzip(data: bytes) -> bytes:
    stream = BytesIO()
    writer = BgzfWriter(stream)
    writer.write(data)
    writer.close()
    return stream.getvalue()


@pytest.mark.parametrize(
    "packed",
    [
        _TEXT,
        gzip.compress(_TEXT),
        _bgzip(_TEXT),
        gzip.compress(_TEXT[:99]) + gzip.compress(_TEXT[99:]),
    ],
    ids=["plain", "gzip", "bgzip", "two members"],
)
def test_every_container_gives_the_same_bytes(packed: bytes, tmp_path: Path) -> None:
    path = tmp_path / "in.vcf"
    path.write_bytes(packed)
    assert _read(path) == _TEXT


@pytest.mark.parametrize("data", [b"##a\n##b", b"##a\r\n\r\n##b\n\n", b"##" + b"x" * 1_000_000])
def test_lines_keep_their_ends(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "in.vcf"
    path.write_bytes(data)
    with open_lines(str(path)) as lines:
        found = list(lines)
    assert b"".join(found) == data
    assert all(line.find(b"\n") in (-1, len(line) - 1) for line in found)


@pytest.mark.parametrize("packed", [gzip.compress(_TEXT), _bgzip(_TEXT)], ids=["gzip", "bgzip"])
@pytest.mark.parametrize("kept", [0.3, 0.9, -1, -8])
def test_truncation_is_an_error(packed: bytes, kept: float, tmp_path: Path) -> None:
    path = tmp_path / "in.vcf.gz"
    path.write_bytes(packed[: int(kept if kept < 0 else kept * len(packed))])
    with pytest.raises(GenoslimError, match="truncated"):
        _read(path)


def test_bgzf_cut_between_two_blocks_is_truncated(tmp_path: Path) -> None:
    path = tmp_path / "in.vcf.gz"
    path.write_bytes(_bgzip(_TEXT).removesuffix(END_OF_FILE))
    assert gzip.decompress(path.read_bytes()) == _TEXT  # gzip alone sees nothing wrong
    with pytest.raises(GenoslimError, match="without its end-of-file block"):
        _read(path)


def test_a_flipped_bit_is_an_error(tmp_path: Path) -> None:
    packed = bytearray(_bgzip(_TEXT))
    packed[len(packed) // 2] ^= 4
    path = tmp_path / "in.vcf.gz"
    path.write_bytes(packed)
    with pytest.raises(GenoslimError, match="damaged"):
        _read(path)


def test_zeros_after_a_member_are_padding_and_other_bytes_are_damage() -> None:
    member = gzip.compress(b"abc")
    assert b"".join(inflate(iter([member + b"\0\0", b"\0"]), "x")) == b"abc"
    with pytest.raises(GenoslimError, match="damaged"):
        list(inflate(iter([member + b"junk"]), "x"))


def test_a_bomb_comes_out_in_small_pieces() -> None:
    bomb = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = bomb.compress(b"\0" * 50_000_000) + bomb.flush()
    sizes = [len(piece) for piece in inflate(iter([packed]), "x")]
    assert sum(sizes) == 50_000_000
    assert max(sizes) <= 1 << 18


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"BCF\x02\x02rest", "not a VCF but BCF; convert"),
        (gzip.compress(b"BCF\x02\x02rest", mtime=0), "not a VCF but BCF; convert"),
        (b"\x28\xb5\x2f\xfdrest", "zstd"),
        (b"\xfd7zXZ\0", "xz"),
        (b"BZh91AY", "bzip2"),
        (b"PK\x03\x04abc", "zip archive"),
        (b"\xef\xbb\xbf##fileformat", "byte-order mark"),
    ],
)
def test_other_formats_are_named(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "in.vcf"
    path.write_bytes(data)
    with pytest.raises(GenoslimError, match=message):
        _read(path)


def test_what_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(GenoslimError, match=r"no\.vcf: no such file"):
        _read(tmp_path / "no.vcf")
    with pytest.raises(GenoslimError, match="is a folder"):
        _read(tmp_path)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=70_000), max_size=5))
def test_our_bgzf_is_what_htslib_and_gzip_read(pieces: list[bytes]) -> None:
    stream = BytesIO()
    writer = BgzfWriter(stream)
    for piece in pieces:
        writer.write(piece)
    writer.close()
    assert gzip.decompress(stream.getvalue()) == b"".join(pieces)


def test_htslib_reads_our_bgzf_even_of_noise(tmp_path: Path) -> None:
    noise = os.urandom(300_000)
    path = tmp_path / "noise.gz"
    path.write_bytes(_bgzip(noise))
    assert is_bgzf(path.read_bytes())
    with pysam.BGZFile(str(path)) as stream:
        assert stream.read(400_000) == noise
