"""Labelled windows: what every model is fine-tuned and judged on, in one Parquet file.

The schema is described in docs/data.md and checked whenever a file is read.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..codec import decode, plain
from ..errors import GenoslimError, UsageError, needs_extra
from ..files import atomic_path
from .metadata import DataMetadata
from .variant import Variant

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError:  # pragma: no cover - every installed test environment has it
    raise needs_extra("reading and writing data sets", "pyarrow", "parquet") from None

FORMAT = "genoslim.labelled-windows"
FORMAT_VERSION = 1
SPLITS = ("train", "validation", "test")
SplitName = Literal["train", "validation", "test"]

Strings = npt.NDArray[np.str_]
Mask = npt.NDArray[np.bool_] | npt.NDArray[np.intp]

_METADATA_KEY = b"genoslim"
_REQUIRED: dict[str, pa.DataType] = {
    "contig": pa.string(),
    "position": pa.int64(),
    "reference": pa.string(),
    "alternate": pa.string(),
    "sequence": pa.string(),
    "label": pa.int8(),
    "split": pa.string(),
    "group": pa.string(),
}
_OPTIONAL: dict[str, pa.DataType] = {"tissue": pa.string(), "distance_to_tss": pa.int64()}
SUBGROUP_PREFIX = "subgroup_"
"""What the column of a subgrouping is called, in files and in tables: `subgroup_kind`."""
ANNOTATION_PREFIX = "annotation_"
"""What the column of a number a variant is called, in files and in tables: `annotation_phylop`."""
DISTANCE = "distance_to_tss"

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class _Header:
    """What a file says of itself; `fingerprint` is that of the rows and the metadata."""

    format: str = FORMAT
    format_version: int = FORMAT_VERSION
    fingerprint: str
    metadata: DataMetadata


@dataclass(frozen=True, eq=False)
class VariantColumns:
    """The variants of n rows as columns: contig, position (1-based), reference, alternate."""

    contig: Strings
    position: npt.NDArray[np.int64]
    reference: Strings
    alternate: Strings

    @classmethod
    def of(cls, variants: list[Variant]) -> VariantColumns:
        """Return the columns of some variants."""
        return cls(
            np.array([v.contig for v in variants], dtype=np.str_),
            np.array([v.position for v in variants], dtype=np.int64),
            np.array([v.reference for v in variants], dtype=np.str_),
            np.array([v.alternate for v in variants], dtype=np.str_),
        )

    def __len__(self) -> int:
        return len(self.position)

    def __repr__(self) -> str:
        return f"VariantColumns({len(self)} variants)"

    def __getitem__(self, row: int) -> Variant:
        return Variant(
            str(self.contig[row]),
            int(self.position[row]),
            str(self.reference[row]),
            str(self.alternate[row]),
        )

    def __iter__(self) -> Iterator[Variant]:
        return (self[row] for row in range(len(self)))

    def take(self, mask: Mask) -> VariantColumns:
        """Return the rows that `mask` selects."""
        return VariantColumns(
            self.contig[mask], self.position[mask], self.reference[mask], self.alternate[mask]
        )

    @property
    def keys(self) -> Strings:
        """The variant key of each row, as in `Variant.key`."""
        parts = zip(self.contig, self.position, self.reference, self.alternate, strict=True)
        return np.array([":".join(map(str, row)) for row in parts], dtype=np.str_)


@dataclass(frozen=True, eq=False, kw_only=True)
class LabelledData:
    """n labelled windows of one length, each with its variant, split and group.

    `sequences` hold A, C, G, T, N, the alternate allele at index `window_length // 2`; `labels`
    are 0 or 1 (int8); `splits` are `train`, `validation` or `test`; `groups` are the unit over
    which a macro mean is taken ('' where there is none). `tissues` and `distances_to_tss` (bases)
    are None unless the source has them.

    Raises GenoslimError if the columns do not fit together, naming the first row at fault.
    """

    sequences: list[str]
    labels: npt.NDArray[np.int8]
    splits: Strings
    variants: VariantColumns
    groups: Strings
    metadata: DataMetadata
    tissues: Strings | None = None
    distances_to_tss: npt.NDArray[np.int64] | None = None
    subgroups: Mapping[str, Strings] = field(default_factory=dict)
    annotations: Mapping[str, Numbers] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, column in self._columns().items():
            if len(column) != len(self.sequences):
                raise GenoslimError(
                    f"column {name}: {len(column)} rows beside {len(self.sequences)} sequences"
                )
        self._check_sequences()
        self._check_each("label", self.labels, (0, 1))
        self._check_each("split", self.splits, SPLITS)

    def __len__(self) -> int:
        return len(self.sequences)

    def __repr__(self) -> str:
        rows = ", ".join(f"{count} {name}" for name, count in self.split_counts.items())
        length, assembly = self.metadata.window_length, self.metadata.assembly
        return f"LabelledData({rows} windows of {length} bases, assembly {assembly})"

    def subset(self, mask: Mask) -> LabelledData:
        """Return the rows a boolean mask or an array of row numbers selects, in its order."""
        rows = np.arange(len(self))[mask]
        return LabelledData(
            sequences=[self.sequences[row] for row in rows],
            labels=self.labels[rows],
            splits=self.splits[rows],
            variants=self.variants.take(rows),
            groups=self.groups[rows],
            metadata=self.metadata,
            tissues=None if self.tissues is None else self.tissues[rows],
            distances_to_tss=None if self.distances_to_tss is None else self.distances_to_tss[rows],
            subgroups={name: column[rows] for name, column in self.subgroups.items()},
            annotations={name: column[rows] for name, column in self.annotations.items()},
        )

    def cut(self, window: int) -> LabelledData:
        """Return the same rows with windows of `window` bases, cut around the variants.

        They are what would have been cut from the genome: the alternate allele is at index
        `window // 2`. The metadata name the set they are from. UsageError for a longer window.
        """
        own = self.metadata.window_length
        if not 1 <= window <= own:
            raise UsageError(f"window of {window} bases: expected 1 to {own}, what the set has")
        if window == own:
            return self
        start = own // 2 - window // 2
        options = {**self.metadata.options, "cut_from": self.fingerprint}
        return replace(
            self,
            sequences=[sequence[start : start + window] for sequence in self.sequences],
            metadata=replace(self.metadata, window_length=window, options=options),
        )

    def split(self, name: SplitName) -> LabelledData:
        """Return the rows of one split; raises GenoslimError if it has none."""
        mask = self.splits == name
        if not mask.any():
            raise GenoslimError(f"no row in split {name!r}; the data set has {self.split_counts}")
        return self.subset(mask)

    @cached_property
    def keys(self) -> Strings:
        """The variant key of each row: the cluster a bootstrap draws, as one may recur."""
        return self.variants.keys

    def numbers(self, name: str) -> Numbers:
        """Return the numbers of a column, NaN where one is missing: float64[n].

        `name` is that of an annotation, with or without `annotation_`, or `distance_to_tss`. Raises
        UsageError if there is no such column.
        """
        known = dict(self.annotations)
        if self.distances_to_tss is not None:
            known[DISTANCE] = self.distances_to_tss.astype(np.float64)
        found = known.get(name.removeprefix(ANNOTATION_PREFIX))
        if found is None:
            there = ", ".join(known) or "there is none"
            raise UsageError(f"no column of numbers {name!r} in the data set (found: {there})")
        return found

    @property
    def split_counts(self) -> dict[str, int]:
        """Rows a split, in the order train, validation, test."""
        counts = Counter(self.splits.tolist())
        return {name: counts[name] for name in SPLITS if counts[name]}

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the rows, in order, and the metadata.

        It is taken over the values and not over the file, so that it depends on neither Parquet's
        version nor its compression.
        """
        digest = hashlib.sha256(f"{FORMAT} {FORMAT_VERSION}\n".encode())
        digest.update(_canonical(plain(self.metadata)).encode())
        for name, column in self._columns().items():
            values = column if isinstance(column, list) else column.tolist()
            digest.update(f"\n{name} {len(values)}\n".encode())
            digest.update("\n".join(map(str, values)).encode())
        return digest.hexdigest()

    def summary(self) -> str:
        """Return a few lines for people: size, labels and variants a split, what was dropped."""
        meta = self.metadata
        lines = [f"{len(self)} windows of {meta.window_length} bases, assembly {meta.assembly}"]
        for name in SPLITS:
            if name not in self.split_counts:
                lines.append(f"  {name}: NONE; fine-tuning and benchmarks need all three splits")
                continue
            part = self.subset(self.splits == name)
            positives = int(part.labels.sum())
            lines.append(
                f"  {name}: {positives} {meta.label_names[1]},"
                f" {len(part) - positives} {meta.label_names[0]}, {len(set(part.keys))} variants"
            )
        lines += [f"  dropped: {count} {reason}" for reason, count in meta.dropped.items()]
        return "\n".join([*lines, f"  fingerprint: {self.fingerprint}"])

    def write(self, path: str | Path) -> None:
        """Write one Parquet file, whole or not at all; the same data gives the same bytes.

        Raises UsageError if the name of `path` does not end in `.parquet`.
        """
        path = Path(path)
        check_name(path)
        columns = self._columns()
        header = _Header(fingerprint=self.fingerprint, metadata=self.metadata)
        schema = pa.schema(
            [pa.field(name, _column_type(name), nullable=False) for name in columns],
            metadata={_METADATA_KEY: _canonical(plain(header)).encode()},
        )
        arrays = [
            pa.array(list(column), type=_column_type(name)) for name, column in columns.items()
        ]
        with atomic_path(Path(path)) as temporary:
            table = pa.Table.from_arrays(arrays, schema=schema)
            pq.write_table(table, temporary, compression="zstd")

    def _columns(self) -> dict[str, npt.NDArray[Any] | list[str]]:
        columns: dict[str, npt.NDArray[Any] | list[str] | None] = {
            "contig": self.variants.contig,
            "position": self.variants.position,
            "reference": self.variants.reference,
            "alternate": self.variants.alternate,
            "sequence": self.sequences,
            "label": self.labels,
            "split": self.splits,
            "group": self.groups,
            "tissue": self.tissues,
            "distance_to_tss": self.distances_to_tss,
            **{SUBGROUP_PREFIX + name: column for name, column in self.subgroups.items()},
            **{ANNOTATION_PREFIX + name: column for name, column in self.annotations.items()},
        }
        return {name: column for name, column in columns.items() if column is not None}

    def _check_sequences(self) -> None:
        length = self.metadata.window_length
        for row, sequence in enumerate(self.sequences):
            if len(sequence) != length:
                raise GenoslimError(
                    f"row {row}: a sequence of {len(sequence)} bases; expected {length}"
                )
        if set("".join(self.sequences)) <= set("ACGTN"):
            return
        for row, sequence in enumerate(self.sequences):
            if strange := set(sequence) - set("ACGTN"):
                raise GenoslimError(
                    f"row {row}: the sequence holds {sorted(strange)[0]!r}; expected A, C, G, T, N"
                )

    @staticmethod
    def _check_each(name: str, column: npt.NDArray[Any], allowed: Sequence[int | str]) -> None:
        wrong = np.flatnonzero(~np.isin(column, np.array(allowed)))
        if len(wrong):
            raise GenoslimError(
                f"row {wrong[0]}: {name} {column[wrong[0]].item()!r};"
                f" expected {' or '.join(map(str, allowed))}"
            )


def read_data(path: str | Path) -> LabelledData:
    """Read the labelled windows of a Parquet file and check every part of it.

    Args:
        path: What `LabelledData.write` or `genoslim data ...` wrote.

    Returns:
        The windows, with their labels, splits, variants, groups and subgroups.

    Raises:
        GenoslimError: the file is no Parquet or truncated, has another format version, lacks a
            column, has a column of another type, or holds rows that `LabelledData` refuses or
            whose fingerprint differs; the message names the file and what would be right.

    Example:
        >>> from genoslim import read_data
        >>> data = read_data("data.parquet")
        >>> data.split_counts
        {'train': 260, 'validation': 60, 'test': 80}
        >>> data.sequences[0][data.metadata.window_length // 2], data.variants[0]
        ('A', Variant(contig='chr1', position=289, reference='C', alternate='A'))
    """
    table = _read_table(Path(path))
    try:
        return _from_table(table)
    except GenoslimError as error:
        raise GenoslimError(f"{path}: {error}") from None


def _from_table(table: pa.Table) -> LabelledData:
    header = _checked_header(table)
    _check_columns(table)
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    tissues, distances = columns.get("tissue"), columns.get("distance_to_tss")
    data = LabelledData(
        sequences=columns["sequence"],
        labels=np.array(columns["label"], dtype=np.int8),
        splits=np.array(columns["split"], dtype=np.str_),
        variants=VariantColumns(
            np.array(columns["contig"], dtype=np.str_),
            np.array(columns["position"], dtype=np.int64),
            np.array(columns["reference"], dtype=np.str_),
            np.array(columns["alternate"], dtype=np.str_),
        ),
        groups=np.array(columns["group"], dtype=np.str_),
        metadata=header.metadata,
        tissues=None if tissues is None else np.array(tissues, dtype=np.str_),
        distances_to_tss=None if distances is None else np.array(distances, dtype=np.int64),
        subgroups={
            name.removeprefix(SUBGROUP_PREFIX): np.array(column, dtype=np.str_)
            for name, column in columns.items()
            if name.startswith(SUBGROUP_PREFIX)
        },
        annotations={
            name.removeprefix(ANNOTATION_PREFIX): np.array(column, dtype=np.float64)
            for name, column in columns.items()
            if name.startswith(ANNOTATION_PREFIX)
        },
    )
    if data.fingerprint != header.fingerprint:
        raise GenoslimError(
            f"the rows have fingerprint {data.fingerprint[:12]} where the file says"
            f" {header.fingerprint[:12]}: it was changed after genoslim wrote it"
        )
    return data


def check_name(path: Path) -> None:
    """Raise UsageError if labelled windows are to be written under another name than Parquet's."""
    if path.suffix != ".parquet":
        raise UsageError(f"{path}: labelled windows are a Parquet file; name it *.parquet")


def _canonical(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _read_table(path: Path) -> pa.Table:
    with path.open("rb") as stream:  # an absent file is the system's error, not a damaged one
        try:
            table = pq.read_table(stream)
            table.validate(full=True)
        except (pa.ArrowException, OSError) as error:
            reason = str(error).splitlines()[0]
            raise GenoslimError(
                f"{path}: not a whole Parquet file ({reason});"
                " expected labelled windows made by `genoslim data ...`"
            ) from None
    return table


def _checked_header(table: pa.Table) -> _Header:
    raw = (table.schema.metadata or {}).get(_METADATA_KEY)
    try:
        content = json.loads(raw or b"{}")
    except ValueError:
        content = None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise GenoslimError(
            "a Parquet file without genoslim's metadata;"
            " expected labelled windows made by `genoslim data ...`"
        )
    if (version := content.get("format_version")) != FORMAT_VERSION:
        raise GenoslimError(
            f"format version {version}; this genoslim reads version {FORMAT_VERSION}:"
            " make the file again with `genoslim data ...`"
        )
    return decode(_Header, content, "its header", exact=True)


def _column_type(name: str) -> pa.DataType | None:
    """Return the type of a column, None for one that the format does not have."""
    prefixes = {SUBGROUP_PREFIX: pa.string(), ANNOTATION_PREFIX: pa.float64()}
    for prefix, kind in prefixes.items():
        if name.startswith(prefix) and name != prefix:
            return kind
    return (_REQUIRED | _OPTIONAL).get(name)


def _check_columns(table: pa.Table) -> None:
    for name in _REQUIRED:
        if name not in table.column_names:
            raise GenoslimError(f"no column {name!r}; found {', '.join(table.column_names)}")
    for column in table.schema:
        expected = _column_type(column.name)
        if expected is None:
            prefixes = (f"{prefix}..." for prefix in (SUBGROUP_PREFIX, ANNOTATION_PREFIX))
            known = ", ".join([*_REQUIRED, *_OPTIONAL, *prefixes])
            raise GenoslimError(f"unknown column {column.name!r}; expected {known}")
        if column.type != expected:
            raise GenoslimError(
                f"column {column.name!r} is of type {column.type}; expected {expected}"
            )
        if table.column(column.name).null_count:
            raise GenoslimError(f"column {column.name!r} has missing values; expected none")
