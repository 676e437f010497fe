from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genoslim.data.dataset import LabelledData, VariantColumns
from genoslim.data.leakage import Leakage, check_leakage, checked, unknown_bases_auroc
from genoslim.data.metadata import DataMetadata
from genoslim.data.mpra import build_mpra_data
from genoslim.data.variant import Variant
from genoslim.errors import GateError, GenoslimError


def dataset(variants: list[Variant], splits: list[str], length: int = 10) -> LabelledData:
    n = len(variants)
    return LabelledData(
        sequences=["A" * length] * n,
        labels=np.zeros(n, dtype=np.int8),
        splits=np.array(splits),
        variants=VariantColumns.of(variants),
        groups=np.array([""] * n),
        metadata=DataMetadata(window_length=length, assembly="a", source="s", licence="l"),
    )


def test_a_shared_variant_leaks() -> None:
    variants = [Variant("chr1", p, "A", "C") for p in (100, 200, 100)]
    with pytest.raises(Leakage, match="1 variants are in both train and test, such as chr1:100"):
        check_leakage(dataset(variants, ["train", "train", "test"]), windows=False)
    assert issubclass(Leakage, GateError)
    check_leakage(dataset(variants, ["train", "test", "train"]))


@pytest.mark.parametrize(("distance", "leaks"), [(9, True), (10, False)])
def test_windows_overlap_up_to_their_length(distance: int, leaks: bool) -> None:
    variants = [Variant("chr1", 100, "A", "C"), Variant("chr1", 100 + distance, "A", "C")]
    data = dataset(variants, ["train", "validation"])
    check_leakage(data, windows=False)
    if leaks:
        with pytest.raises(Leakage, match="1 windows of train overlap windows of validation"):
            check_leakage(data)
    else:
        check_leakage(data)


def test_a_deletion_reaches_further() -> None:
    variants = [Variant("chr1", 100, "A" * 6, "A"), Variant("chr1", 112, "A", "C")]
    with pytest.raises(Leakage, match="chr1:100:AAAAAA:A and chr1:112:A:C"):
        check_leakage(dataset(variants, ["train", "test"]))


placed = st.tuples(
    st.sampled_from(["chr1", "chr2"]),
    st.integers(1, 80),
    st.sampled_from(["A", "AAAA"]),
    st.sampled_from(["C", "CGGG"]),
    st.sampled_from(["train", "validation", "test"]),
)


def covered(variant: Variant, length: int) -> set[tuple[str, int]]:
    """Return the places of the genome that a window is cut from, base by base."""
    after = max(0, length - length // 2 - len(variant.alternate))
    return {(variant.contig, i) for i in range(variant.start - length // 2, variant.end + after)}


@given(rows=st.lists(placed, min_size=1, max_size=6), length=st.integers(1, 15))
@settings(max_examples=300, deadline=None)
def test_overlap_equals_the_check_base_by_base(
    rows: list[tuple[str, int, str, str, str]], length: int
) -> None:
    variants = [Variant(*row[:4]) for row in rows]
    splits = [row[4] for row in rows]
    leaks = any(
        splits[i] != splits[j] and covered(variants[i], length) & covered(variants[j], length)
        for i in range(len(rows))
        for j in range(i)
    )
    data = dataset(variants, splits, length)
    if leaks:
        with pytest.raises(Leakage):
            check_leakage(data)
    else:
        check_leakage(data)


COMPLEMENT = str.maketrans("ACGT", "TGCA")


def far_apart(sequences: list[str], splits: list[str]) -> LabelledData:
    """Windows that lie nowhere near each other, labels in turns."""
    n = len(sequences)
    variants = [Variant("chr1", 1 + 10_000 * row, "A", "C") for row in range(n)]
    data = dataset(variants, splits, len(sequences[0]))
    return replace(data, sequences=sequences, labels=np.arange(n, dtype=np.int8) % 2)


def random_bases(rows: int, length: int, seed: int = 0) -> list[str]:
    letters = np.random.default_rng(seed).choice(list("ACGT"), (rows, length))
    return ["".join(row) for row in letters.tolist()]


@pytest.mark.parametrize("length", [40, 41])
@pytest.mark.parametrize("strand", ["this", "other"])
def test_a_sequence_in_two_splits_leaks(length: int, strand: str) -> None:
    """A longer stretch and its reverse complement, each cut so that the variant is at L // 2."""
    stretch = random_bases(1, 81)[0]
    again = stretch[:40] + "N" + stretch[41:]  # whatever the variant's own base is
    again = again if strand == "this" else again.translate(COMPLEMENT)[::-1]
    windows = [s[40 - length // 2 : 40 + length - length // 2] for s in (stretch, again)]
    others = random_bases(2, length, seed=1)
    data = far_apart([windows[0], *others, windows[1]], ["train", "train", "test", "test"])
    check_leakage(data, windows=False)
    with pytest.raises(Leakage, match="1 windows of train are of the sequence of windows of test"):
        check_leakage(data)
    check_leakage(data.subset(np.array([0, 1, 2])))


def test_short_windows_are_not_compared() -> None:
    check_leakage(far_apart(["ACGT" * 5] * 2, ["train", "test"]))


def test_repeats_are_left_out_of_the_earlier_split(caplog: pytest.LogCaptureFixture) -> None:
    train, held_out = random_bases(6, 40), random_bases(4, 40, seed=1)
    train[1], train[4], held_out[0] = held_out[1], held_out[2], held_out[3]
    splits = ["train"] * 6 + ["validation"] * 3 + ["test"]
    sequences = [*train, *held_out, *random_bases(2, 40, seed=2)]
    data = far_apart(sequences, [*splits, "test", "test"])
    with caplog.at_level(logging.WARNING):
        found = checked(data)
    assert found.sequences[:4] == [train[0], train[2], train[3], train[5]]
    assert found.split_counts == {"train": 4, "validation": 2, "test": 3}
    assert found.metadata.dropped == {"window_in_later_split": 3}
    assert "left out: 3 windows whose sequence stands in a later split" in caplog.text
    with pytest.raises(Leakage, match=r"2 windows of train are of the sequence of .* validation"):
        check_leakage(data)
    check_leakage(found)


@pytest.mark.parametrize("label", [0, 1])
def test_a_split_of_one_class_is_refused(label: int) -> None:
    data = far_apart(random_bases(6, 40), ["train"] * 4 + ["test"] * 2)
    labels = data.labels.copy()
    labels[4:] = label
    word = data.metadata.label_names[label]
    with pytest.raises(
        GenoslimError, match=rf"s: all 2 rows of split test are labelled {label} \({word}\)"
    ):
        checked(replace(data, labels=labels))
    assert len(checked(data)) == 6


def padded(telling: float, groups: int = 1) -> LabelledData:
    """Windows of which positives are padded with the chance `telling`, negatives 0.2."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 2000).astype(np.int8)
    pads = np.where(generator.random(2000) < np.where(labels == 1, telling, 0.2), 9, 0)
    windows = ["N" * p + w[p:] for p, w in zip(pads.tolist(), random_bases(2000, 40), strict=True)]
    data = far_apart(windows, ["train", "validation"] * 1000)
    names = np.array([f"g{row // 2 % groups}" for row in range(2000)])
    return replace(data, labels=labels, groups=names)


@pytest.mark.parametrize("groups", [1, 4])
def test_padding_that_tells_the_classes_apart_is_found(
    groups: int, caplog: pytest.LogCaptureFixture
) -> None:
    found = unknown_bases_auroc(padded(0.6, groups))
    assert found == {
        "train": pytest.approx(0.7, abs=0.05),
        "validation": pytest.approx(0.7, abs=0.05),
    }
    assert unknown_bases_auroc(padded(0.2, groups)) == {}
    with caplog.at_level(logging.WARNING):
        checked(padded(0.02, groups))
    assert "the number of N in a window alone has AUROC 0." in caplog.text
    assert "(fewer N: positive)" in caplog.text


def test_a_handful_of_rows_tells_nothing() -> None:
    data = far_apart(["N" * 40, *random_bases(3, 40)], ["train"] * 4)
    assert unknown_bases_auroc(data) == {}


def test_padding_in_the_mpra_set(real_data: Path) -> None:
    folder = real_data / "mpra"
    table, fasta = folder / "labelled_snv.tsv.gz", folder / "loci.GRCh38.fa"
    found = unknown_bases_auroc(build_mpra_data(table, fasta, window=96, edges="pad"))
    assert found["validation"] == pytest.approx(1 - 0.594, abs=0.001)
    assert found["test"] == pytest.approx(1 - 0.687, abs=0.001)
    assert unknown_bases_auroc(build_mpra_data(table, fasta, window=96)) == {}
