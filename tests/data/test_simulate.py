from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from genoslim.data.dataset import LabelledData
from genoslim.data.genome import Genome, ReferenceMismatch, alternate_window
from genoslim.data.simulate import ANCHORS, PARTNERS, simulate, simulated_sequences
from genoslim.data.splits import check_leakage
from genoslim.data.variants import build_variants
from genoslim.data.vcf import AlleleKind, allele_kind, read_vcf
from genoslim.errors import UsageError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("simulated")
    simulate(out, variants=4000, seed=1)
    return out


@pytest.fixture(scope="module")
def data(folder: Path) -> LabelledData:
    return LabelledData.read(folder / "dataset.parquet")


def test_files_and_splits(folder: Path, data: LabelledData) -> None:
    assert {path.name for path in folder.iterdir()} == {
        "genome.fa",
        "genome.fa.fai",
        "variants.vcf",
        "awkward.vcf",
        "labels.tsv",
        "dataset.parquet",
    }
    assert data.split_counts == {"train": 2600, "validation": 600, "test": 800}
    check_leakage(data)
    assert not any("N" in sequence for sequence in data.sequences)
    assert 0.45 < data.labels.mean() < 0.55


def test_same_seed_same_bytes_other_seed_other_data(tmp_path: Path) -> None:
    first = simulate(tmp_path / "a", variants=60, seed=5)
    simulate(tmp_path / "b", variants=60, seed=5)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    assert simulate(tmp_path / "c", variants=60, seed=6).fingerprint != first.fingerprint
    assert first.fingerprint.startswith("f1c3fa78bad042718d8b")


def test_vcf_and_table_give_the_same_windows(folder: Path, data: LabelledData) -> None:
    table = build_variants(folder / "labels.tsv", folder / "genome.fa", window=96)
    assert table.sequences == data.sequences
    assert table.labels.tolist() == data.labels.tolist()
    assert table.splits.tolist() == data.splits.tolist()
    records = list(read_vcf(folder / "variants.vcf"))
    assert [v.key for r in records for _, v in r.variants()] == data.keys.tolist()
    assert [int(r.info_value("LABEL") or "") for r in records] == data.labels.tolist()
    places = [(r.contig, r.position) for r in records]
    assert places == sorted(places)


def baseline(data: LabelledData, text: list[list[str]]) -> float:
    features = CountVectorizer(analyzer=lambda tokens: tokens, binary=True).fit_transform(text)
    train, test = data.splits == "train", data.splits != "train"
    model = LogisticRegression(max_iter=2000).fit(features[train], data.labels[train])
    return float(roc_auc_score(data.labels[test], model.decision_function(features[test])))


def test_the_label_is_in_the_motif_and_in_nothing_simpler(data: LabelledData) -> None:
    sequences = data.sequences
    kmers = [[f"{i}{s[i : i + 6]}" for i in range(36, 55)] for s in sequences]
    assert 0.85 < baseline(data, kmers) < 0.95
    assert (
        0.85 < baseline(data, [[s[i : i + 6] for i in range(0, 96, 6)] for s in sequences]) < 0.95
    )
    assert abs(baseline(data, [[s[48]] for s in sequences]) - 0.5) < 0.05
    counts = np.array([[s.count(base) for base in "ACGT"] for s in sequences])
    train, test = data.splits == "train", data.splits != "train"
    model = LogisticRegression().fit(counts[train], data.labels[train])
    composition = roc_auc_score(data.labels[test], model.decision_function(counts[test]))
    assert abs(composition - 0.5) < 0.05


def test_kinds_mean_what_they_say(folder: Path) -> None:
    rows = [line.split("\t") for line in (folder / "labels.tsv").read_text().splitlines()[1:]]
    kinds = Counter(row[7] for row in rows)
    assert set(kinds) == {"broken", "lone", "beside", "swapped"}
    flipped = sum((row[7] == "broken") != (row[4] == "1") for row in rows)
    assert 0.02 < flipped / len(rows) < 0.06


def test_awkward_records(folder: Path) -> None:
    records = list(read_vcf(folder / "awkward.vcf"))
    notes = {r.info_value("NOTE"): r for r in records}
    kinds = {allele_kind(r.reference, a) for r in records for a in r.alternates}
    assert kinds == set(AlleleKind) - {AlleleKind.INVALID}
    assert len(notes["multi_allelic"].alternates) == 3
    with Genome(folder / "genome.fa") as genome:
        for note, record in notes.items():
            if note == "unknown_contig":
                assert genome.resolve(record.contig) is None
                continue
            for _, variant in record.variants():
                if note in {"reference_mismatch", "beyond_the_contig"}:
                    with pytest.raises(ReferenceMismatch):
                        alternate_window(genome, variant, 96)
                else:
                    window = alternate_window(genome, variant, 96)
                    assert window.padded == (note in {"first_base", "last_base"})


def test_sequences_for_pretraining() -> None:
    sequences = simulated_sequences(300, 96, 2)
    assert simulated_sequences(300, 96, 2) == sequences
    assert simulated_sequences(300, 96, 3) != sequences
    assert {len(s) for s in sequences} == {96}
    cores = [p[2:5] for p in (ANCHORS | PARTNERS).values()]
    assert sum(any(core in s for core in cores) for s in sequences) > 270
    assert len(simulated_sequences(2, 1000, 0)[1]) == 1000
    assert simulated_sequences(0, 96, 0) == []


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least 40 variants"):
        simulate(tmp_path, variants=10)
    with pytest.raises(UsageError, match="window 12"):
        simulate(tmp_path, window=12)
    with pytest.raises(UsageError, match="seed -1"):
        simulate(tmp_path, seed=-1)
    with pytest.raises(UsageError, match="-1 sequences"):
        simulated_sequences(-1, 96, 0)
