from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from genoslim.data.alleles import Allele, allele_kind
from genoslim.data.dataset import LabelledData, read_data
from genoslim.data.genome import Genome, ReferenceMismatch, alternate_window
from genoslim.data.leakage import check_leakage
from genoslim.data.shortcuts import fit_shortcuts
from genoslim.data.simulate import ANCHORS, KINDS, PARTNERS, simulate_data, simulated_sequences
from genoslim.data.variants import build_variant_data
from genoslim.data.vcf import read_vcf
from genoslim.errors import UsageError
from genoslim.stats.ranks import auroc


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("simulated")
    simulate_data(out, variants=4000, seed=1)
    return out


@pytest.fixture(scope="module")
def data(folder: Path) -> LabelledData:
    return read_data(folder / "dataset.parquet")


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
    first = simulate_data(tmp_path / "a", variants=60, seed=5)
    simulate_data(tmp_path / "b", variants=60, seed=5)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    assert simulate_data(tmp_path / "c", variants=60, seed=6).fingerprint != first.fingerprint
    assert first.fingerprint.startswith("5dc35fb26927b14d374a")


def test_vcf_and_table_give_the_same_windows(folder: Path, data: LabelledData) -> None:
    table = build_variant_data(folder / "labels.tsv", folder / "genome.fa", window=96)
    assert table.sequences == data.sequences
    assert table.labels.tolist() == data.labels.tolist()
    assert table.splits.tolist() == data.splits.tolist()
    assert table.subgroups["kind"].tolist() == data.subgroups["kind"].tolist()
    records = list(read_vcf(folder / "variants.vcf"))
    assert [v.key for r in records for _, v in r.variants()] == data.keys.tolist()
    assert [int(r.info_value("LABEL") or "") for r in records] == data.labels.tolist()
    places = [(r.contig, r.position) for r in records]
    assert places == sorted(places)


def floor(data: LabelledData, features: np.ndarray) -> float:
    """Return the AUROC of a logistic regression on the rows it was not fitted to."""
    train, others = data.splits == "train", data.splits != "train"
    model = LogisticRegression(max_iter=2000).fit(features[train], data.labels[train])
    return auroc(data.labels[others], model.decision_function(features[others]))


def test_the_label_is_not_in_the_base_nor_in_the_composition(data: LabelledData) -> None:
    base = np.array([[s[48] == base for base in "ACGT"] for s in data.sequences])
    counts = np.array([[s.count(base) for base in "ACGT"] for s in data.sequences])
    assert abs(floor(data, base) - 0.5) < 0.05
    assert abs(floor(data, counts) - 0.5) < 0.05


def test_shortcuts_tell_little_and_nothing_of_what_takes_the_context(data: LabelledData) -> None:
    others, kind = data.splits != "train", data.subgroups["kind"]
    central, kmers, placed = fit_shortcuts(data)
    assert auroc(data.labels[others], central.scores[others]) < 0.65
    assert auroc(data.labels[others], kmers.scores[others]) < 0.75
    for shortcut in (central, kmers):
        for context in ("reversed", "distant"):
            rows = others & np.isin(kind, ["broken", context])
            assert auroc(data.labels[rows], shortcut.scores[rows]) < 0.6
    rows = others & np.isin(kind, ["broken", "reversed"])
    assert auroc(data.labels[others], placed.scores[others]) < 0.87
    assert auroc(data.labels[rows], placed.scores[rows]) < 0.6


def test_kinds_mean_what_they_say(folder: Path, data: LabelledData) -> None:
    kinds = data.subgroups["kind"]
    assert set(kinds) == set(KINDS)
    flipped = np.mean((kinds == "broken") != (data.labels == 1))
    assert 0.02 < flipped < 0.06
    context = np.isin(kinds, ["reversed", "distant", "lone"])
    assert np.mean(context) > 0.25
    rows = [line.split("\t") for line in (folder / "labels.tsv").read_text().splitlines()[1:]]
    assert [row[6] for row in rows] == kinds.tolist()


LETTERS = {"R": "[AG]", "W": "[AT]", "Y": "[CT]", "K": "[GT]"}
PARTNER_CORE = re.compile(
    "|".join("".join(LETTERS.get(base, base) for base in p[2:10]) for p in PARTNERS.values())
)


def partner_place(window: str, anchor: str) -> str:
    """Tell where the partner of an anchor broken at index 48 is, from where its core begins."""
    match = PARTNER_CORE.search(window)
    if match is None:
        return "nowhere"
    if match.start() in range(59, 66):
        return "own side" if anchor in {"ANC1", "ANC2"} else "other side"
    if match.start() in range(24, 31):
        return "other side" if anchor in {"ANC1", "ANC2"} else "own side"
    return "far"


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        ("broken", "own side"),
        ("reversed", "other side"),
        ("distant", "far"),
        ("lone", "nowhere"),
    ],
)
def test_the_partner_is_where_the_kind_says(data: LabelledData, kind: str, place: str) -> None:
    rows = np.flatnonzero(data.subgroups["kind"] == kind)
    anchors = data.subgroups["anchor"]
    places = [partner_place(data.sequences[row], str(anchors[row])) for row in rows]
    assert places.count(place) > 0.97 * len(places)  # a core may stand there by chance


def test_awkward_records(folder: Path) -> None:
    records = list(read_vcf(folder / "awkward.vcf"))
    notes = {r.info_value("NOTE"): r for r in records}
    kinds = {allele_kind(r.reference, a) for r in records for a in r.alternates}
    assert kinds == set(Allele) - {Allele.INVALID}
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
    # What the shipped models were pretrained on has to stay as it was.
    digest = hashlib.sha256("".join(sequences).encode()).hexdigest()
    assert digest.startswith("9c0e68b4a9fc75ff2357")
    assert simulated_sequences(0, 96, 0) == []


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least 40 variants"):
        simulate_data(tmp_path, variants=10)
    with pytest.raises(UsageError, match="window 12"):
        simulate_data(tmp_path, window=12)
    with pytest.raises(UsageError, match="seed -1"):
        simulate_data(tmp_path, seed=-1)
    with pytest.raises(UsageError, match="-1 sequences"):
        simulated_sequences(-1, 96, 0)
