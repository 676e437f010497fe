"""A bundle made by hand (no torch), and tiny random checkpoints with data to export them on."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from genoslim.export.bundle import write_manifest
from genoslim.export.manifest import (
    BundleManifest,
    DataRecord,
    FineTuning,
    Interval,
    Licences,
    ParityCase,
    ParityReport,
    SplitMetrics,
)
from genoslim.files import write_json
from genoslim.models.tokenizer import SequenceTokenizer, nucleotide_transformer_tokenizer

_SPECIALS = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
_MERGES = [("A", "C"), ("G", "T"), ("T", "T"), ("AC", "GT"), ("A", "G"), ("C", "C")]


def random_dna(length: int, seed: int) -> str:
    return "".join(random.Random(seed).choices("ACGT", k=length))


def bpe_tokenizer() -> SequenceTokenizer:
    """A BPE tokenizer of DNABERT-2's kind with six merges."""
    tokens = [*_SPECIALS, *"ACGT", *("".join(pair) for pair in _MERGES)]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    raw = Tokenizer(BPE(vocabulary, _MERGES, unk_token="[UNK]"))
    raw.pre_tokenizer = Whitespace()
    raw.add_special_tokens(_SPECIALS)
    raw.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair=None, special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return SequenceTokenizer(raw)


def kmer_tokenizer(version: int, max_tokens: int) -> SequenceTokenizer:
    """The Nucleotide Transformer's tokenizer, complete."""
    specials = ["<unk>", "<pad>", "<mask>", "<cls>", *(["<eos>", "<bos>"] if version == 2 else [])]
    kmers = ["".join(letters) for letters in product("ATCG", repeat=6)]
    raw = nucleotide_transformer_tokenizer([*specials, *kmers, *"ATCGN"])
    return SequenceTokenizer(raw, max_tokens=max_tokens)


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
