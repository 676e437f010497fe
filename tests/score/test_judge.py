from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from genoslim.data.genome import Genome
from genoslim.data.judge import Verdict
from genoslim.data.status import Status
from genoslim.score.judge import RecordJudge
from genoslim.score.record import parse_record

WINDOW = 64
Snv = Callable[..., bytes]


@pytest.fixture
def genome(fasta: Path) -> Iterator[Genome]:
    with Genome(fasta) as opened:
        yield opened


@pytest.fixture
def judge(genome: Genome) -> RecordJudge:
    return RecordJudge(genome, WINDOW)


def _statuses(judge: RecordJudge, line: bytes) -> list[Status]:
    return [verdict.status for verdict in judge.verdicts(parse_record(line))]


def _verdict(judge: RecordJudge, line: bytes) -> Verdict:
    (found,) = judge.verdicts(parse_record(line))
    return found


def _line(contig: str, position: object, ref: str, alt: str) -> bytes:
    return f"{contig}\t{position}\t.\t{ref}\t{alt}\t.\t.\t.\n".encode()


@pytest.mark.parametrize(
    ("allele", "status"),
    [
        ("acgtn", Status.NOT_SNV),
        ("*", Status.STAR),
        ("<DEL>", Status.SYMBOLIC),
        ("C<ctg1>", Status.SYMBOLIC),
        ("G]17:198982]", Status.BREAKEND),
        (".A", Status.BREAKEND),
        (".", Status.INVALID),
        ("", Status.INVALID),
        ("R", Status.INVALID),
        ("é", Status.INVALID),
        ("**", Status.INVALID),
    ],
)
def test_the_status_of_an_allele_by_its_letters(
    judge: RecordJudge, snv: Snv, contigs: dict[str, str], allele: str, status: Status
) -> None:
    line = _line("chr1", 500, contigs["chr1"][499], allele)
    assert _statuses(judge, line) == [status]


def test_a_window_has_the_alternate_base_in_its_middle(
    judge: RecordJudge, snv: Snv, contigs: dict[str, str]
) -> None:
    status, window = _verdict(judge, snv("chr1", 500, "acgt".replace(contigs["chr1"][499], "")[0]))
    assert status is Status.OK
    assert window is not None
    before, after = contigs["chr1"][499 - 32 : 499], contigs["chr1"][500 : 499 + 32]
    assert (window[:32], window[33:]) == (before, after)
    assert window[32] != contigs["chr1"][499]


@pytest.mark.parametrize(
    ("position", "left", "right"),
    [(1, 32, 0), (32, 1, 0), (33, 0, 0), (2969, 0, 0), (2970, 0, 1), (3000, 0, 31)],
)
def test_windows_are_padded_at_the_ends_of_a_contig(
    judge: RecordJudge, snv: Snv, position: int, left: int, right: int
) -> None:
    status, window = _verdict(judge, snv("chr1", position))
    assert window is not None
    assert len(window) == WINDOW
    assert window.startswith("N" * left)
    assert window.endswith("N" * right)
    assert window.count("N") == left + right
    assert status is (Status.CONTIG_EDGE if left + right else Status.OK)


def test_a_contig_shorter_than_the_window_is_scored(judge: RecordJudge, snv: Snv) -> None:
    status, window = _verdict(judge, snv("short", 10))
    assert status is Status.CONTIG_EDGE
    assert window is not None
    assert window.count("N") == WINDOW - 20


@pytest.mark.parametrize(
    ("position", "status"),
    [
        (69, Status.OK),  # its window ends before the N
        (84, Status.OK),  # 15 N of 64
        (100, Status.OK),  # the base before 100 N: 31 N, less than half
        (201, Status.OK),  # the base after them: 32 N, half
        (150, Status.N_WINDOW),
    ],
)
def test_a_window_of_mostly_unknown_bases_is_not_scored(
    judge: RecordJudge, snv: Snv, contigs: dict[str, str], position: int, status: Status
) -> None:
    base = contigs["chr2"][position - 1]
    alt = "A" if base != "A" else "C"
    assert _verdict(judge, snv("chr2", position, alt)).status is status


def test_more_than_half_unknown_is_not_scored(tmp_path: Path) -> None:
    path = tmp_path / "n.fa"
    path.write_text(">1\n" + "N" * 50 + "A" + "N" * 13 + "C" * 40 + "\n")
    with Genome(path) as genome:
        assert _verdict(RecordJudge(genome, 64), _line("1", 51, "A", "C")).status is Status.N_WINDOW
        assert _verdict(RecordJudge(genome, 4), _line("1", 65, "C", "A")).status is Status.OK


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (_line("9", 5, "A", "C"), Status.NO_CONTIG),
        (_line("9", 5, "A", "<DEL>"), Status.SYMBOLIC),
        (_line("", 5, "A", "C"), Status.NO_CONTIG),
        (_line("chr1", 0, "A", "C"), Status.INVALID),
        (_line("chr1", 3001, "A", "C"), Status.INVALID),
        (_line("chr1", 10**17, "A", "C"), Status.INVALID),
        (_line("chr1", 0, "N", "]chr1:5]A"), Status.BREAKEND),
        (_line("chr1", "x", "A", "<DEL>"), Status.INVALID),
        (_line("chr1", ".", "A", "C"), Status.INVALID),
        (_line("chr1", 5, "R", "C"), Status.INVALID),
        (_line("chr1", 5, "", "C"), Status.INVALID),
        (_line("chr1", 5, "A", "."), Status.INVALID),
        (_line("chr1", 5, "A", "a"), Status.INVALID),
        (_line("chr2", 150, "N", "C"), Status.N_WINDOW),
        (_line("chr2", 150, "A", "C"), Status.N_WINDOW),
        (b"chr1\t5\t.\tA\tC\n", Status.INVALID),
        (b"\n", Status.INVALID),
    ],
)
def test_what_is_not_scored(judge: RecordJudge, line: bytes, expected: Status) -> None:
    assert _verdict(judge, line) == Verdict(expected, None)
    assert judge.reference_check.checked == 0


def test_each_allele_has_its_own_verdict(judge: RecordJudge, contigs: dict[str, str]) -> None:
    ref = contigs["chr1"][999]
    snv = "A" if ref != "A" else "C"
    line = _line("chr1", 1000, ref, f"{snv},*,<DEL>,{ref}TT,{ref},,{ref}[2:7[,N,{snv}")
    assert _statuses(judge, line) == [
        Status.OK,
        Status.STAR,
        Status.SYMBOLIC,
        Status.NOT_SNV,
        Status.INVALID,
        Status.INVALID,
        Status.BREAKEND,
        Status.N_WINDOW,
        Status.OK,
    ]


def test_lower_case_is_the_same_base(judge: RecordJudge, snv: Snv) -> None:
    line = snv("chr1", 700)
    lower = line.replace(
        b"\t" + line.split(b"\t")[3] + b"\t", b"\t" + line.split(b"\t")[3].lower() + b"\t"
    )
    assert _verdict(judge, lower) == _verdict(judge, line)


def test_a_mismatch_is_counted_once_a_record(judge: RecordJudge, contigs: dict[str, str]) -> None:
    ref = "A" if contigs["chr1"][99] != "A" else "C"
    others = ",".join(set("ACGT") - {ref})
    assert _statuses(judge, _line("1", 100, ref, others)) == [Status.REF_MISMATCH] * 3
    check = judge.reference_check
    assert (check.checked, check.mismatched, check.rate) == (1, 1, 1.0)
    assert check.example == f"1:100 has REF {ref}, the FASTA {contigs['chr1'][99]}"


def test_without_the_check_the_alternate_is_scored_all_the_same(
    genome: Genome, snv: Snv, contigs: dict[str, str]
) -> None:
    judge = RecordJudge(genome, WINDOW, compare_reference=False)
    truth = contigs["chr1"][99]
    alt, wrong = [base for base in "ACGT" if base != truth][:2]
    assert _verdict(judge, _line("chr1", 100, wrong, alt)) == _verdict(judge, snv("chr1", 100, alt))
    assert _verdict(judge, _line("chr1", 100, wrong, truth)).status is Status.OK
    assert judge.reference_check.checked == 0


@pytest.mark.parametrize(("vcf", "ours"), [("1", "chr1"), ("MT", "chrM"), ("M", "chrM")])
def test_aliases_are_used_and_remembered(judge: RecordJudge, snv: Snv, vcf: str, ours: str) -> None:
    line = snv(ours, 100)
    other = line.replace(ours.encode(), vcf.encode(), 1)
    assert _verdict(judge, other) == _verdict(judge, line)
    assert judge.aliases == {vcf: ours}


def test_a_long_contig_is_no_alias_of_itself(judge: RecordJudge, snv: Snv) -> None:
    _verdict(judge, snv("chr1", 100))
    _verdict(judge, _line("nowhere", 1, "A", "C"))
    assert judge.aliases == {}
    assert judge.contigs == {"chr1": "chr1", "nowhere": None}


def test_other_variants_are_scored_on_demand(
    genome: Genome, snv: Snv, contigs: dict[str, str]
) -> None:
    judge = RecordJudge(genome, WINDOW, score_non_snv=True)
    sequence = contigs["chr1"]
    insertion = _verdict(judge, snv("chr1", 500, sequence[499] + "ACGT"))
    assert insertion.status is Status.OK
    assert insertion.window == (sequence[467:499] + sequence[499] + "ACGT" + sequence[500:527])
    deletion = _verdict(judge, snv("chr1", 500, sequence[499], length=10))
    assert deletion.window == sequence[467:500] + sequence[509:540]
    assert _statuses(judge, snv("chr1", 500, "A" * 32)) == [Status.OK]
    assert _statuses(judge, snv("chr1", 500, "A" * 33)) == [Status.TOO_LONG]
    assert _statuses(judge, snv("chr1", 500, "A", length=33)) == [Status.TOO_LONG]
    assert _statuses(judge, snv("chr1", 2960, "A", length=20)) == [Status.CONTIG_EDGE]


def test_a_deletion_beyond_the_contig_is_invalid(
    judge: RecordJudge, contigs: dict[str, str]
) -> None:
    tail = contigs["chr1"][-5:] + "A"
    assert _statuses(judge, _line("chr1", 2996, tail, tail[0])) == [Status.INVALID]


_pieces = st.sampled_from(
    b"chr1|2|MT|,|A|acgt|N|0|1|150|99999|<DEL>|*|.|[|]|:|#| |\t|\t|\t|\r|\0|\xff".split(b"|")
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(_pieces, max_size=40), st.booleans())
@example([b"chr1\t1\t.\tA,C\t,\t\t\t"], True)
def test_any_line_has_a_verdict_for_each_allele(
    genome: Genome, pieces: list[bytes], score_non_snv: bool
) -> None:
    record = parse_record(b"".join(pieces) + b"\n")
    judge = RecordJudge(genome, WINDOW, score_non_snv=score_non_snv)
    found = judge.verdicts(record)
    assert len(found) == (len(record.alternates) if record.well_formed else 1)
    for status, window in found:
        assert (window is not None) == status.scored
        assert window is None or (len(window) == WINDOW and set(window) <= set("ACGTN"))
