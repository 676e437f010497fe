"""How rows are parted for a report: the set's own columns, its groups, thirds of GC content."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from genoslim.data.dataset import LabelledData, VariantColumns
from genoslim.data.metadata import DataMetadata
from genoslim.data.simulate import simulate_data
from genoslim.data.subgroups import gc_content, subgroup_columns


def test_simulated_rows_are_parted_by_kind_anchor_and_gc(tmp_path: Path) -> None:
    data = simulate_data(tmp_path, variants=300, seed=3)
    columns = subgroup_columns(data)
    assert set(columns) == {"kind", "anchor", "gc"}
    train = Counter(columns["gc"][data.splits == "train"].tolist())
    assert len(train) == 3
    assert min(train.values()) > 40  # of 195
    for name in train:
        low, high = map(float, name.removesuffix(" %").split(" to "))
        inside = [data.sequences[row] for row in np.flatnonzero(columns["gc"] == name)]
        assert all(low - 0.05 <= 100 * gc_content(one) <= high + 0.05 for one in inside)


@pytest.mark.parametrize(
    ("sequence", "share"), [("GGCC", 1.0), ("ATGC", 0.5), ("NNGA", 0.5), ("NNNN", 0.0)]
)
def test_gc_content_is_of_known_bases(sequence: str, share: float) -> None:
    assert gc_content(sequence) == share


def _data(groups: list[str], subgroups: dict[str, np.ndarray]) -> LabelledData:
    size = len(groups)
    split = ["train", "validation", "test"]
    return LabelledData(
        sequences=["ACGT", "GGGG", "AAAA", "ACGG", "AATC", "GGCA"][:size],
        labels=np.array([0, 1] * (size // 2), dtype=np.int8),
        splits=np.array((split * size)[:size]),
        variants=VariantColumns(
            np.full(size, "1"),
            np.arange(1, size + 1),
            np.full(size, "A"),
            np.full(size, "C"),
        ),
        groups=np.array(groups),
        metadata=DataMetadata(window_length=4, assembly="none", source="test", licence="CC0-1.0"),
        subgroups=subgroups,
    )


def test_groups_are_a_way_to_part_rows_unless_they_are_one_already() -> None:
    names = ["a", "b", "a", "b", "", "a"]
    assert subgroup_columns(_data(names, {}))["group"].tolist() == names
    assert set(subgroup_columns(_data([""] * 6, {}))) == {"gc"}
    assert set(subgroup_columns(_data(names, {"tissue": np.array(names)}))) == {"tissue", "gc"}


def test_the_thirds_are_those_of_the_training_rows() -> None:
    """Shares 0.5 and 0.75 are trained on: the windows of G alone and A alone lie outside."""
    column = subgroup_columns(_data([""] * 6, {}))["gc"].tolist()
    assert column[:3] == ["0.0 to 58.3 %", "66.7 to 100.0 %", "0.0 to 58.3 %"]
    assert column[3] == "66.7 to 100.0 %"
