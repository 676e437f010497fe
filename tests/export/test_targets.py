"""Graphs shaped for CUDA, made, verified and run on a CPU."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from genoslim.bundle import choice
from genoslim.bundle.bundle import Bundle
from genoslim.bundle.card import render_card
from genoslim.bundle.choice import choose_backend
from genoslim.bundle.runtime import Runtime
from genoslim.cli import main
from genoslim.data.dataset import read_data
from genoslim.errors import GenoslimError, UsageError
from genoslim.export.exporter import export_bundle
from genoslim.export.precision import convert, rehearse_half
from genoslim.export.trace import trace
from genoslim.models import load, load_tokenizer
from genoslim.prune.finetune import predict

CPU = "CPUExecutionProvider"
FUSED = "MultiHeadAttention"


@pytest.fixture(scope="module", params=["dnabert2", "nt_v2"])
def checkpoint(request: pytest.FixtureRequest, make_checkpoint: Callable[..., Path]) -> Path:
    return make_checkpoint(request.param)


@pytest.fixture(scope="module")
def for_cuda(checkpoint: Path, data_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle for CUDA of a family with ALiBi, and of one with rotary positions."""
    folder = tmp_path_factory.mktemp("cuda") / "bundle"
    return export_bundle(
        checkpoint, folder, data=data_file, target="cuda", threads=1, allow_chance=True
    ).bundle


def _operators(graph: Path) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(graph).graph.node)


def test_attention_is_one_operator_but_in_the_last_layer(for_cuda):
    assert _operators(for_cuda.graph)[FUSED] == for_cuda.manifest.base_layers - 1


def test_it_is_verified_and_says_on_what(for_cuda):
    bundle = Bundle.open(for_cuda.folder)
    assert (bundle.manifest.target, bundle.manifest.parity.provider) == ("cuda", CPU)
    assert bundle.manifest.parity.passed
    assert f"| made for | cuda; what is told here ran on {CPU} |" in render_card(bundle.manifest)


def test_a_cpu_gives_the_logits_of_torch_and_says_for_what_it_was_made(
    for_cuda, checkpoint, data_file, caplog
):
    windows = read_data(data_file).sequences
    with caplog.at_level(logging.WARNING):
        runtime = Runtime(for_cuda, device="cpu", threads=1, backend="onnxruntime")
    (told,) = caplog.messages
    assert told == f"{for_cuda.folder}: its graph is shaped for CUDA, and runs on the CPU"
    expected = predict(load(checkpoint), load_tokenizer(checkpoint), windows)
    np.testing.assert_allclose(runtime.logits(windows), expected, rtol=0, atol=1e-5)


def test_half_precision_is_made_of_it_and_rehearsed(for_cuda, tmp_path):
    """A CPU rounds nowhere within; the rehearsal must round what the operator returns, too."""
    convert(for_cuda.graph, tmp_path / "half.onnx", "fp16")
    assert _operators(tmp_path / "half.onnx")[FUSED] == _operators(for_cuda.graph)[FUSED]
    rehearse_half(for_cuda.graph, tmp_path / "rehearsal.onnx")
    graph = onnx.load(tmp_path / "rehearsal.onnx").graph
    readers = [
        user.op_type
        for node in graph.node
        if node.op_type == FUSED
        for user in graph.node
        if node.output[0] in user.input
    ]
    assert readers == ["Cast"] * _operators(for_cuda.graph)[FUSED]


def test_openvino_is_no_backend_for_it(for_cuda, monkeypatch):
    monkeypatch.setattr(choice, "_versions", lambda: {"onnxruntime": "1", "openvino": "1"})
    monkeypatch.setattr(choice, "call_in_child", lambda *_: pytest.fail("nothing to compare"))
    assert choose_backend(for_cuda, device="cpu") == "onnxruntime"
    with pytest.raises(UsageError, match="openvino has no operators for a bundle made for cuda"):
        choose_backend(for_cuda, "openvino", device="cpu")


def test_what_does_not_go_together_is_refused(
    make_checkpoint: Callable[..., Path], data_file: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="int8 is for the CPU: CUDA has no kernel"):
        export_bundle("x", tmp_path / "b", data=data_file, precision="int8", target="cuda")
    with pytest.raises(UsageError, match="target is 'tpu'; expected cpu or cuda"):
        export_bundle("x", tmp_path / "b", data=data_file, target="tpu")  # type: ignore[arg-type]
    with pytest.raises(GenoslimError, match="hf:bert has no graph for cuda of its own"):
        trace(SimpleNamespace(family="hf:bert"), tmp_path / "g.onnx", target="cuda")  # type: ignore[arg-type]


def test_the_command_line_has_it_too(
    for_cuda, checkpoint, data_file, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "genoslim.export.exporter.trace",
        lambda model, path, **how: (
            path.write_bytes(for_cuda.graph.read_bytes()) if how["target"] == "cuda" else None
        ),
    )
    call = ["export", str(checkpoint), "-d", str(data_file), "-o", str(tmp_path / "b")]
    done = CliRunner().invoke(main, [*call, "--for", "cuda", "--allow-chance", "--threads", "1"])
    assert done.exit_code == 0, done.output
    assert Bundle.open(tmp_path / "b").manifest.target == "cuda"
