"""Real profiles of sessions on the CPU, and what is said of them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest

from genoslim.bundle.placement import Placement, products_on_cpu, profiled, profiling
from genoslim.errors import GenoslimError

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
FEEDS = {"input_ids": np.zeros((1, 4), np.int64), "attention_mask": np.ones((1, 4), np.int64)}


def test_a_profile_tells_where_nodes_ran_and_leaves_nothing(
    bundle_folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path_factory.mktemp("here")
    monkeypatch.chdir(here)
    options = onnxruntime.SessionOptions()
    with profiling(options):
        session = onnxruntime.InferenceSession(
            bundle_folder / "model.onnx", options, providers=[CPU]
        )
        expected = session.run(None, FEEDS)
        placement = profiled(session)
    assert {provider for _, provider in placement} == {CPU}
    assert {"Gather", "ReduceSum"} <= {name for name, _ in placement}
    assert not Path(options.profile_file_prefix).parent.exists()
    np.testing.assert_array_equal(session.run(None, FEEDS), expected)  # it runs on, unprofiled
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("text", [None, "", '[{"cat": "No'])
def test_a_profile_that_is_not_whole_is_told(text: str | None, tmp_path: Path) -> None:
    path = tmp_path / "session.json"
    if text is not None:
        path.write_text(text)
    session = SimpleNamespace(end_profiling=lambda: str(path))
    with pytest.raises(GenoslimError, match=r"session\.json: a session's profile is not whole"):
        profiled(session)


@pytest.mark.parametrize(
    ("placement", "words"),
    [
        ({("MatMul", CUDA): 7, ("Gather", CPU): 2}, ""),
        ({("MatMul", CUDA): 7, ("MatMulInteger", CPU): 21}, "21 of 28 (MatMulInteger)"),
        ({("FusedGemm", CPU): 1, ("MultiHeadAttention", CPU): 2}, "3 of 3 (FusedGemm, MultiHead"),
        ({}, ""),
    ],
)
def test_products_on_the_cpu_in_words(placement: Placement, words: str) -> None:
    found = products_on_cpu(placement)
    assert found.startswith(words)
    assert bool(found) == bool(words)
