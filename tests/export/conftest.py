"""A bundle made by hand (no torch), and tiny random checkpoints with data to export them on."""

from __future__ import annotations

import runpy
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from genoslim.export.bundle import write_manifest
from genoslim.export.manifest import (
    BundleManifest,
    DataRecord,
    FineTuning,
    Interval,
    Licences,
    LossLimits,
    ParityCase,
    ParityReport,
    PrecisionLoss,
    SplitMetrics,
)
from genoslim.files import write_json

TINY = runpy.run_path(str(Path(__file__).parents[1] / "fixtures" / "tiny_checkpoints.py"))
random_dna, bpe_tokenizer = TINY["random_dna"], TINY["bpe_tokenizer"]


def hand_made_graph(path: Path, vocabulary: int) -> None:
    """logits[b] = the sum over tokens t of table[ids[b, t]] * mask[b, t]: exact under padding."""
    table = np.random.default_rng(0).normal(0, 0.1, (vocabulary, 2)).astype(np.float32)
    ids, mask = (
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
        for name in ("input_ids", "attention_mask")
    )
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("Cast", ["attention_mask"], ["weights"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["weights", "last"], ["column"]),
        helper.make_node("Mul", ["rows", "column"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "tokens_axis"], ["logits"], keepdims=0),
    ]
    constants = [
        numpy_helper.from_array(table, "table"),
        numpy_helper.from_array(np.array([2]), "last"),
        numpy_helper.from_array(np.array([1]), "tokens_axis"),
    ]
    graph = helper.make_graph(nodes, "sum", [ids, mask], [logits], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, path)


def some_metrics() -> SplitMetrics:
    return SplitMetrics(
        n=10,
        accuracy=0.8,
        auroc=0.9,
        interval=Interval(low=0.7, high=1.0, level=0.95, method="DeLong"),
        f1=0.8,
        true_positive_rate=0.8,
        tp=4,
        fp=1,
        tn=4,
        fn=1,
        threshold=0.5,
        brier=0.1,
        expected_calibration_error=0.05,
    )


def some_manifest(**changes: Any) -> BundleManifest:
    case = ParityCase(
        batch_size=8,
        windows=96,
        shortest_tokens=5,
        longest_tokens=40,
        padding=0.3,
        max_logit_difference=1e-6,
        max_probability_difference=1e-7,
        flipped=0,
    )
    fields: dict[str, Any] = {
        "family": "dnabert2",
        "base_layers": 12,
        "kept_layers": (0, 1, 5),
        "parameters": 1234,
        "window_length": 60,
        "assembly": "GRCh38",
        "label_names": ("neutral", "causal"),
        "threshold": 0.4,
        "temperature": 2.0,
        "precision": "fp32",
        "opset": 20,
        "metrics": {"validation": some_metrics(), "test": some_metrics()},
        "parity": ParityReport(cases=(case,), logit_tolerance=1e-4, probability_tolerance=1e-4),
        "fine_tuning": FineTuning(base_model="base", seed=3, seconds=1.5, recipe={"epochs": 3}),
        "licences": Licences(base_model="Apache-2.0", data="CC0-1.0"),
        "data": DataRecord(fingerprint="f" * 64, source="made up", trained_on="f" * 64),
        "versions": {"genoslim": "0.1.0"},
    }
    return BundleManifest(**fields | changes)


@pytest.fixture(scope="session")
def make_manifest() -> Callable[..., BundleManifest]:
    return some_manifest


@pytest.fixture(scope="session")
def make_loss() -> Callable[..., PrecisionLoss]:
    """A loss on 1000 windows within its limits; keyword arguments change it."""

    def make(**changes: Any) -> PrecisionLoss:
        fields: dict[str, Any] = {
            "provider": "CPUExecutionProvider",
            "windows": 1000,
            "max_logit_difference": 0.1,
            "mean_logit_difference": 0.01,
            "flipped": 2,
            "auroc_change": 0.0005,
            "auroc_interval": Interval(low=-0.001, high=0.002, level=0.9, method="DeLong"),
            "brier_change": 0.0001,
            "calibration_error_change": -0.002,
            "bytes": 4_000_000,
            "exact_bytes": 10_000_000,
            "exact_parity": some_manifest().parity,
            "limits": LossLimits(),
        }
        return PrecisionLoss(**fields | changes)

    return make


@pytest.fixture(scope="session")
def dna() -> Callable[[int, int], str]:
    return random_dna


@pytest.fixture(scope="session")
def _bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hand") / "bundle"
    folder.mkdir()
    tokenizer = bpe_tokenizer()
    hand_made_graph(folder / "model.onnx", tokenizer.vocab_size)
    tokenizer.save(folder)
    write_json(folder / "config.json", {"model_type": "bert"})
    (folder / "README.md").write_text("A card.\n")
    write_manifest(folder, some_manifest())
    return folder


@pytest.fixture
def bundle_folder(_bundle: Path, tmp_path: Path) -> Path:
    """A bundle made by hand that the test may spoil."""
    return Path(shutil.copytree(_bundle, tmp_path / "bundle"))


@pytest.fixture(scope="session")
def sequences() -> Sequence[str]:
    """150 sequences of 1 to 80 bases in no order, some of them twice."""
    lengths = np.random.default_rng(1).integers(1, 81, size=120)
    distinct = [random_dna(int(length), seed) for seed, length in enumerate(lengths)]
    return [*distinct, *distinct[40:70]]


@pytest.fixture(scope="session")
def data() -> Any:
    return TINY["some_data"]()


@pytest.fixture(scope="session")
def make_data() -> Callable[..., Any]:
    return TINY["some_data"]


@pytest.fixture(scope="session")
def data_file(data: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "windows.parquet"
    data.write(path)
    return path


@pytest.fixture(scope="session")
def make_checkpoint(data: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Write a tiny random checkpoint; keyword arguments change its training record."""
    from genoslim.models.checkpoint import save

    def make(family: str = "dnabert2", *, record: bool = True, **changes: Any) -> Path:
        folder = tmp_path_factory.mktemp("checkpoint") / family
        training = TINY["training_record"](data, **changes) if record else None
        model, tokenizer = TINY["tiny_classifier"](family), TINY["tokenizer_of"](family)
        save(model, tokenizer, folder, training=training)
        return folder

    return make


@pytest.fixture(scope="session", params=TINY["FAMILIES"])
def exported(
    request: pytest.FixtureRequest,
    make_checkpoint: Callable[..., Path],
    data_file: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, Any]:
    """A checkpoint of each family and the summary of its export; not to be changed."""
    from genoslim.export.exporter import export_checkpoint

    checkpoint = make_checkpoint(request.param)
    bundle = tmp_path_factory.mktemp("exported") / request.param
    return checkpoint, export_checkpoint(checkpoint, data_file, bundle, threads=1)
