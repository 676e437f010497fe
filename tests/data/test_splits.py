from __future__ import annotations

import numpy as np
import pytest

from genoslim.data.splits import choose_chromosomes, split_by_chromosome, split_by_variant
from genoslim.errors import UsageError


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


def test_chromosomes_are_chosen_by_size_and_name_alone() -> None:
    contigs = np.array([f"chr{1 + i % 20}" for i in range(1000)])
    labels = np.arange(1000, dtype=np.int8) // 20 % 2
    validation, test = choose_chromosomes(contigs, labels)
    assert len(validation) == 2
    assert len(test) == 4
    assert not set(validation) & set(test)
    assert choose_chromosomes(contigs[::-1], labels[::-1]) == (validation, test)


@pytest.mark.parametrize("sizes", [(5, 5, 90), (40, 30, 30), (1, 1, 1)])
def test_each_split_gets_a_chromosome_of_both_labels(sizes: tuple[int, ...]) -> None:
    contigs = np.repeat([*"abc", "one class"], [2 * size for size in (*sizes, 200)])
    labels = np.arange(len(contigs), dtype=np.int8) % 2
    labels[contigs == "one class"] = 0
    validation, test = choose_chromosomes(contigs, labels)
    left = {"a", "b", "c"} - set(validation) - set(test)
    assert len(validation) == len(test) == len(left) == 1


def test_two_chromosomes_cannot_be_three_splits() -> None:
    contigs, labels = np.array(["a", "a", "b", "b", "c"]), np.array([0, 1, 0, 1, 1], dtype=np.int8)
    with pytest.raises(UsageError, match="2 of 3 chromosomes have both labels, which takes three"):
        choose_chromosomes(contigs, labels)
