"""Both backends on a graph whose logits numpy can tell, and the devices they run on."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from genoslim.bundle.sessions import BACKENDS, OnnxSession, OpenVinoSession, open_session
from genoslim.errors import GenoslimError, UsageError

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="the extra openvino is not installed"
)
each_backend = pytest.mark.parametrize(
    "backend",
    [pytest.param(name, marks=[needs_openvino] if name == "openvino" else []) for name in BACKENDS],
)


@pytest.fixture
def graph(bundle_folder: Path) -> Path:
    return bundle_folder / "model.onnx"


@pytest.fixture
def batch() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    return generator.integers(0, 15, (5, 9)), (generator.random((5, 9)) < 0.7).astype(np.int64)


def in_numpy(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
    table = np.random.default_rng(0).normal(0, 0.1, (10_000, 2)).astype(np.float32)
    return (table[ids] * mask[..., None]).sum(axis=1)


@each_backend
def test_logits_are_those_of_the_graph(backend, graph, batch):
    session = open_session(graph, backend=backend, device="cpu", threads=1)
    assert (session.backend, session.num_labels, session.on_gpu) == (backend, 2, False)
    found = session.run(*batch)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, in_numpy(*batch), atol=1e-6)


@each_backend
def test_a_result_outlives_the_next_run_and_inputs_may_be_views(backend, graph, batch):
    session = open_session(graph, backend=backend, device="auto", threads=1)
    ids, mask = batch
    first = session.run(ids, mask)
    kept = first.copy()
    views = ids[::-1, ::2], mask[::-1, ::2]
    np.testing.assert_allclose(session.run(*views), in_numpy(*views), atol=1e-6)
    session.run(ids[::-1], mask[::-1])
    np.testing.assert_array_equal(first, kept)


@each_backend
def test_a_graph_that_cannot_be_loaded_is_named_in_one_line(backend, tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(
        GenoslimError, match=rf"model\.onnx: {backend} .* cannot load it: "
    ) as error:
        open_session(tmp_path / "model.onnx", backend=backend, device="cpu", threads=1)
    assert "\n" not in str(error.value)


@needs_openvino
def test_openvino_computes_in_float32_on_the_threads_it_is_given(graph):
    session = OpenVinoSession(graph, threads=2)
    compiled = session._request.get_compiled_model()
    assert compiled.get_property("INFERENCE_PRECISION_HINT").to_string() == "f32"
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 2
    assert compiled.get_property("NUM_STREAMS") == 1
    assert compiled.get_property("ENABLE_CPU_PINNING") is False
    assert session.provider == "CPU"


@needs_openvino
def test_openvino_tells_nobody(graph):
    program = f"""
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path
from urllib import request
from genoslim.bundle.sessions import open_session

def refuse(*_):
    raise SystemExit("it calls out")

BaseProcess.start = request.urlopen = refuse
open_session(Path({str(graph)!r}), backend="openvino", device="cpu", threads=1)
print([name for name in sys.modules if name.startswith("openvino_telemetry.")])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_bound_inputs_and_outputs_give_the_same(graph, batch):
    session = OnnxSession(graph, device="cpu", threads=1)
    ids, mask = batch
    for rows in (ids, mask), (ids[::-1, :4], mask[::-1, :4]):
        found = session.run_bound(dict(zip(("input_ids", "attention_mask"), rows, strict=True)))
        np.testing.assert_array_equal(found, session.run(*rows))


def fake_onnxruntime(listed: list[str], running: list[str]) -> types.ModuleType:
    """An onnxruntime that lists some providers and runs on others; its sessions are kept."""

    class Session:
        def __init__(self, *_: object, providers: list[str], enable_fallback: int) -> None:
            self.asked, self.fallback, self.bound = providers, enable_fallback, []
            module.sessions.append(self)

        def get_providers(self) -> list[str]:
            return running

        def get_outputs(self) -> list[object]:
            return [types.SimpleNamespace(shape=["batch", 2])]

        def io_binding(self) -> object:
            return types.SimpleNamespace(
                bind_cpu_input=lambda name, value: self.bound.append((name, "cpu")),
                bind_output=lambda name, device: self.bound.append((name, device)),
                copy_outputs_to_cpu=lambda: [np.ones((1, 2), np.float16)],
            )

        def run_with_iobinding(self, _: object) -> None:
            self.bound.append("run")

    module = types.ModuleType("onnxruntime")
    module.__version__ = "1.0"
    module.sessions = []
    module.InferenceSession = Session
    module.SessionOptions = types.SimpleNamespace
    module.get_available_providers = lambda: listed
    return module


@pytest.fixture
def pretend(monkeypatch):
    def install(listed: list[str], running: list[str]) -> types.ModuleType:
        module = fake_onnxruntime(listed, running)
        monkeypatch.setitem(sys.modules, "onnxruntime", module)
        return module

    return install


EVERY = ["TensorrtExecutionProvider", CUDA, CPU]


@pytest.mark.parametrize(
    ("device", "asked"),
    [("auto", [CUDA, CPU]), ("cpu", [CPU]), ("cuda", [CUDA, CPU])],
)
def test_a_device_is_what_a_session_is_asked_for(pretend, graph, device, asked):
    module = pretend(EVERY, asked)
    session = OnnxSession(graph, device=device, threads=1)
    assert [s.asked for s in module.sessions] == [asked]
    assert module.sessions[0].fallback == 0
    assert session.provider == asked[0]
    assert session.on_gpu == (device != "cpu")


def test_a_device_that_is_listed_but_does_not_load_is_refused(pretend, graph):
    pretend(EVERY, [CPU])
    with pytest.raises(GenoslimError, match=f"device cuda: the session runs on {CPU}"):
        OnnxSession(graph, device="cuda", threads=1)
    assert OnnxSession(graph, device="auto", threads=1).provider == CPU


def test_a_device_that_is_not_listed_is_refused(pretend, graph):
    pretend([CPU], [CPU])
    with pytest.raises(GenoslimError, match=r"device cuda: .* needs onnxruntime-gpu"):
        OnnxSession(graph, device="cuda", threads=1)


def test_a_gpu_gets_its_batches_bound(pretend, graph, batch):
    module = pretend(EVERY, [CUDA, CPU])
    found = OnnxSession(graph, device="cuda", threads=1).run(*batch)
    inputs = [("input_ids", "cpu"), ("attention_mask", "cpu")]
    assert module.sessions[0].bound == [*inputs, ("logits", "cuda"), "run"]
    assert found.dtype == np.float32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "tensorrt"}, "device is 'tensorrt'; expected auto, cpu or cuda"),
        ({"backend": "auto"}, "backend is 'auto'; expected onnxruntime or openvino"),
        ({"backend": "openvino", "device": "cuda"}, "runs on the CPU, not on cuda"),
    ],
)
def test_what_does_not_exist_or_go_together_is_refused(graph, options, message):
    with pytest.raises(UsageError, match=message):
        open_session(graph, **{"backend": "onnxruntime", "device": "cpu", "threads": 1} | options)


@pytest.mark.parametrize(("backend", "extra"), [("onnxruntime", "cpu"), ("openvino", "openvino")])
def test_what_is_not_installed_is_named_with_its_extra(graph, monkeypatch, backend, extra):
    monkeypatch.setitem(sys.modules, backend, None)
    with pytest.raises(GenoslimError, match=rf"needs {backend}: pip install '\.\[{extra}\]' in a"):
        open_session(graph, backend=backend, device="cpu", threads=1)
