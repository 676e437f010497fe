"""A bundle, a genome and a VCF that are small enough to see through."""

from __future__ import annotations

import random
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_bundle import write_tiny_bundle

from genoslim.bundle.bundle import Bundle

WINDOW = 64
HEADER = (
    b"##fileformat=VCFv4.3\n"
    b'##INFO=<ID=DP,Number=1,Type=Integer,Description="Depth">\n'
    b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "b", window_length=WINDOW)


@pytest.fixture(scope="session")
def contigs() -> dict[str, str]:
    """chr1 all bases, chr2 with N in [100, 200), chrM, and a contig shorter than a window."""
    letters = random.Random(3)
    lengths = {"chr1": 3000, "chr2": 1000, "chrM": 500, "short": 20}
    made = {name: "".join(letters.choices("ACGT", k=size)) for name, size in lengths.items()}
    made["chr2"] = made["chr2"][:100] + "N" * 100 + made["chr2"][200:]
    return made


@pytest.fixture(scope="session")
def fasta(contigs: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    blocks = [f">{name}\n" + "\n".join(textwrap.wrap(s, 60)) for name, s in contigs.items()]
    path.write_text("\n".join(blocks) + "\n")
    return path


@pytest.fixture
def snv(contigs: dict[str, str]) -> Callable[..., bytes]:
    """Make the line of an SNV (or, with `alt`, of anything) that agrees with the genome."""

    def make(
        contig: str, position: int, alt: str | None = None, *, length: int = 1, info: str = "."
    ) -> bytes:
        ref = contigs[contig][position - 1 : position - 1 + length]
        found = alt or {"A": "C", "C": "G", "G": "T", "T": "A"}[ref]
        return f"{contig}\t{position}\t.\t{ref}\t{found}\t.\t.\t{info}\n".encode()

    return make


@pytest.fixture
def many(snv: Callable[..., bytes]) -> bytes:
    """A VCF of 2,900 sorted SNVs of chr1."""
    return HEADER + b"".join(snv("chr1", position) for position in range(50, 2950))
