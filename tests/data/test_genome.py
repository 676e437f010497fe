from __future__ import annotations

import gzip
import logging
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genoslim.data import genome as genome_module
from genoslim.data.genome import (
    Genome,
    ReferenceMismatch,
    UnknownContig,
    Window,
    alternate_window,
)
from genoslim.data.variant import Variant
from genoslim.errors import GenoslimError

SEQUENCE = "ACGTTGCAAC" * 7 + "GG"


def write_fasta(path: Path, contigs: dict[str, str], width: int = 10) -> Path:
    lines: list[str] = []
    for name, bases in contigs.items():
        lines.append(f">{name} a description")
        lines += [bases[i : i + width] for i in range(0, len(bases), width)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def fasta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    contigs = {"chr1": SEQUENCE, "chr2": "aaccRYggtt", "MT": "ACGT"}
    return write_fasta(tmp_path_factory.mktemp("genome") / "g.fa", contigs)


def naive_window(variant: Variant, length: int) -> str:
    """Return the window by writing out the whole alternate contig, far padded."""
    pad = 4 * length
    bases = "N" * pad + SEQUENCE[: variant.start] + variant.alternate + SEQUENCE[variant.end :]
    start = pad + variant.start - length // 2
    return (bases + "N" * pad)[start : start + length]


@st.composite
def variants(draw: st.DrawFn) -> Variant:
    start = draw(st.integers(0, len(SEQUENCE) - 1))
    reference = SEQUENCE[start : start + draw(st.integers(1, 5))]
    return Variant("chr1", start + 1, reference, draw(st.text("ACGT", min_size=1, max_size=9)))


@given(variant=variants(), length=st.integers(1, 200))
@settings(max_examples=300, deadline=None)
def test_window_equals_the_cut_of_the_alternate_contig(
    fasta: Path, variant: Variant, length: int
) -> None:
    with Genome(fasta) as genome:
        window = alternate_window(genome, variant, length)
        assert window.sequence == naive_window(variant, length)
        assert window.index == length // 2
        assert window.padded == ("N" in window.sequence)
        back = replace(variant, alternate=variant.reference)
        assert alternate_window(genome, back, length).sequence == naive_window(back, length)


@given(start=st.integers(0, len(SEQUENCE) - 1), length=st.integers(1, 200))
@settings(max_examples=100, deadline=None)
def test_an_snv_changes_one_base_of_the_benchmarks_interval(
    fasta: Path, start: int, length: int
) -> None:
    reference = SEQUENCE[start]
    variant = Variant("chr1", start + 1, reference, "A" if reference != "A" else "C")
    with Genome(fasta) as genome:
        before = alternate_window(genome, replace(variant, alternate=reference), length).sequence
        after = alternate_window(genome, variant, length).sequence
        low, high = start - length // 2, start + length // 2 + length % 2
        inside = genome.fetch("chr1", low, high)
    assert before.strip("N") == inside
    changed = [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
    assert changed == [length // 2]


@given(start=st.integers(-50, 120), end=st.integers(-50, 120))
@settings(max_examples=100, deadline=None)
def test_fetch_clips_and_never_wraps(fasta: Path, start: int, end: int) -> None:
    with Genome(fasta) as genome:
        assert genome.fetch("chr1", start, end) == SEQUENCE[max(0, start) : max(0, end)]


def test_letters_become_acgtn(fasta: Path) -> None:
    with Genome(fasta) as genome:
        assert genome.fetch("chr2", 0, 10) == "AACCNNGGTT"


def test_ambiguous_reference_counts_as_n(fasta: Path) -> None:
    with Genome(fasta) as genome:
        assert alternate_window(genome, Variant("chr2", 5, "N", "A"), 4).sequence == "CCAN"
        with pytest.raises(ReferenceMismatch):
            alternate_window(genome, Variant("chr2", 5, "A", "G"), 4)


@pytest.mark.parametrize(
    ("asked", "found"),
    [("chr1", "chr1"), ("1", "chr1"), ("chrM", "MT"), ("M", "MT"), ("chrMT", "MT"), ("3", None)],
)
def test_resolve(fasta: Path, asked: str, found: str | None) -> None:
    with Genome(fasta) as genome:
        assert genome.resolve(asked) == found


def test_errors_say_what_was_found(fasta: Path) -> None:
    with Genome(fasta) as genome:
        with pytest.raises(UnknownContig, match="no contig 'chr9'; it has chr1, chr2, MT"):
            genome.fetch("chr9", 0, 1)
        with pytest.raises(ReferenceMismatch, match=r"REF is G but .* has A: is it the same"):
            alternate_window(genome, Variant("chr1", 1, "G", "T"), 8)
        with pytest.raises(ReferenceMismatch, match="no such position"):
            alternate_window(genome, Variant("chr1", 100, "G", "T"), 8)
        with pytest.raises(GenoslimError, match="window length 0"):
            alternate_window(genome, Variant("chr1", 1, "A", "T"), 0)
    with pytest.raises(GenoslimError, match="window index 3"):
        Window("ACG", 3)


def test_contig_in_memory_gives_the_same(fasta: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Genome(fasta) as genome:
        seldom = [genome.fetch("chr1", i, i + 9) for i in range(60)]
    monkeypatch.setattr(genome_module, "_FETCHES_BEFORE_LOAD", 0)
    with Genome(fasta) as genome:
        assert [genome.fetch("chr1", i, i + 9) for i in range(60)] == seldom
        assert genome.fetch("chr2", 0, 2) == "AA"


def test_index_is_made_beside_the_fasta(tmp_path: Path) -> None:
    fasta = write_fasta(tmp_path / "g.fa", {"a": SEQUENCE})
    Genome(fasta).close()
    assert (tmp_path / "g.fa.fai").read_text() == "a\t72\t17\t10\t11\n"
    assert {p.name for p in tmp_path.iterdir()} == {"g.fa", "g.fa.fai"}


def test_index_goes_elsewhere_when_the_folder_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> object:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(genome_module, "atomic_path", refuse)  # also holds for root
    fasta = write_fasta(tmp_path / "g.fa", {"a": SEQUENCE})
    with Genome(fasta) as genome:
        assert genome.fetch("a", 0, 4) == "ACGT"
    assert [p.name for p in tmp_path.iterdir()] == ["g.fa"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_read_only_folder(tmp_path: Path) -> None:
    fasta = write_fasta(tmp_path / "g.fa", {"a": SEQUENCE})
    tmp_path.chmod(0o555)
    try:
        with Genome(fasta) as genome:
            assert genome.contigs == {"a": 72}
    finally:
        tmp_path.chmod(0o755)


def test_index_of_another_file_is_not_trusted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fasta = write_fasta(tmp_path / "g.fa", {"a": SEQUENCE, "b": "ACGT"})
    Genome(fasta).close()
    write_fasta(fasta, {"c": "TTTT", "a": "GGGG" + SEQUENCE})
    with caplog.at_level(logging.WARNING), Genome(fasta) as genome:
        assert genome.contigs == {"c": 4, "a": 76}
    assert "does not describe" in caplog.text


@pytest.mark.parametrize("cut", [1, 30, 75])
def test_truncated_fasta_is_indexed_anew_and_not_read_past_its_end(
    tmp_path: Path, cut: int
) -> None:
    fasta = write_fasta(tmp_path / "g.fa", {"a": SEQUENCE})
    Genome(fasta).close()
    fasta.write_bytes(fasta.read_bytes()[:-cut])
    with Genome(fasta) as genome:
        assert genome.fetch("a", 0, 999) == SEQUENCE[: genome.contigs["a"]]


@pytest.mark.parametrize("with_index", [False, True])
def test_duplicate_contigs(tmp_path: Path, with_index: bool) -> None:
    fasta = tmp_path / "g.fa"
    fasta.write_text(">a\nACGT\n>b\nAC\n>a\nGG\n")
    if with_index:  # as samtools makes it, leaving out the second one
        Path(f"{fasta}.fai").write_text("a\t4\t3\t4\t5\nb\t2\t11\t2\t3\n")
    with pytest.raises(GenoslimError, match="line 5: contig 'a' for the second time"):
        Genome(fasta)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "empty; expected FASTA"),
        ("\n\n", "empty; expected FASTA"),
        ("chr1\t1\n", "line 1: found 'chr1"),
        (">\nACGT\n", "line 1: a contig with no name"),
        (">a\nACGTACGT\nAC\nACGTACGT\n", "cannot be indexed"),
    ],
)
def test_what_is_no_fasta(
    tmp_path: Path, text: str, named: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "g.fa"
    path.write_text(text)
    with pytest.raises(GenoslimError, match=named):
        Genome(path)


def test_gzip_is_refused_and_bgzip_read(tmp_path: Path) -> None:
    fasta = write_fasta(tmp_path / "g.fa", {"a": SEQUENCE, "b": "acgt"})
    plain_gzip = tmp_path / "h.fa.gz"
    plain_gzip.write_bytes(gzip.compress(fasta.read_bytes()))
    with pytest.raises(GenoslimError, match=r"compressed with gzip, .* compress it with bgzip"):
        Genome(plain_gzip)
    pysam.tabix_compress(str(fasta), str(tmp_path / "g.fa.gz"))
    for _ in range(2):  # indexes, then reads the index
        with Genome(tmp_path / "g.fa.gz") as genome:
            assert genome.fetch("a", 5, 30) == SEQUENCE[5:30]
            assert genome.fetch("b", 0, 9) == "ACGT"


def test_duplicate_contigs_in_bgzip(tmp_path: Path) -> None:
    (tmp_path / "g.fa").write_text(">a\nACGT\n>a\nGG\n")
    pysam.tabix_compress(str(tmp_path / "g.fa"), str(tmp_path / "g.fa.gz"))
    with pytest.raises(GenoslimError, match="contig 'a' for the second time"):
        Genome(tmp_path / "g.fa.gz")


def test_real_loci_without_an_index(real_data: Path, tmp_path: Path) -> None:
    copied = tmp_path / "loci.fa"
    shutil.copyfile(real_data / "mpra" / "loci.GRCh38.fa", copied)
    with Genome(copied) as made, Genome(real_data / "mpra" / "loci.GRCh38.fa") as given:
        assert made.contigs == given.contigs
        assert len(given.contigs) == 21
        assert sum(given.contigs.values()) == 9841


def test_truncated_bgzip(tmp_path: Path) -> None:
    fasta = write_fasta(tmp_path / "g.fa", {"a": "".join(map("{:b}".format, range(90000)))})
    fasta.write_text(fasta.read_text().replace("0", "A").replace("1", "C"))
    pysam.tabix_compress(str(fasta), str(tmp_path / "g.fa.gz"))
    Genome(tmp_path / "g.fa.gz").close()
    whole = (tmp_path / "g.fa.gz").read_bytes()
    (tmp_path / "g.fa.gz").write_bytes(whole[: len(whole) // 2])
    with Genome(tmp_path / "g.fa.gz") as genome:
        length = genome.contigs["a"]
        with pytest.raises(GenoslimError, match="a:"):
            genome.fetch("a", length - 50, length)


def test_a_malformed_index_is_made_again(tmp_path: Path) -> None:
    fasta = write_fasta(tmp_path / "g.fa", {"a": SEQUENCE})
    Path(f"{fasta}.fai").write_text("no index\n")
    with Genome(fasta) as genome:
        assert genome.contigs == {"a": 72}
