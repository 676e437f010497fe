"""`genoslim score` on real files; the expected outcomes are worked out here from the text alone."""

from __future__ import annotations

import gzip
import os
import re
import runpy
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from genoslim.bundle.bundle import Bundle
from genoslim.errors import GenoslimError
from genoslim.score.vcf import score_vcf

WINDOW = 512
_writer = runpy.run_path(str(Path(__file__).parents[1] / "fixtures" / "tiny_bundle.py"))
_WITHOUT_TORCH = """
import sys
sys.modules.update(torch=None, transformers=None, onnx=None)
from genoslim.cli import main
main(prog_name="genoslim")
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("bundle") / "b"
    found = _writer["write_tiny_bundle"](folder, window_length=WINDOW)
    assert isinstance(found, Bundle)
    return found


@pytest.fixture(scope="module")
def genome(real_data: Path) -> str:
    text = (real_data / "vcf" / "1kgp_chr20_1mb" / "z.fa").read_text()
    return "".join(text.split("\n")[1:]).upper()


@pytest.fixture(scope="module")
def records(real_data: Path) -> list[str]:
    with gzip.open(real_data / "vcf" / "1kgp_chr20_1mb" / "z.vcf.gz", "rt") as stream:
        return [line for line in stream if not line.startswith("#")]


def _score(real_data: Path, bundle: Bundle, out: Path, *options: str) -> str:
    folder = real_data / "vcf" / "1kgp_chr20_1mb"
    done = subprocess.run(
        [
            *(sys.executable, "-c", _WITHOUT_TORCH, "score", "-m", str(bundle.folder)),
            *("-f", str(folder / "z.fa"), "-i", str(folder / "z.vcf.gz"), "-o", str(out)),
            *options,
        ],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def _expected(line: str, genome: str) -> str:
    """Return GS_STATUS of a record by the rules as the documentation has them."""
    _, position, _, ref, alts = line.split("\t")[:5]
    start = int(position) - 1
    assert genome[start : start + len(ref)] == ref
    edge = start < WINDOW // 2 or start + WINDOW // 2 > len(genome)
    found = []
    for alt in alts.split(","):
        if alt.startswith("<"):
            found.append("SYMBOLIC")
        elif len(alt) != 1 or len(ref) != 1:
            found.append("NOT_SNV")
        else:
            found.append("CONTIG_EDGE" if edge else "OK")
    return ",".join(found)


def test_every_record_comes_out_in_order_with_its_status(
    real_data: Path, bundle: Bundle, genome: str, records: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "out.vcf.gz"
    stderr = _score(real_data, bundle, out)
    assert "28,998 records, 29,144 alternate alleles, 28,191 scored" in stderr
    assert (tmp_path / "out.vcf.gz.tbi").is_file()
    with gzip.open(out, "rt") as stream:
        lines = list(stream)
    header = [line for line in lines if line.startswith("#")]
    body = lines[len(header) :]
    assert len(body) == len(records) == 28_998
    counts: Counter[str] = Counter()
    for line, original in zip(body, records, strict=True):
        left, ours = line.rstrip("\n").split(";GS_P=")
        values, statuses = ours.split(";GS_STATUS=")
        assert left + "\n" == original
        assert statuses == _expected(original, genome)
        for value, status in zip(values.split(","), statuses.split(","), strict=True):
            assert (value == ".") == (status not in ("OK", "CONTIG_EDGE"))
            assert value == "." or 0 <= float(value) <= 1
        counts.update(statuses.split(","))
    assert counts == {"OK": 28_173, "CONTIG_EDGE": 18, "NOT_SNV": 929, "SYMBOLIC": 24}
    with gzip.open(real_data / "vcf" / "1kgp_chr20_1mb" / "z.vcf.gz", "rt") as stream:
        before = [line for line in stream if line.startswith("#")]
    assert [line for line in header if "GS_" not in line and "##genoslim" not in line] == before
    assert f"##genoslimBundle={bundle.digest}\n" in header


def test_equal_variants_have_equal_scores(real_data: Path, bundle: Bundle, tmp_path: Path) -> None:
    _score(real_data, bundle, tmp_path / "out.tsv")
    rows = [row.split("\t") for row in (tmp_path / "out.tsv").read_text().splitlines()[1:]]
    assert len(rows) == 29_144
    scores: dict[tuple[str, ...], set[str]] = {}
    for row in rows:
        scores.setdefault((row[1], row[3], row[4]), set()).add(row[5])
    assert all(len(found) == 1 for found in scores.values())
    assert sum(row[7] in ("OK", "CONTIG_EDGE") for row in rows) == 28_191


def test_every_variant_with_a_sequence_is_scored_on_demand(
    real_data: Path, bundle: Bundle, tmp_path: Path
) -> None:
    stderr = _score(real_data, bundle, tmp_path / "out.tsv", "--non-snv", "score")
    assert "29,120 scored" in stderr
    assert re.search(r"SYMBOLIC +24\n", stderr)


def test_the_wrong_assembly_is_refused(
    real_data: Path, bundle: Bundle, genome: str, tmp_path: Path
) -> None:
    shifted = tmp_path / "shifted.fa"
    shifted.write_text(f">z\n{genome[1000:]}{genome[:1000]}\n")
    source = real_data / "vcf" / "1kgp_chr20_1mb" / "z.vcf.gz"
    with pytest.raises(GenoslimError, match="is it the same assembly"):
        score_vcf(bundle.folder, source, fasta=shifted, output=tmp_path / "out.vcf")
    assert not (tmp_path / "out.vcf").exists()


def _conformance(real_data: Path, kind: str) -> Iterator[Path]:
    found = sorted((real_data / "vcf" / "hts-specs" / "4.3" / kind).glob("*.vcf"))
    assert found
    yield from found


@pytest.fixture(scope="module")
def wide_fasta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Contigs of the names that the conformance files use, long enough for most positions."""
    path = tmp_path_factory.mktemp("wide") / "wide.fa"
    names = ("1", "2", "3", "13", "17", "20", "X", "ctg1")
    path.write_text("".join(f">{name}\n{'ACGT' * 25_000}\n" for name in names))
    return path


def _body(data: bytes) -> list[bytes]:
    lines = data.splitlines(keepends=True)
    first = next(i for i, line in enumerate(lines) if line.startswith(b"#CHROM"))
    return lines[first + 1 :]


def _without_info(line: bytes) -> list[bytes]:
    fields = line.split(b"\t")
    return fields[:7] + fields[8:]


def test_valid_conformance_files_come_through(
    real_data: Path, bundle: Bundle, wide_fasta: Path, tmp_path: Path
) -> None:
    for path in _conformance(real_data, "passed"):
        out = tmp_path / path.name
        tally = score_vcf(
            bundle.folder, path, fasta=wide_fasta, output=out, check_ref="warn", device="cpu"
        )
        before, after = _body(path.read_bytes()), _body(out.read_bytes())
        assert tally.records == len(before) == len(after), path.name
        assert tally.malformed_lines == 0
        for old, new in zip(before, after, strict=True):
            assert _without_info(new.rstrip(b"\n")) == _without_info(old.rstrip(b"\n"))
            assert b"GS_STATUS=" in new
            assert new.split(b"\t")[7].startswith(old.split(b"\t")[7].rstrip(b"\n").rstrip(b"."))


def test_invalid_conformance_files_are_refused_whole_or_come_through_whole(
    real_data: Path, bundle: Bundle, wide_fasta: Path, tmp_path: Path
) -> None:
    refused = {}
    for path in _conformance(real_data, "failed"):
        folder = tmp_path / path.stem
        folder.mkdir()
        out = folder / "out.vcf"
        try:
            score_vcf(
                bundle.folder, path, fasta=wide_fasta, output=out, check_ref="warn", device="cpu"
            )
        except GenoslimError as error:
            message = str(error).removeprefix(f"{path}: ")
            refused[path.name] = message[: len(_REFUSED.get(path.name, message))]
            assert list(folder.iterdir()) == []
            continue
        before, after = _body(path.read_bytes()), _body(out.read_bytes())
        assert len(before) == len(after), path.name
        for old, new in zip(before, after, strict=True):
            assert _without_info(new.rstrip(b"\r\n")) == _without_info(old.rstrip(b"\r\n"))
    assert refused == _REFUSED


_REFUSED = dict.fromkeys(
    (f"failed_body_chrom_{n:03}.vcf" for n in range(5)), "no contig in common"
) | {
    "failed_empty.vcf": "empty; a VCF has at least a #CHROM line",
    "failed_empty_sample.vcf": "empty; a VCF has at least a #CHROM line",
    "failed_header_000.vcf": "the header's columns are '#CHROM",
    "failed_meta_002.vcf": "line 4 is 'linebreak",
    "failed_meta_004.vcf": "line 3 is ",
    "failed_meta_005.vcf": "line 3 is ",
}
