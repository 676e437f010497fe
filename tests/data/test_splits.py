from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genoslim.data.dataset import LabelledData, VariantColumns
from genoslim.data.metadata import DataMetadata
from genoslim.data.splits import Leakage, check_leakage, split_by_chromosome, split_by_variant
from genoslim.data.variant import Variant
from genoslim.errors import GateError, UsageError


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


def test_by_chromosome() -> None:
    contigs = np.array(["chr1", "chr2", "chr3", "chr1"])
    splits = split_by_chromosome(contigs, validation=["chr2"], test=["chr3"])
    assert splits.tolist() == ["train", "validation", "test", "train"]
    with pytest.raises(UsageError, match="chr2: named for both"):
        split_by_chromosome(contigs, validation=["chr2"], test=["chr2"])
    with pytest.raises(UsageError, match="no variant on chr7; the data has chr1, chr2, chr3"):
        split_by_chromosome(contigs, validation=["chr7"], test=[])


def test_by_variant_keeps_equal_keys_together_in_any_order() -> None:
    keys = np.array([f"chr1:{i % 500}:A:C" for i in range(2000)])
    splits = split_by_variant(keys, validation=0.1, test=0.2, seed=3)
    assert splits[:500].tolist() * 4 == splits.tolist()
    assert split_by_variant(keys[::-1], validation=0.1, test=0.2, seed=3)[::-1].tolist() == (
        splits.tolist()
    )
    shares = [np.mean(splits == name) for name in ("train", "validation", "test")]
    assert shares == pytest.approx([0.7, 0.1, 0.2], abs=0.05)
    assert (split_by_variant(keys, validation=0.1, test=0.2, seed=4) != splits).any()


@pytest.mark.parametrize(("validation", "test"), [(-0.1, 0.1), (0.5, 0.5), (1.0, 0.0)])
def test_by_variant_refuses_fractions(validation: float, test: float) -> None:
    with pytest.raises(UsageError, match="less than 1 together"):
        split_by_variant(np.array(["k"]), validation=validation, test=test)


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
