"""The builders: eQTL table, MPRA table, labelled VCFs and tables."""

from __future__ import annotations

import gzip
import logging
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from genoslim.data.eqtl import build_eqtl_data
from genoslim.data.genome import Genome
from genoslim.data.leakage import Leakage
from genoslim.data.mpra import build_mpra_data
from genoslim.data.variants import SplitRule, build_variant_data
from genoslim.errors import GenoslimError, UsageError

HEADER = "CHROM,POS,REF,ALT,label,tissue,distance_to_nearest_TSS,split"
CONTIG = "ACGTTGCAAC" * 10
OTHER = {"A": "C", "C": "G", "G": "T", "T": "A"}


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    path = tmp_path / "g.fa"
    path.write_text("".join(f">chr{i}\n{CONTIG}\n" for i in (1, 7, 8, 9)))
    return path


def row(chrom: str, position: int, split: str, label: int = 1, tissue: str = "Liver") -> str:
    ref = CONTIG[position - 1] if position <= len(CONTIG) else "A"
    return f"{chrom},{position},{ref},{OTHER[ref]},{label},{tissue},-250,{split}"


ROWS = [
    row("chr1", 50, "train", 1, "Liver"),
    row("chr1", 50, "train", 0, "Lung"),
    row("chr1", 51, "train", 0),
    row("chr7", 60, "train"),
    row("chr8", 40, "train", 0),
    row("chr9", 33, "test"),
    row("chr9", 70, "test", 0),
]


def write(path: Path, rows: list[str], header: str = HEADER) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_eqtl_rows_windows_and_splits(tmp_path: Path, fasta: Path) -> None:
    data = build_eqtl_data(write(tmp_path / "e.csv", ROWS), fasta, window=21)
    assert data.split_counts == {"train": 3, "validation": 2, "test": 2}
    assert data.keys[0] == data.keys[1]
    assert data.labels[:2].tolist() == [1, 0]
    assert data.tissues is not None
    assert data.tissues[:2].tolist() == ["Liver", "Lung"]
    assert data.distances_to_tss is not None
    assert data.distances_to_tss[0] == -250
    assert data.sequences[0] == CONTIG[39:49] + OTHER[CONTIG[49]] + CONTIG[50:60]
    assert data.metadata.licence == "CC-BY-NC-SA-4.0"
    assert data.metadata.options["validation_chromosomes"] == ["chr7", "chr8"]


@pytest.mark.parametrize("length", [20, 21])
def test_eqtl_edges_follow_the_benchmark(tmp_path: Path, fasta: Path, length: int) -> None:
    """Its loader drops `start < 0 or end >= len(contig)`, one position more than needed."""
    rows = [row("chr1", p, "train", p % 2) for p in range(1, 101)] + ROWS[3:]
    half = length // 2
    kept = [
        p for p in range(1, 101) if p - 1 - half >= 0 and p - 1 + half + length % 2 < len(CONTIG)
    ]
    table = write(tmp_path / "e.csv", rows)
    data = build_eqtl_data(table, fasta, window=length)
    found = data.variants.position[data.variants.contig == "chr1"]
    assert found.tolist() == kept
    assert data.metadata.dropped == {"window_leaves_contig": 100 - len(kept)}
    padded = build_eqtl_data(table, fasta, window=length, edges="pad")
    assert len(padded) == 104
    assert padded.metadata.dropped == {}


@pytest.mark.parametrize(
    ("rows", "header", "named"),
    [
        ([], HEADER, "a header but no rows"),
        (ROWS, HEADER.replace("POS", "Pos"), "no column 'POS'; is it 'Pos'"),
        ([*ROWS, row("chr1", 9, "valid")], HEADER, "line 9: split is 'valid'; expected train or"),
        ([*ROWS, row("chr1", 9, "test", 2)], HEADER, "line 9: label is '2'; expected 0 or 1"),
        ([*ROWS, "chr1,x,A,C,1,L,1,test"], HEADER, "line 9: POS is 'x'; expected a whole"),
        ([*ROWS, "chr1,0,A,C,1,L,1,test"], HEADER, "line 9: chr1: position 0"),
        ([*ROWS, "chr1,5,A,-,1,L,1,test"], HEADER, "line 9: chr1:5: alternate allele '-'"),
        ([*ROWS, "chr1,5"], HEADER, "line 9: 2 cells; the header has 8"),
        (
            [ROWS[3], ROWS[4], "chr1,50,G,T,1,L,1,train"],
            HEADER,
            "line 4: chr1:50:G:T: REF is G but .* has C: .* in 1 of 3 rows",
        ),
        (["1_alt,5,A,C,1,L,1,train"], HEADER, "no variant on chr7, chr8; the data has 1_alt"),
    ],
)
def test_eqtl_faults(tmp_path: Path, fasta: Path, rows: list[str], header: str, named: str) -> None:
    with pytest.raises(GenoslimError, match=named):
        build_eqtl_data(write(tmp_path / "e.csv", rows, header), fasta, window=10)


def test_eqtl_truncated_gzip(tmp_path: Path, fasta: Path) -> None:
    path = tmp_path / "e.csv.gz"
    rows = [row("chr1", 1 + i * 7 % 100, "train", i % 2, f"t{i * i}") for i in range(999)]
    path.write_bytes(gzip.compress("\n".join([HEADER, *rows]).encode())[:-2000])
    with pytest.raises(GenoslimError, match="truncated or damaged gzip after line"):
        build_eqtl_data(path, fasta, window=10)


def test_eqtl_leak_is_refused(tmp_path: Path, fasta: Path) -> None:
    rows = [*ROWS, row("chr7", 65, "test")]
    with pytest.raises(Leakage, match="windows of validation overlap windows of test"):
        build_eqtl_data(write(tmp_path / "e.csv", rows), fasta, window=10)


def test_few_mismatches_and_unknown_contigs_are_counted(
    tmp_path: Path, fasta: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = ROWS + [row("chr1", 11 + i % 70, "train", i % 2) for i in range(200)]
    rows += [row("chrUn", 5, "train"), "chr1,50,G,T,1,L,1,train"]
    with caplog.at_level(logging.WARNING):
        data = build_eqtl_data(write(tmp_path / "e.csv", rows), fasta, window=10)
    assert data.metadata.dropped == {"reference_mismatch": 1, "unknown_contig": 1}
    assert len(data) == 207
    assert "left out: 1 reference_mismatch, 1 unknown_contig" in caplog.text


def test_rows_come_out_in_their_order_and_with_the_names_of_the_fasta(
    tmp_path: Path, fasta: Path
) -> None:
    rows = [ROWS[5], ROWS[4], ROWS[0].replace("chr1", "1"), ROWS[3], ROWS[2], ROWS[6]]
    data = build_eqtl_data(write(tmp_path / "e.csv", rows), fasta, window=10)
    assert data.variants.contig.tolist() == ["chr9", "chr8", "chr1", "chr7", "chr1", "chr9"]


def test_mpra_real(real_data: Path) -> None:
    folder = real_data / "mpra"
    table, fasta = folder / "labelled_snv.tsv.gz", folder / "loci.GRCh38.fa"
    data = build_mpra_data(table, fasta, window=128, edges="pad")
    counts = {
        name: Counter(data.labels[data.splits == name].tolist()) for name in data.split_counts
    }
    assert counts == {
        "train": {1: 1497, 0: 14929},
        "validation": {1: 464, 0: 2839},
        "test": {1: 1296, 0: 2455},
    }
    assert data.metadata.dropped == {"ambiguous_label": 5962}
    assert len(set(data.groups.tolist())) == 21
    assert (data.groups == data.variants.contig).all()
    assert sum("N" in sequence for sequence in data.sequences) > 1000
    assert {sequence[64] for sequence in data.sequences} == set("ACGT")
    inside = build_mpra_data(table, fasta, window=128)
    assert inside.metadata.dropped["window_leaves_contig"] == len(data) - len(inside)
    with Genome(fasta) as genome:
        lengths = genome.contigs
    assert inside.keys.tolist() == [
        v.key for v in data.variants if 64 <= v.start <= lengths[v.contig] - 64
    ]
    assert data.fingerprint.startswith("5a263f7166c83a29199a")


def test_mpra_negatives_are_drawn_a_locus_of_training_alone(real_data: Path) -> None:
    folder = real_data / "mpra"

    def built(ratio: float | None, seed: int = 0) -> list[tuple[str, str, int]]:
        data = build_mpra_data(
            folder / "labelled_snv.tsv.gz",
            folder / "loci.GRCh38.fa",
            window=8,
            negatives_per_positive=ratio,
            seed=seed,
        )
        return list(zip(data.keys, data.splits, data.labels.tolist(), strict=True))

    everything, drawn = built(None), built(2)
    assert set(drawn) < set(everything)
    assert [r for r in drawn if r[1] != "train"] == [r for r in everything if r[1] != "train"]
    per_locus: dict[str, Counter[int]] = {}
    available: dict[str, Counter[int]] = {}
    for rows, counts in ((drawn, per_locus), (everything, available)):
        for key, split, label in rows:
            if split == "train":
                counts.setdefault(key.split(":")[0], Counter())[label] += 1
    for locus, found in available.items():
        assert per_locus[locus][1] == found[1]
        assert per_locus[locus][0] == min(found[0], 2 * found[1])
    assert built(2) == drawn
    assert built(2, seed=1) != drawn


def test_mpra_keeps_na_and_pads(tmp_path: Path) -> None:
    (tmp_path / "l.fa").write_text(">NA\nACGTACGT\n>HBB\nACGTACGT\n")
    table = tmp_path / "t.tsv"
    lines = ["NA\t0\tA\tC\t1\ttrain", "NA\t7\tT\tG\t\ttrain", "NA\t4\tA\tG\t0\ttrain"]
    lines += ["HBB\t7\tT\tG\t0\tval", "HBB\t3\tT\tG\t1\tval"]
    table.write_text("locus\toffset0\tRef\tAlt\tlabel\tsplit\n" + "\n".join(lines) + "\n")
    data = build_mpra_data(table, tmp_path / "l.fa", window=6, edges="pad")
    assert data.sequences == ["NNNCCG", "CGTGCG", "ACGGNN", "ACGGAC"]
    assert data.keys.tolist() == ["NA:1:A:C", "NA:5:A:G", "HBB:8:T:G", "HBB:4:T:G"]
    assert data.splits.tolist() == ["train", "train", "validation", "validation"]
    assert data.metadata.dropped == {"ambiguous_label": 1}
    with pytest.raises(
        GenoslimError, match=r"rows of split train are .* left out: .* 2 window_leaves_contig"
    ):
        build_mpra_data(table, tmp_path / "l.fa", window=6)


VCF = """##fileformat=VCFv4.3
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO
chr1\t50\t.\tC\tA,<DEL>,G\t.\t.\tLABEL=1,.,0
chr7\t50\t.\tC\tA\t.\t.\tLABEL=0;GROUP=g
chr7\t51\t.\tA\tC\t.\t.\tLABEL=1
chr8\t50\t.\tCA\tC\t.\t.\tLABEL=1
chr8\t52\t.\tC\tG\t.\t.\tLABEL=0
chr9\t50\t.\tC\tA\t.\t.\tX=1
chr9\t50\t.\tC\t*\t.\t.\tLABEL=1
"""


def test_vcf_with_labels(tmp_path: Path, fasta: Path) -> None:
    path = tmp_path / "v.vcf"
    path.write_text(VCF)
    rule = SplitRule(validation_chromosomes=["chr7"], test_chromosomes=["chr8"])
    data = build_variant_data(path, fasta, window=10, rule=rule, assembly="toy", licence="CC0-1.0")
    assert data.keys.tolist() == [
        "chr1:50:C:A",
        "chr1:50:C:G",
        "chr7:50:C:A",
        "chr7:51:A:C",
        "chr8:50:CA:C",
        "chr8:52:C:G",
    ]
    assert data.labels.tolist() == [1, 0, 0, 1, 1, 0]
    assert data.groups.tolist() == ["", "", "g", "", "", ""]
    assert data.splits.tolist() == [*["train"] * 2, *["validation"] * 2, *["test"] * 2]
    assert data.metadata.dropped == {"allele_star": 1, "allele_symbolic": 1, "no_label": 1}
    with Genome(fasta) as genome:
        deleted = genome.fetch("chr8", 44, 50) + genome.fetch("chr8", 51, 55)
    assert data.sequences[4] == deleted


def test_a_table_names_its_splits(tmp_path: Path, fasta: Path) -> None:
    header = "contig\tposition\treference\talternate\tlabel\tsplit\tgroup\tsubgroup_side\textra"
    header += "\tannotation_phylop"
    lines = [
        f"{contig}\t50\tC\t{alternate}\t{label}\t{split}\t{group}\tleft\tx\t{number}"
        for contig, split, group in (("chr1", "train", "g"), ("7", "val", "h"))
        for label, alternate, number in ((0, "A", "1.5"), (1, "G", "NA"))
    ]
    data = build_variant_data(write(tmp_path / "t.tsv", lines, header), fasta, window=8)
    assert data.splits.tolist() == ["train", "train", "validation", "validation"]
    assert data.groups.tolist() == ["g", "g", "h", "h"]
    assert data.subgroups["side"].tolist() == ["left"] * 4
    np.testing.assert_array_equal(data.numbers("phylop"), [1.5, np.nan] * 2)
    lines[0] = lines[0].replace("1.5", "high")
    with pytest.raises(GenoslimError, match="line 2: annotation_phylop is 'high'; expected a num"):
        build_variant_data(write(tmp_path / "t.tsv", lines, header), fasta, window=8)
    assert data.metadata.options == {"edges": "pad", "split_by": "input"}


def test_variants_refusals(tmp_path: Path, fasta: Path) -> None:
    path = tmp_path / "v.vcf"
    path.write_text(VCF)
    some = tmp_path / "some.vcf"
    some.write_text(VCF.replace("LABEL=0;GROUP=g", "LABEL=0;SPLIT=test"))
    with pytest.raises(UsageError, match="line 3: no split named, while other rows name theirs"):
        build_variant_data(some, fasta, window=10)
    with pytest.raises(GenoslimError, match=r"no labelled variant .* 7 no_label"):
        build_variant_data(path, fasta, window=10, label_info="Y")
    bad = tmp_path / "w.vcf"
    bad.write_text(VCF.replace("X=1", "X=1,2"))
    with pytest.raises(GenoslimError, match="line 8: INFO X=1,2; expected 0 or 1"):
        build_variant_data(bad, fasta, window=10, label_info="X")
    with pytest.raises(UsageError, match="chromosomes or fractions, not both"):
        SplitRule(test_chromosomes=["chr1"], test_fraction=0.1)


def test_by_variant_windows_may_overlap_only_where_allowed(tmp_path: Path, fasta: Path) -> None:
    header = "contig,position,reference,alternate,label"
    lines = [f"chr1,{p},{CONTIG[p - 1]},{OTHER[CONTIG[p - 1]]},{p % 2}" for p in range(20, 80)]
    table = write(tmp_path / "t.csv", lines, header)
    rule = SplitRule(validation_fraction=0.2, test_fraction=0.2, seed=1)
    with pytest.raises(Leakage, match="overlap"):
        build_variant_data(table, fasta, window=10, rule=rule)
    data = build_variant_data(table, fasta, window=10, rule=rule, check_windows=False)
    assert set(data.split_counts) == {"train", "validation", "test"}
    assert not np.isin(data.split("test").keys, data.split("train").keys).any()


def test_nothing_left_is_an_error(tmp_path: Path, fasta: Path) -> None:
    table = write(
        tmp_path / "t.csv", ["z,1,A,C,1,train"], "contig,position,reference,alternate,label,split"
    )
    with pytest.raises(GenoslimError, match=r"none of 1 variants gave a window \(1 unknown_contig"):
        build_variant_data(table, fasta, window=10)


def test_mpra_refusals(tmp_path: Path, fasta: Path) -> None:
    header = "locus\toffset0\tRef\tAlt\tlabel\tsplit"
    empty = write(tmp_path / "t.tsv", [], header)
    with pytest.raises(GenoslimError, match="a header but no rows"):
        build_mpra_data(empty, fasta, window=10)
    one = write(tmp_path / "u.tsv", ["chr1\t49\tC\tA\t1\ttrain"], header)
    with pytest.raises(UsageError, match="negatives per positive -1: must be above 0"):
        build_mpra_data(one, fasta, window=10, negatives_per_positive=-1)
    with pytest.raises(UsageError, match="seed -1"):
        build_mpra_data(one, fasta, window=10, negatives_per_positive=1, seed=-1)


def test_chromosomes_are_chosen_where_no_split_is_named(
    tmp_path: Path, fasta: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "v.vcf"
    path.write_text(VCF)
    with caplog.at_level(logging.WARNING):
        data = build_variant_data(path, fasta, window=10)
    assert data.split_counts == {"train": 2, "validation": 2, "test": 2}
    assert "no split named: validation is chr" in caplog.text
    assert data.metadata.options["split_by"] == "chromosome"
    one = tmp_path / "one.vcf"
    one.write_text("".join(line for line in VCF.splitlines(True) if "chr8" not in line))
    with pytest.raises(UsageError, match="no split named, and 2 of 2 chromosomes have both labels"):
        build_variant_data(one, fasta, window=10)


@pytest.mark.parametrize(
    "header",
    [
        "chrom,pos,ref,alt,label,split",
        "#CHROM,POS,REF,ALT,LABEL,Split",
        "Contig,Position,Reference,Alternate,Label,SPLIT",
    ],
)
def test_other_names_of_columns(tmp_path: Path, fasta: Path, header: str) -> None:
    lines = ["chr1,50,C,A,1,train", "chr1,51,A,C,0,train", "chr7,50,C,A,1,test", "7,51,A,C,0,test"]
    data = build_variant_data(write(tmp_path / "t.csv", lines, header), fasta, window=10)
    assert data.split_counts == {"train": 2, "test": 2}
    assert data.keys[0] == "chr1:50:C:A"


def test_the_exact_name_of_a_column_comes_first(tmp_path: Path, fasta: Path) -> None:
    header = "chrom,contig,position,reference,alternate,label,split"
    lines = [f"x,chr1,{p},{CONTIG[p - 1]},T,{p % 2},train" for p in (50, 51)]
    data = build_variant_data(write(tmp_path / "t.csv", lines, header), fasta, window=10)
    assert data.variants.contig.tolist() == ["chr1", "chr1"]


def test_a_bcf_is_named_as_such(tmp_path: Path, fasta: Path) -> None:
    for name, content in (("a.bcf", b"BCF\x02\x02"), ("b.bcf", gzip.compress(b"BCF\x02\x02"))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(GenoslimError, match=f"{name}: a BCF; expected text: bcftools view"):
            build_variant_data(tmp_path / name, fasta, window=10)


def test_eqtl_subgroups(tmp_path: Path, fasta: Path) -> None:
    distances = [0, -29_999, 30_000, -99_999, 100_000, 5, 6]
    tissues = [
        "Brain - Cortex",
        "Brain_Amygdala",
        "Whole_Blood",
        "Cells - EBV-transformed lymphocytes",
        "Artery_Aorta",
        "Minor_Salivary_Gland",
        "Liver",
    ]
    rows = [
        ",".join([*line.split(",")[:5], tissue, str(distance), line.split(",")[7]])
        for line, tissue, distance in zip(ROWS, tissues, distances, strict=True)
    ]
    data = build_eqtl_data(write(tmp_path / "e.csv", rows), fasta, window=10)
    near, middle, far = "0-30 kb", "30-100 kb", "100 kb and more"
    assert data.subgroups["tss_distance"].tolist() == [near] * 2 + [middle] * 2 + [far] + [near] * 2
    assert data.subgroups["tissue_group"].tolist() == [
        *["Brain"] * 2,
        *["Blood"] * 2,
        "Blood Vessel",
        "Salivary Gland",
        "Liver",
    ]
