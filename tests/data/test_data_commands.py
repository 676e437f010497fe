from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from genoslim.cli import main
from genoslim.data.dataset import read_data


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["data", *map(str, arguments)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("simulated")
    result = run("simulate", "-o", out, "--variants", 100, "--seed", 3)
    assert result.exit_code == 0, result.stderr
    assert "100 windows of 96 bases, assembly simulated" in result.stdout
    return out


def test_variants_from_the_simulated_vcf(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "v.parquet"
    source = ("-i", folder / "variants.vcf", "-f", folder / "genome.fa", "-o", out)
    chromosomes = ("--validation-chromosomes", "chr5", "--test-chromosomes", "chr6")
    result = run("variants", *source, "--window", 96, *chromosomes, "--assembly", "simulated")
    assert result.exit_code == 0, result.stderr
    made, given = read_data(out), read_data(folder / "dataset.parquet")
    assert made.sequences == given.sequences
    assert made.splits.tolist() == given.splits.tolist()
    assert made.fingerprint in result.stdout


def test_cut_windows_are_what_the_genome_gives(folder: Path, tmp_path: Path) -> None:
    out, cut = tmp_path / "v.parquet", tmp_path / "cut.parquet"
    source = ("-i", folder / "variants.vcf", "-f", folder / "genome.fa", "-o", out)
    chromosomes = ("--validation-chromosomes", "chr5", "--test-chromosomes", "chr6")
    assert run("variants", *source, "--window", 24, *chromosomes).exit_code == 0
    result = run("cut", "-i", folder / "dataset.parquet", "-o", cut, "--window", 24)
    assert result.exit_code == 0, result.stderr
    assert "100 windows of 24 bases" in result.stdout
    assert read_data(cut).sequences == read_data(out).sequences
    assert read_data(cut).keys.tolist() == read_data(out).keys.tolist()
    longer = run("cut", "-i", cut, "-o", tmp_path / "no.parquet", "--window", 25)
    assert longer.exit_code == 2
    assert "window of 25 bases: expected 1 to 24" in longer.stderr


def test_variants_as_the_readme_has_it(folder: Path, tmp_path: Path) -> None:
    """A plain labelled VCF, windows of 512, no split named anywhere."""
    out = tmp_path / "v.parquet"
    source = ("-i", folder / "variants.vcf", "-f", folder / "genome.fa", "-o", out)
    result = run("variants", *source, "--window", 512)
    assert result.exit_code == 0, result.stderr
    assert "no split named: validation is chr" in result.stderr
    assert set(read_data(out).split_counts) == {"train", "validation", "test"}


def test_exit_codes(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "v.parquet"
    source = ("-i", folder / "variants.vcf", "-f", folder / "genome.fa", "-o", out)
    csv = run("variants", *source[:-1], tmp_path / "v.csv")
    assert csv.exit_code == 2
    assert "v.csv: labelled windows are a Parquet file; name it *.parquet" in csv.stderr
    assert not (tmp_path / "v.csv").exists()
    splits = ("--test-fraction", 0.2, "--test-chromosomes", "chr6")
    assert run("variants", *source, *splits).exit_code == 2
    leaking = run("variants", *source, "--window", 400, "--test-fraction", 0.3)
    assert leaking.exit_code == 3
    assert leaking.stderr.startswith("genoslim: ")
    assert "overlap" in leaking.stderr
    allowed = run("variants", *source, "--window", 400, "--test-fraction", 0.3, "--allow-overlap")
    assert allowed.exit_code == 0, allowed.stderr
    wrong = run("eqtl", "-i", folder / "labels.tsv", "-f", folder / "genome.fa", "-o", out)
    assert wrong.exit_code == 1
    assert "no column 'CHROM'" in wrong.stderr
    assert "Traceback" not in wrong.stderr


def test_eqtl(folder: Path, tmp_path: Path) -> None:
    rows = [line.split("\t") for line in (folder / "labels.tsv").read_text().splitlines()[1:]]
    table = tmp_path / "e.csv"
    header = "CHROM,POS,REF,ALT,label,tissue,distance_to_nearest_TSS,split\n"
    body = "".join(
        f"{','.join(r[:5])},Liver,{i},{'test' if r[0] == 'chr6' else 'train'}\n"
        for i, r in enumerate(rows)
    )
    table.write_text(header + body)
    source = ("-i", table, "-f", folder / "genome.fa", "-o", tmp_path / "e.parquet")
    missing = run("eqtl", *source, "--window", 96)
    assert missing.exit_code == 2
    assert "no variant on chr7, chr8" in missing.stderr
    result = run("eqtl", *source, "--window", 96, "--validation-chromosomes", "chr5")
    assert result.exit_code == 0, result.stderr
    data = read_data(tmp_path / "e.parquet")
    assert data.split_counts == read_data(folder / "dataset.parquet").split_counts
    none = run("eqtl", *source, "--window", 96, "--validation-chromosomes", "none")
    assert none.exit_code == 0, none.stderr
    assert "validation: NONE" in none.stdout


def test_mpra(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "mpra"
    source = ("-i", folder / "labelled_snv.tsv.gz", "-f", folder / "loci.GRCh38.fa")
    result = run("mpra", *source, "-o", tmp_path / "m.parquet", "--negatives-per-positive", 1)
    assert result.exit_code == 0, result.stderr
    assert "train: 1331 functional, 1331 not_functional" in result.stdout
    assert "dropped: 11045 negative_not_sampled" in result.stdout
    assert "dropped: 4799 window_leaves_contig" in result.stdout
    everything = ("--edges", "pad", "--negatives-per-positive", 1)
    padded = run("mpra", *source, "-o", tmp_path / "p.parquet", *everything)
    assert padded.exit_code == 0, padded.stderr
    assert "train: 1497 functional, 1497 not_functional" in padded.stdout
    assert "number of N in a window alone has AUROC 0.687 on test" in padded.stderr
