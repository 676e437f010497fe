from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pysam
import pysam.bcftools
import pytest

from genoslim.bundle.bundle import Bundle
from genoslim.bundle.runtime import Runtime
from genoslim.errors import GateError, GenoslimError, UsageError
from genoslim.models.tokenizer import SequenceTokenizer
from genoslim.score.console import account
from genoslim.score.tally import Tally
from genoslim.score.vcf import score_vcf

HEADER = (
    b"##fileformat=VCFv4.3\n"
    b'##INFO=<ID=DP,Number=1,Type=Integer,Description="Depth">\n'
    b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
)
Snv = Callable[..., bytes]


class Run:
    """Score what is given in a folder of its own."""

    def __init__(self, bundle: Path, fasta: Path, folder: Path) -> None:
        self.bundle, self.fasta, self.folder = bundle, fasta, folder
        self.tally: Tally | None = None

    def __call__(self, data: bytes, output: str = "out.vcf", **options: Any) -> bytes:
        source = self.folder / "in.vcf"
        source.write_bytes(data)
        target = self.folder / output
        options = {"backend": "onnxruntime"} | options
        self.tally = score_vcf(self.bundle, source, fasta=self.fasta, output=target, **options)
        return target.read_bytes()

    def left_over(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()} - {"in.vcf"}


@pytest.fixture
def run(bundle: Bundle, fasta: Path, tmp_path: Path) -> Run:
    folder = tmp_path / "run"
    folder.mkdir()
    return Run(bundle.folder, fasta, folder)


def _body(text: bytes) -> list[bytes]:
    return [line for line in text.splitlines(keepends=True) if not line.startswith(b"#")]


def _strip(text: bytes) -> list[bytes]:
    return [b"\t".join(line.split(b"\t")[:7]) for line in _body(text)]


def _values(text: bytes) -> list[tuple[str, str]]:
    """Return (GS_P, GS_STATUS) of every line, as written."""
    found = []
    for line in _body(text):
        items = line.decode().split("\t")[7].rstrip("\n").split(";")
        pairs = dict(item.split("=") for item in items if item.startswith("GS_"))
        found.append((pairs["GS_P"], pairs["GS_STATUS"]))
    return found


def _mismatches(snv: Snv, wrong: int, right: int) -> bytes:
    """Make SNVs of chr1 the first `wrong` of which are one base off."""
    lines = []
    for index in range(wrong + right):
        line = snv("chr1", 100 + 2 * index)
        if index < wrong:
            fields = line.split(b"\t")
            fields[3] = fields[4]
            fields[4] = {b"A": b"C", b"C": b"G", b"G": b"T", b"T": b"A"}[fields[3]]
            line = b"\t".join(fields)
        lines.append(line)
    return HEADER + b"".join(lines)


def test_probabilities_are_those_of_the_runtime(
    run: Run, snv: Snv, bundle: Bundle, contigs: dict[str, str]
) -> None:
    found = _values(run(HEADER + snv("chr1", 500) + snv("chr1", 600)))
    lines = [snv("chr1", position).decode().split("\t") for position in (500, 600)]
    sequence = contigs["chr1"]
    windows = [
        sequence[int(f[1]) - 33 : int(f[1]) - 1] + f[4] + sequence[int(f[1]) : int(f[1]) + 31]
        for f in lines
    ]
    expected = Runtime(bundle, device="cpu").probabilities(windows)
    assert [status for _, status in found] == ["OK", "OK"]
    np.testing.assert_allclose([float(p) for p, _ in found], expected, rtol=2e-5)


def test_values_follow_the_alleles(run: Run, contigs: dict[str, str]) -> None:
    ref = contigs["chr1"][499]
    first, second = [base for base in "ACGT" if base != ref][:2]
    line = f"chr1\t500\t.\t{ref}\t{first},<DEL>,{second}\t.\t.\tDP=1\n".encode()
    ((values, statuses),) = _values(run(HEADER + line))
    assert statuses == "OK,SYMBOLIC,OK"
    one, none, other = values.split(",")
    assert none == "."
    assert one != other
    swapped = line.replace(f"{first},<DEL>,{second}".encode(), f"{second},{first}".encode())
    assert _values(run(HEADER + swapped))[0][0] == f"{other},{one}"


def test_a_bad_line_does_not_spoil_the_others(run: Run, snv: Snv) -> None:
    bad = [
        b"\n",
        b"chr1\t5\n",
        b"chr1\tx\t.\tA\tC\t.\t.\tDP=1\n",
        b"#a comment\n",
        b"\xff\xfe\t\x00\n",
        b"chr1\t5\t.\tA\tC\t.\t.\n",
    ]
    good = [snv("chr1", 500 + i) for i in range(len(bad) + 1)]
    mixed = [good[0], *(line for pair in zip(bad, good[1:], strict=True) for line in pair)]
    found = run(HEADER + b"".join(mixed)).splitlines(keepends=True)[-len(mixed) :]
    assert [line.split(b"\t")[:7] for line in found[::2]] == [g.split(b"\t")[:7] for g in good]
    assert all(line.endswith(b"GS_STATUS=OK\n") for line in found[::2])
    assert found[5] == b"chr1\tx\t.\tA\tC\t.\t.\tDP=1;GS_P=.;GS_STATUS=INVALID\n"
    assert [found[i] for i in (1, 3, 7, 9, 11)] == [bad[i] for i in (0, 1, 3, 4, 5)]
    assert run.tally is not None
    assert (run.tally.records, run.tally.malformed_lines, run.tally.other_lines) == (11, 3, 2)
    assert sum(run.tally.statuses.values()) == run.tally.alleles == 11


def test_crlf_and_a_missing_last_line_end_stay(run: Run, snv: Snv) -> None:
    unix = HEADER + snv("chr1", 500) + snv("chr1", 501)
    expected = run(unix)
    assert run(unix.replace(b"\n", b"\r\n")[:-2]) == expected.replace(b"\n", b"\r\n")[:-2]


def test_a_second_run_changes_nothing(run: Run, many: bytes) -> None:
    first = run(many, command="c")
    assert run(first, "second.vcf", command="c") == first


def test_batches_do_not_matter(run: Run, many: bytes) -> None:
    def scores(**options: Any) -> list[float]:
        return [float(value) for value, _ in _values(run(many, **options))]

    np.testing.assert_allclose(scores(batch_tokens=1), scores(batch_tokens=64 * 20), rtol=2e-5)


def test_openvino_gives_the_same(run: Run, many: bytes) -> None:
    pytest.importorskip("openvino", reason="the extra openvino is not installed")

    def scores(backend: str) -> list[float]:
        found = [float(value) for value, _ in _values(run(many, backend=backend, threads=1))]
        assert run.tally is not None
        assert (run.tally.backend, run.tally.provider.startswith("CPU")) == (backend, True)
        return found

    np.testing.assert_allclose(scores("openvino"), scores("onnxruntime"), atol=1e-4)


def test_equal_windows_are_scored_once(run: Run, snv: Snv, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = []
    original = Runtime.run

    def counted(self: Runtime, ids: Any, mask: Any) -> Any:
        rows.append(len(ids))
        return original(self, ids, mask)

    monkeypatch.setattr(Runtime, "run", counted)
    found = _values(run(HEADER + snv("chr1", 500) * 50 + snv("chr1", 600)))
    assert sum(rows) == 2
    assert len(set(found[:50])) == 1
    assert len(found) == 51


def test_compressed_output_has_an_index_that_works(run: Run, many: bytes) -> None:
    plain = run(many, command="c")
    assert gzip.decompress(run(many, "out.vcf.gz", command="c")) == plain
    assert run.left_over() == {"out.vcf", "out.vcf.gz", "out.vcf.gz.tbi"}
    with pysam.TabixFile(str(run.folder / "out.vcf.gz")) as tabix:
        assert [int(row.split("\t")[1]) for row in tabix.fetch("chr1", 999, 1002)] == [
            1000,
            1001,
            1002,
        ]
    with pysam.VariantFile(str(run.folder / "out.vcf.gz")) as records:
        record = next(records)
        assert record.info["GS_STATUS"] == ("OK",)
        assert 0 <= record.info["GS_P"][0] <= 1


@pytest.mark.parametrize("obstacle", ["unsorted", "apart", "blank", "malformed"])
def test_what_cannot_be_indexed_has_no_index(
    run: Run, snv: Snv, obstacle: str, caplog: pytest.LogCaptureFixture
) -> None:
    bodies = {
        "unsorted": snv("chr1", 600) + snv("chr1", 500),
        "apart": snv("chr1", 500) + snv("chrM", 50) + snv("chr1", 600),
        "blank": snv("chr1", 500) + b"\n",
        "malformed": snv("chr1", 500) + b"chr1\t501\n",
    }
    (run.folder / "out.vcf.gz.tbi").write_bytes(b"of an earlier file")
    run(HEADER + bodies[obstacle], "out.vcf.gz")
    assert run.left_over() == {"out.vcf.gz"}
    assert "no index" in caplog.text


@pytest.mark.parametrize(
    ("position", "info", "index"),
    [
        (600_000_000, ".", {"out.vcf.gz.csi"}),
        (10**17, ".", set()),
        (2990, "END=2000000000", set()),
        (2990, "END=1", {"out.vcf.gz.tbi"}),
        (2990, "END=x", {"out.vcf.gz.tbi"}),
    ],
)
def test_odd_places_do_not_cost_the_scores(
    run: Run, many: bytes, position: int, info: str, index: set[str]
) -> None:
    odd = f"chr1\t{position}\t.\tA\t<DEL>\t.\t.\t{info}\n".encode()
    packed = run(many + odd, "out.vcf.gz")
    assert gzip.decompress(packed).endswith(b"GS_P=.;GS_STATUS=SYMBOLIC\n")
    assert run.left_over() == {"out.vcf.gz"} | index


def test_bcftools_splits_our_fields_by_allele(run: Run, contigs: dict[str, str]) -> None:
    ref = contigs["chr1"][499]
    first, second = [base for base in "ACGT" if base != ref][:2]
    header = HEADER.replace(b"#CHROM", b"##contig=<ID=chr1>\n#CHROM")
    lines = (
        f"chr1\t400\t.\t{contigs['chr1'][399]}\t.\t.\t.\t.\n"
        f"chr1\t500\t.\t{ref}\t{first},<DEL>,{second}\t.\t.\tDP=1\n"
    )
    run(header + lines.encode(), "out.vcf.gz")
    text = pysam.bcftools.norm("-m", "-", str(run.folder / "out.vcf.gz"))
    rows = [line.split("\t")[7] for line in text.splitlines() if line[0] != "#"]
    assert [row.split("GS_STATUS=")[1] for row in rows] == ["INVALID", "OK", "SYMBOLIC", "OK"]


def test_tables_have_a_row_for_every_allele(run: Run, contigs: dict[str, str]) -> None:
    ref = contigs["chr1"][499]
    alt = "A" if ref != "A" else "C"
    data = HEADER + f"chr1\t500\trs1\t{ref}\t{alt},*\t.\t.\t.\n".encode() + b"chr1\tx\n\n#c\n"
    rows = [row.split("\t") for row in run(data, "out.tsv").decode().splitlines()]
    assert rows[0] == ["contig", "position", "id", "ref", "alt", "probability", "call", "status"]
    assert rows[1][:5] == ["chr1", "500", "rs1", ref, alt]
    call = "functional" if float(rows[1][5]) >= 0.5 else "neutral"
    assert rows[1][6:] == [call, "OK"]
    assert rows[2] == ["chr1", "500", "rs1", ref, "*", "", "", "STAR"]
    assert rows[3] == ["chr1", "x", "", "", "", "", "", "INVALID"]
    assert len(rows) == 4
    run(data, "out.parquet")
    table = pyarrow.parquet.read_table(run.folder / "out.parquet").to_pylist()
    assert [row["status"] for row in table] == ["OK", "STAR", "INVALID"]
    assert [row["position"] for row in table] == [500, 500, None]
    assert [row["call"] for row in table] == [call, None, None]
    assert table[0]["probability"] == pytest.approx(float(rows[1][5]), rel=1e-5)


def test_parquet_has_row_groups(run: Run, many: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genoslim.score.sinks._ROW_GROUP", 2000)
    run(many, "out.parquet")
    found = pyarrow.parquet.ParquetFile(run.folder / "out.parquet")
    assert found.metadata.num_row_groups == 2
    assert found.metadata.num_rows == 2900


@pytest.mark.parametrize("name", ["out.bcf", "out", "out.vcf.bz2", ".vcf", "out.txt"])
def test_another_suffix_is_a_usage_error(run: Run, name: str) -> None:
    with pytest.raises(UsageError, match=r"expected a name that ends in \.vcf, \.vcf\.gz"):
        run(HEADER, name)
    assert run.left_over() == set()


def test_outputs_that_are_inputs_are_refused(run: Run, tmp_path: Path) -> None:
    link = tmp_path / "link.vcf"
    link.symlink_to(run.folder / "in.vcf")
    with pytest.raises(UsageError, match="is an input too"):
        run(HEADER, "in.vcf")
    with pytest.raises(UsageError, match="is an input too"):
        run(HEADER, str(link))
    with pytest.raises(UsageError, match="lies in an input"):
        run(HEADER, str(run.bundle / "out.vcf"))
    with pytest.raises(UsageError, match="is an input too"):
        run(HEADER, summary=run.fasta)
    with pytest.raises(UsageError, match="both the output and the summary"):
        run(HEADER, "s.vcf", summary=run.folder / "s.vcf")
    assert (run.folder / "in.vcf").read_bytes() == HEADER


@pytest.mark.parametrize(("option", "value"), [("check_ref", "maybe"), ("non_snv", "yes")])
def test_unknown_choices_are_usage_errors(run: Run, option: str, value: str) -> None:
    with pytest.raises(UsageError, match=value):
        run(HEADER, **{option: value})


@pytest.mark.parametrize(
    ("wrong", "right", "fails"),
    [(1, 0, True), (1, 1, False), (2, 2, False), (3, 2, True), (49, 50, False), (6, 94, True),
     (5, 95, False), (6, 114, False), (60, 940, True)],
)  # fmt: skip
def test_a_high_rate_of_mismatches_ends_the_run(
    run: Run, snv: Snv, wrong: int, right: int, fails: bool
) -> None:
    data = _mismatches(snv, wrong, right)
    if fails:
        with pytest.raises(GenoslimError, match="is it the same assembly"):
            run(data)
        assert run.left_over() == set()
    found = [status for _, status in _values(run(data, check_ref="warn" if fails else "exit"))]
    assert found == ["REF_MISMATCH"] * wrong + ["OK"] * right
    assert run.tally is not None
    assert run.tally.reference_mismatched == wrong
    assert "REF differs" in run.tally.warnings[-1]


def test_without_the_check_everything_is_scored(run: Run, snv: Snv) -> None:
    found = _values(run(_mismatches(snv, 200, 0), check_ref="skip"))
    assert {status for _, status in found} == {"OK"}


def test_no_contig_in_common_is_an_error(run: Run, snv: Snv) -> None:
    data = HEADER + snv("chr1", 500).replace(b"chr1", b"scaffold7") * 3
    with pytest.raises(GenoslimError, match=r"no contig in common.*VCF has scaffold7.*FASTA chr1"):
        run(data)
    assert run.left_over() == set()
    found = run(data + snv("chr1", 500))
    assert [status for _, status in _values(found)] == ["NO_CONTIG"] * 3 + ["OK"]


def test_a_vcf_of_symbolic_alleles_alone_is_no_error(run: Run) -> None:
    found = run(HEADER + b"scaffold7\t5\t.\tA\t<DEL>\t.\t.\t.\n")
    assert _values(found) == [(".", "SYMBOLIC")]


def test_a_header_alone_is_scored_to_a_header(run: Run) -> None:
    assert run(HEADER).endswith(HEADER.splitlines(keepends=True)[-1])
    assert run.tally is not None
    assert run.tally.records == 0
    assert run.tally.warnings == (f"{run.folder / 'in.vcf'}: no records",)
    run(HEADER, "out.vcf.gz")
    run(HEADER, "out.tsv")
    run(HEADER, "out.parquet")
    assert pyarrow.parquet.read_table(run.folder / "out.parquet").num_rows == 0


def test_a_truncated_input_leaves_nothing(run: Run, many: bytes) -> None:
    packed = gzip.compress(many)
    before = run(many)
    for output in ("out.vcf", "new.vcf", "new.vcf.gz", "new.tsv", "new.parquet"):
        with pytest.raises(GenoslimError, match="truncated"):
            run(packed[:-9], output, summary=run.folder / "summary.json")
    assert run.left_over() == {"out.vcf"}
    assert (run.folder / "out.vcf").read_bytes() == before


def test_a_changed_bundle_is_refused(run: Run, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in run.bundle.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    (copy / "model.onnx").write_bytes(b"x" * (copy / "model.onnx").stat().st_size)
    run.bundle = copy
    with pytest.raises(GateError, match=r"model\.onnx: changed"):
        run(HEADER)
    assert run.left_over() == set()


def test_the_summary_is_the_tally(run: Run, snv: Snv, bundle: Bundle) -> None:
    summary = run.folder / "summary.json"
    line = snv("chr1", 500).replace(b"chr1", b"1")
    run(HEADER + line + b"9\t1\t.\tA\t<DEL>,T\t.\t.\t.\n", summary=summary)
    found = json.loads(summary.read_text())
    assert found["statuses"] == dict.fromkeys(found["statuses"], 0) | {
        "OK": 1,
        "SYMBOLIC": 1,
        "NO_CONTIG": 1,
    }
    assert (found["records"], found["alleles"], found["scored"]) == (2, 3, 1)
    assert found["aliases"] == {"1": "chr1"}
    assert found["bundle_digest"] == bundle.digest
    assert (found["backend"], found["provider"]) == ("onnxruntime", "CPUExecutionProvider")
    assert found["threshold"] == 0.5
    assert found["records_per_second"] > 0


def test_another_assembly_is_a_warning(
    run: Run, snv: Snv, caplog: pytest.LogCaptureFixture
) -> None:
    data = HEADER.replace(b"#CHROM", b"##reference=hg38.fa\n#CHROM") + snv("chr1", 500)
    with caplog.at_level(logging.WARNING):
        run(data)
    assert "the bundle was made for GRCh37, but the VCF is of GRCh38" in caplog.text
    run(data, assembly="hg19")
    assert run.tally is not None
    assert run.tally.warnings == ()
    run(data, assembly="banana")
    assert run.tally.warnings == ("the bundle was made for GRCh37, but the VCF is of banana",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found: found * np.nan, "no finite probability for 1 of 1 windows"),
        (lambda found: found[:0], "gave 0 probabilities for 1 windows"),
    ],
)
def test_a_probability_that_is_none_is_an_error_and_no_output(
    change: Callable[[Any], Any],
    message: str,
    run: Run,
    snv: Snv,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = Runtime.probabilities
    monkeypatch.setattr(
        Runtime, "probabilities", lambda self, *args, **more: change(original(self, *args, **more))
    )
    with pytest.raises(GenoslimError, match=message):
        run(HEADER + snv("chr1", 500))
    assert run.left_over() == set()


def test_a_window_of_too_many_tokens_spoils_no_other(
    run: Run, snv: Snv, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = HEADER + snv("chr1", 500) + snv("chr2", 95) + snv("chr1", 600)
    free = _values(run(lines))
    assert [status for _, status in free] == ["OK"] * 3
    original = SequenceTokenizer.from_folder

    def limited(folder: Path) -> SequenceTokenizer:
        tokenizer = original(folder)
        tokenizer.max_tokens = 24
        return tokenizer

    monkeypatch.setattr(SequenceTokenizer, "from_folder", limited)
    assert _values(run(lines)) == [free[0], (".", "TOO_LONG"), free[2]]


def test_progress_counts_lines(run: Run, many: bytes) -> None:
    seen: list[int] = []
    run(many, progress=seen.append)
    assert seen == [2048, 2900]


def test_long_lines_make_small_chunks(
    run: Run, many: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genoslim.score.stages._CHUNK_BYTES", 3000)
    seen: list[int] = []
    small = run(many, "small.vcf", command="c", progress=seen.append)
    assert len(seen) > 20
    assert _strip(small) == _strip(many)


def test_genotype_columns_come_through(run: Run, snv: Snv) -> None:
    header = HEADER.replace(b"INFO\n", b"INFO\tFORMAT\ta\tb\n")
    line = snv("chr1", 500, info="DP=3")[:-1] + b"\tGT:DP\t0/1:7\t./.:.\n"
    (found,) = _body(run(header + line))
    assert found.split(b"\t")[8:] == [b"GT:DP", b"0/1:7", b"./.:.\n"]
    assert found.split(b"\t")[7].startswith(b"DP=3;GS_P=0.")


def test_the_account_names_aliases_and_malformed_lines(run: Run, snv: Snv) -> None:
    run(HEADER + snv("chr1", 500).replace(b"chr1", b"1") + b"bad\n")
    assert run.tally is not None
    lines = account(run.tally).splitlines()
    assert lines[0].startswith("2 records, 2 alternate alleles, 1 scored")
    assert "contigs taken for those of the FASTA: 1 = chr1" in lines
    assert "1 malformed lines passed on as they were" in lines


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input": "typo.vcf"}, r"typo\.vcf: no such file"),
        ({"input": "/usr"}, "is a folder; expected a VCF"),
        ({"fasta": "typo.fa"}, r"typo\.fa: cannot be read: No such file"),
        ({"fasta": "/usr"}, "/usr: cannot be read: Is a directory"),
        ({"fasta": "in.vcf"}, r"in\.vcf, line 1: .*a FASTA file begins"),
        ({"output": "/bin/sh/out.vcf"}, "out.vcf: cannot be written: .*Not a directory"),
        ({"output": "/proc/out.vcf"}, "/proc/out.vcf: cannot be written"),
        ({"output": "/proc/self/new/out.vcf"}, "out.vcf: cannot be written"),
        ({"summary": "/proc/summary.json"}, "summary.json: cannot be written"),
    ],
)
def test_what_is_wrong_is_found_before_the_bundle_is_opened(
    change: dict[str, str],
    message: str,
    fasta: Path,
    many: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.vcf").write_bytes(many)
    options: dict[str, Any] = {"input": "in.vcf", "fasta": fasta, "output": "out.vcf"} | change
    with pytest.raises(GenoslimError, match=message):
        score_vcf("no-bundle", **options)
    assert [path.name for path in tmp_path.iterdir()] == ["in.vcf"]


def test_a_tally_cannot_be_changed(run: Run, snv: Snv) -> None:
    run(HEADER + snv("chr1", 500))
    assert run.tally is not None
    with pytest.raises(AttributeError):
        run.tally.records = 2  # type: ignore[misc]
