from __future__ import annotations

import gzip
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from genoslim.data.alleles import allele_kind
from genoslim.data.genome import Genome, alternate_window
from genoslim.data.vcf import parse_record, read_vcf
from genoslim.errors import GenoslimError

HEADER = "##fileformat=VCFv4.3\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"


def test_record_fields() -> None:
    line = "z\t7\trs1\tA\tC,<DEL>,AT\t.\tPASS\tAC=1;DB;X=a=b\tGT\t0/1"
    record = parse_record(line, place="p")
    assert (record.contig, record.position, record.identifier) == ("z", 7, "rs1")
    assert [(i, v.key) for i, v in record.variants()] == [(0, "z:7:A:C"), (2, "z:7:A:AT")]
    assert record.info_value("AC") == "1"
    assert record.info_value("DB") == ""
    assert record.info_value("X") == "a=b"
    assert record.info_value("A") is None


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "no line #CHROM"),
        ("hello\n", "line 1: 'hello'; a VCF begins with"),
        ("##fileformat=VCFv4.3\nz\t1\t.\tA\tC\t.\t.\t.\n", "line 2: a record before"),
        ("##fileformat=VCFv4.3\n#CHROM\tPOS\n", "line 2: columns"),
        (HEADER + "z\t1\t.\tA\n", "line 3: 4 tab-separated columns"),
        (HEADER + "z\t1e3\t.\tA\tC\t.\t.\t.\n", "line 3: POS is '1e3'"),
        (HEADER + "z\t\t.\tA\tC\t.\t.\t.\n", "line 3: POS is ''"),
        (HEADER + "\t1\t.\tA\tC\t.\t.\t.\n", "line 3: CHROM ''"),
    ],
)
def test_faults_are_named(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "in.vcf"
    path.write_text(text)
    with pytest.raises(GenoslimError, match=named):
        list(read_vcf(path))


def test_position_zero_is_refused_where_a_variant_is_wanted() -> None:
    record = parse_record("z\t0\t.\tA\tC\t.\t.\t.", place="in.vcf, line 9")
    with pytest.raises(GenoslimError, match=r"in\.vcf, line 9: z: position 0"):
        list(record.variants())


def test_truncated_gzip_and_bcf(tmp_path: Path) -> None:
    body = "".join(f"z\t{i}\t.\tA\tC\t.\t.\tX={i * i}\n" for i in range(1, 2000))
    path = tmp_path / "in.vcf.gz"
    whole = gzip.compress((HEADER + body).encode())
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(GenoslimError, match="truncated or damaged gzip after line"):
        list(read_vcf(path))
    path.write_bytes(gzip.compress(b"BCF\2\2\xff\xfe\n"))
    with pytest.raises(GenoslimError, match="bcftools view"):
        list(read_vcf(path))


def test_real_records(real_data: Path) -> None:
    folder = real_data / "vcf" / "1kgp_chr20_1mb"
    records = list(read_vcf(folder / "z.vcf.gz"))
    kinds = Counter(allele_kind(r.reference, a).value for r in records for a in r.alternates)
    assert len(records) == 28998
    assert kinds == {"sequence": 28191 + 573 + 344 + 12, "symbolic": 24}
    assert sum(len(r.alternates) > 1 for r in records) == 138
    positions = Counter(r.position for r in records)
    assert sum(count > 1 for count in positions.values()) == 15
    padded = total = 0
    with Genome(folder / "z.fa") as genome:
        for record in records:
            for _, variant in record.variants():
                window = alternate_window(genome, variant, 512)  # raises if REF mismatched
                assert window.sequence[256:].startswith(variant.alternate[:256])
                padded += window.padded
                total += 1
    assert (total, padded) == (29120, 18)


def test_conformance_files(real_data: Path) -> None:
    folder = real_data / "vcf" / "hts-specs" / "4.3"
    for path in sorted(folder.glob("passed/*.vcf")):
        for record in read_vcf(path):
            assert all(allele_kind(record.reference, a) for a in record.alternates)
    readable = [path.name for path in folder.glob("failed/*.vcf") if _is_read(path)]
    assert "failed_body_pos_000.vcf" not in readable


def _is_read(path: Path) -> bool:
    """Whether a file is read whole; it may be refused, and with nothing but our error."""
    with suppress(GenoslimError):
        list(read_vcf(path))
        return True
    return False
