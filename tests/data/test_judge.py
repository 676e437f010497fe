"""Whether a variant can be scored. tests/score/test_judge.py holds the rules on lines of a VCF."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from genoslim.data.genome import Genome, alternate_window
from genoslim.data.judge import VariantJudge, Verdict
from genoslim.data.status import Status
from genoslim.data.variant import Variant

SEQUENCE = "ACGTTGCAAC" * 4


@pytest.fixture
def genome(tmp_path: Path) -> Iterator[Genome]:
    path = tmp_path / "genome.fa"
    path.write_text(f">chr1\n{SEQUENCE}\n>chr2\n{'N' * 40}\n")
    with Genome(path) as opened:
        yield opened


@pytest.mark.parametrize(
    ("variant", "status"),
    [
        (("chr1", 21, "A", "C"), Status.OK),
        (("1", 21, "a", "c"), Status.OK),
        (("chr1", 1, "A", "C"), Status.CONTIG_EDGE),
        (("chr1", 21, "A", "A"), Status.INVALID),
        (("chr1", 41, "A", "C"), Status.INVALID),
        (("chr1", 21, "G", "C"), Status.REF_MISMATCH),
        (("chr1", 21, "N", "C"), Status.REF_MISMATCH),
        (("chr1", 21, "A", "N"), Status.N_WINDOW),
        (("chr1", 21, "A", "AC"), Status.NOT_SNV),
        (("chr2", 21, "A", "C"), Status.N_WINDOW),
        (("chr3", 21, "A", "C"), Status.NO_CONTIG),
    ],
)
def test_a_variant_has_a_status_and_a_window_if_it_is_scored(
    variant: tuple[str, int, str, str], status: Status, genome: Genome
) -> None:
    judge = VariantJudge(genome, 10)
    found = judge.judge(Variant(*variant))
    assert found.status is status
    expected = alternate_window(genome, Variant(*variant), 10).sequence if status.scored else None
    assert found.window == expected


def test_longer_alleles_are_scored_on_demand(genome: Genome) -> None:
    judge = VariantJudge(genome, 10, score_non_snv=True)
    assert judge.judge(Variant("chr1", 21, "A", "ACCCC")).status is Status.OK
    assert judge.judge(Variant("chr1", 21, "A", "ACCCCC")) == Verdict(Status.TOO_LONG)


def test_what_was_seen_adds_up(genome: Genome) -> None:
    judge = VariantJudge(genome, 10)
    for variant in (
        Variant("1", 21, "A", "C"),
        Variant("1", 22, "A", "C"),
        Variant("x", 1, "A", "C"),
    ):
        judge.judge(variant)
    assert (judge.reference_check.checked, judge.reference_check.mismatched) == (2, 1)
    assert judge.reference_check.example == "1:22 has REF A, the FASTA C"
    assert judge.contigs == {"1": "chr1", "x": None}
    assert judge.aliases == {"1": "chr1"}
