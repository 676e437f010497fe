"""Tiny random models and data with a signal, to run whole benchmarks on in seconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_bundle import write_tiny_bundle
from tiny_checkpoints import tiny_classifier, tokenizer_of

from genoslim.data.dataset import LabelledData, VariantColumns
from genoslim.data.metadata import DataMetadata
from genoslim.data.variant import Variant

WINDOW = 60
SIZES = {"train": 8, "validation": 40, "test": 60}


def some_data(
    *, sizes: dict[str, int] = SIZES, recurring: bool = False, groups: int = 3, **metadata: Any
) -> LabelledData:
    """Random windows on one chromosome a split; with `recurring`, rows 2i and 2i + 1 share one."""
    generator = np.random.default_rng(11)
    window = metadata.get("window_length", WINDOW)
    splits = np.array([name for name, size in sizes.items() for _ in range(size)])
    sequences, variants = [], []
    for row, split in enumerate(splits):
        if recurring and row % 2:
            sequences.append(sequences[-1])
            variants.append(variants[-1])
            continue
        sequence = "".join(generator.choice(list("ACGT"), window))
        alternate = sequence[window // 2]
        reference = "C" if alternate == "A" else "A"
        sequences.append(sequence)
        variants.append(Variant(f"chr{split}", 1000 * (row + 1), reference, alternate))
    return LabelledData(
        sequences=sequences,
        labels=(np.arange(len(splits)) // 2 % 2).astype(np.int8),
        splits=splits,
        variants=VariantColumns.of(variants),
        groups=np.array([f"g{row % groups}" if groups else "" for row in range(len(splits))]),
        metadata=DataMetadata(
            **{
                "window_length": window,
                "assembly": "GRCh38",
                "source": "random <windows>",
                "licence": "CC0-1.0",
                **metadata,
            }
        ),
    )


@pytest.fixture(scope="session")
def make_data() -> Callable[..., LabelledData]:
    return some_data


@pytest.fixture(scope="session")
def data() -> LabelledData:
    return some_data()


@pytest.fixture(scope="session")
def data_file(data: LabelledData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "windows.parquet"
    data.write(path)
    return path


@pytest.fixture(scope="session")
def make_checkpoint(
    data: LabelledData, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """Write a tiny random checkpoint; further arguments change its training record."""
    from genoslim.models.checkpoint import save
    from genoslim.models.record import TrainingRecord

    def make(name: str, *, layers: int = 2, seed: int = 0, **record: Any) -> Path:
        folder = tmp_path_factory.mktemp("checkpoint") / name
        usual = TrainingRecord(
            base_model="tiny",
            base_layers=4,
            licence="CC-BY-NC-SA-4.0",
            fine_tune_seconds=12.5,
            window_length=WINDOW,
            assembly="GRCh38",
            data_fingerprint=data.fingerprint,
            data_licence="CC0-1.0",
        )
        training = replace(usual, **record)
        model = tiny_classifier("nt_v1", seed, num_hidden_layers=layers)
        save(model, tokenizer_of("nt_v1"), folder, training=training)
        return folder

    return make


@pytest.fixture(scope="session")
def checkpoint(make_checkpoint: Callable[..., Path]) -> Path:
    return make_checkpoint("full", layers=4)


@pytest.fixture(scope="session")
def make_bundle(
    data: LabelledData, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """Write a tiny bundle for ONNX Runtime; further arguments change its manifest."""

    def make(name: str, *, seed: int = 7, **fields: Any) -> Path:
        folder = tmp_path_factory.mktemp("bundle") / name
        fitting = {"window_length": WINDOW, "assembly": "hg38"}
        write_tiny_bundle(folder, seed=seed, **(fitting | fields))
        return Path(folder)

    return make


@pytest.fixture(scope="session")
def bundle(make_bundle: Callable[..., Path]) -> Path:
    return make_bundle("slim")
