from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genoslim.data.dataset import LabelledData, VariantColumns, read_data
from genoslim.data.metadata import DataMetadata
from genoslim.data.variant import Variant
from genoslim.errors import GenoslimError, UsageError
from genoslim.files import FullDiskError

LENGTH = 12


def make(n: int = 12, **changes: Any) -> LabelledData:
    values: dict[str, Any] = {
        "sequences": ["ACGTNACGTACG"] * n,
        "labels": np.arange(n, dtype=np.int8) % 2,
        "splits": np.array(["train", "validation", "test"] * n)[:n],
        "variants": VariantColumns.of([Variant("chr1", 1 + 50 * i, "A", "C") for i in range(n)]),
        "groups": np.array(["g"] * n),
        "metadata": DataMetadata(
            window_length=LENGTH,
            assembly="hg38",
            source="s",
            licence="CC0-1.0",
            dropped={"unknown_contig": 3},
            options={"edges": "pad", "chromosomes": ["chr7"]},
        ),
    }
    return LabelledData(**(values | changes))


def test_round_trip_keeps_everything(tmp_path: Path) -> None:
    data = make(tissues=np.array(["Liver", ""] * 6), distances_to_tss=np.arange(12) * -7)
    data.write(tmp_path / "d.parquet")
    back = read_data(tmp_path / "d.parquet")
    assert back.fingerprint == data.fingerprint
    assert back.metadata == data.metadata
    assert back.sequences == data.sequences
    assert back.labels.dtype == np.int8
    assert back.keys.tolist() == data.keys.tolist()
    assert back.tissues is not None
    assert back.tissues.tolist() == ["Liver", ""] * 6
    assert back.distances_to_tss is not None
    assert back.distances_to_tss.tolist() == [-7 * i for i in range(12)]
    assert list(back.variants)[2] == Variant("chr1", 101, "A", "C")


def test_annotations_are_columns_of_numbers_and_may_be_missing(tmp_path: Path) -> None:
    scores = np.array([0.5, np.nan, -3.25] * 4)
    data = make(annotations={"phylop": scores}, distances_to_tss=np.arange(12))
    data.write(tmp_path / "d.parquet")
    back = read_data(tmp_path / "d.parquet")
    assert back.fingerprint == data.fingerprint
    for name in ("phylop", "annotation_phylop"):
        np.testing.assert_array_equal(back.numbers(name), scores)
    np.testing.assert_array_equal(back.numbers("distance_to_tss"), np.arange(12.0))
    part = back.split("validation")
    np.testing.assert_array_equal(part.numbers("phylop"), scores[1::3])
    with pytest.raises(UsageError, match=r"'cadd' .*\(found: phylop, distance_to_tss\)"):
        back.numbers("cadd")
    with pytest.raises(UsageError, match="there is none"):
        make().numbers("phylop")


def test_subgroups_are_columns_of_the_file_and_follow_the_rows(tmp_path: Path) -> None:
    kinds, sides = np.array(["lone", "broken"] * 6), np.array(["left", ""] * 6)
    data = make(subgroups={"kind": kinds, "side": sides})
    data.write(tmp_path / "d.parquet")
    assert pq.read_table(tmp_path / "d.parquet").column_names[-2:] == [
        "subgroup_kind",
        "subgroup_side",
    ]
    back = read_data(tmp_path / "d.parquet").subset(np.array([1, 2]))
    assert {way: column.tolist() for way, column in back.subgroups.items()} == {
        "kind": ["broken", "lone"],
        "side": ["", "left"],
    }
    assert data.fingerprint != make().fingerprint
    with pytest.raises(GenoslimError, match="column subgroup_kind: 2 rows beside 12"):
        make(subgroups={"kind": kinds[:2]})


def test_other_names_than_parquet_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"d.csv: labelled windows are a Parquet file; name it"):
        make().write(tmp_path / "d.csv")


def test_repr_is_one_short_line() -> None:
    data = make(999)
    assert repr(data) == (
        "LabelledData(333 train, 333 validation, 333 test windows of 12 bases, assembly hg38)"
    )
    assert repr(data.variants) == "VariantColumns(999 variants)"


def test_same_data_same_bytes(tmp_path: Path) -> None:
    make().write(tmp_path / "a.parquet")
    make().write(tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_fingerprint_is_of_content_not_of_the_file(tmp_path: Path) -> None:
    data = make()
    data.write(tmp_path / "a.parquet")
    table = pq.read_table(tmp_path / "a.parquet")
    pq.write_table(table, tmp_path / "b.parquet", compression="none", version="1.0")
    assert read_data(tmp_path / "b.parquet").fingerprint == data.fingerprint
    assert data.fingerprint.startswith("002da35c9be8559c32e4")


@pytest.mark.parametrize(
    "other",
    [
        lambda d: make(labels=1 - d.labels),
        lambda d: make(groups=np.array(["h"] * 12)),
        lambda d: make(tissues=np.array(["Liver"] * 12)),
        lambda d: make(metadata=replace(d.metadata, assembly="hg19")),
        lambda d: d.subset(np.arange(11)),
        lambda d: d.subset(np.arange(12)[::-1]),
    ],
)
def test_fingerprint_tells_data_apart(other: Callable[[LabelledData], LabelledData]) -> None:
    data = make()
    assert other(data).fingerprint != data.fingerprint


def test_subset_and_split() -> None:
    data = make()
    assert data.split_counts == {"train": 4, "validation": 4, "test": 4}
    part = data.split("validation")
    assert set(part.splits.tolist()) == {"validation"}
    assert part.keys.tolist() == data.keys[1::3].tolist()
    assert data.subset(np.array([3, 1])).keys.tolist() == [data.keys[3], data.keys[1]]
    with pytest.raises(GenoslimError, match="no row in split 'test'; the data set has"):
        part.split("test")


def test_shorter_windows_are_cut_around_the_variant() -> None:
    data = make(sequences=[f"ACGTNA{base}TACGT" for base in "ACGTACGTACGT"])
    for window in (12, 7, 2, 1):
        cut = data.cut(window)
        assert {len(sequence) for sequence in cut.sequences} == {window}
        found = [sequence[window // 2] for sequence in cut.sequences]
        assert found == [sequence[LENGTH // 2] for sequence in data.sequences]
        assert (cut.keys == data.keys).all()
        assert (cut.labels == data.labels).all()
    assert data.cut(LENGTH) is data
    assert data.cut(7).sequences[0] == "TNAATAC"
    assert data.cut(7).metadata.window_length == 7
    assert data.cut(7).metadata.options["cut_from"] == data.fingerprint
    assert data.cut(7).fingerprint == data.cut(7).fingerprint != data.fingerprint
    for wrong in (0, 13):
        with pytest.raises(UsageError, match=f"window of {wrong} bases: expected 1 to 12"):
            data.cut(wrong)


def test_summary_counts() -> None:
    lines = make().summary().splitlines()
    assert lines[0] == "12 windows of 12 bases, assembly hg38"
    assert lines[1] == "  train: 2 positive, 2 negative, 4 variants"
    assert "  dropped: 3 unknown_contig" in lines


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"sequences": ["ACGT"] * 12}, "row 0: a sequence of 4 bases; expected 12"),
        ({"sequences": ["ACGTNACGTACG"] * 11 + ["acgtnacgtacg"]}, "row 11: the sequence holds 'a'"),
        ({"labels": np.full(12, 2, np.int8)}, "row 0: label 2; expected 0 or 1"),
        ({"splits": np.array(["val"] * 12)}, "row 0: split 'val'; expected train or"),
        ({"groups": np.array(["g"])}, "column group: 1 rows beside 12"),
    ],
)
def test_rows_that_do_not_fit(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(GenoslimError, match=named):
        make(**changes)


def test_metadata_checks() -> None:
    with pytest.raises(GenoslimError, match="window length 0"):
        DataMetadata(window_length=0, assembly="a", source="s", licence="l")


def rewrite(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(change(pq.read_table(path)), path)


def with_column(name: str, values: list[Any], kind: pa.DataType) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        return table.set_column(table.column_names.index(name), name, pa.array(values, kind))

    return change


def with_header(**changes: Any) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        header = json.loads(table.schema.metadata[b"genoslim"])
        for name, value in changes.items():
            header[name] = header[name] | value if isinstance(value, dict) else value
        return table.replace_schema_metadata({b"genoslim": json.dumps(header).encode()})

    return change


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda t: t.drop_columns(["split"]), "no column 'split'; found contig"),
        (lambda t: t.append_column("x", t["label"]), "unknown column 'x'"),
        (lambda t: t.replace_schema_metadata(None), "without genoslim's metadata"),
        (lambda t: t.replace_schema_metadata({b"genoslim": b"[]"}), "without genoslim's metadata"),
        (with_header(format_version=99), "format version 99; this genoslim reads version 1"),
        (with_header(metadata={"colour": 1}), "its header: unknown field metadata.colour"),
        (
            with_header(metadata={"window_length": "4"}),
            "header: metadata.window_length is '4'",
        ),
        (with_header(metadata={"label_names": ["a"]}), "its header: metadata.label_names is"),
        (with_column("label", [0] * 12, pa.int64()), "column 'label' is of type int64; expected"),
        (with_column("label", [7] * 12, pa.int8()), "row 0: label 7"),
        (with_column("label", [1] * 12, pa.int8()), "fingerprint .* it was changed after"),
        (with_column("split", ["dev"] * 12, pa.string()), "row 0: split 'dev'"),
        (with_column("sequence", ["AC"] * 12, pa.string()), "row 0: a sequence of 2 bases"),
        (with_column("group", [None] * 12, pa.string()), "column 'group' has missing values"),
    ],
)
def test_reading_refuses(
    tmp_path: Path, change: Callable[[pa.Table], pa.Table], named: str
) -> None:
    path = tmp_path / "d.parquet"
    make().write(path)
    rewrite(path, change)
    with pytest.raises(GenoslimError, match=named) as caught:
        read_data(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("content", [b"", b"contig,position\n", b"PAR1", "half"])
def test_reading_refuses_what_is_not_whole(tmp_path: Path, content: bytes | str) -> None:
    path = tmp_path / "d.parquet"
    make().write(path)
    whole = path.read_bytes()
    path.write_bytes(content if isinstance(content, bytes) else whole[: len(whole) // 2])
    with pytest.raises(GenoslimError, match="not a whole Parquet file"):
        read_data(path)


def test_a_flipped_byte_never_passes(tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    data = make()
    data.write(path)
    whole = path.read_bytes()
    for place in range(4, len(whole), 11):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        try:
            assert read_data(path).fingerprint == data.fingerprint
        except GenoslimError:
            continue


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", fail)
    with pytest.raises(FullDiskError, match=r"d\.parquet: cannot be written: No space left"):
        make().write(tmp_path / "d.parquet")
    assert list(tmp_path.iterdir()) == []
