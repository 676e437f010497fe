"""Both backends on a graph whose logits numpy can tell, and the devices they run on."""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import re
import subprocess
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genoslim.bundle import placement, sessions
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
from typing import Any
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


class FakeOnnxRuntime(types.ModuleType):
    """An onnxruntime that lists some providers and runs on others; its sessions are kept.

    On CUDA it fails with the words `opening` or `computing`. `products` are where it has those of a
    graph run.
    """

    __version__ = "1.0"
    SessionOptions = types.SimpleNamespace

    def __init__(
        self,
        listed: list[str],
        running: list[str],
        *,
        opening: str = "",
        computing: str = "",
        products: Sequence[tuple[str, str]] = (("MatMul", CUDA),),
    ) -> None:
        super().__init__("onnxruntime")
        self.listed, self.running = listed, running
        self.opening, self.computing, self.products = opening, computing, products
        self.events: list[str] = []
        self.sessions: list[FakeSession] = []

    def get_available_providers(self) -> list[str]:
        self.events.append("list")
        return self.listed

    def preload_dlls(self) -> None:
        self.events.append("preload")
        if CUDA not in self.running:
            sys.stdout.write("Failed to load libcudart.so.13: no such file\nPlease follow\n")

    def set_default_logger_severity(self, level: int) -> None:
        self.events.append(f"log {level}")

    def InferenceSession(  # noqa: N802
        self,
        _: object,
        options: types.SimpleNamespace,
        *,
        providers: list[object],
        enable_fallback: int,
    ) -> FakeSession:
        self.events.append(f"open {len(providers)}")
        if self.opening and providers != [CPU]:
            raise RuntimeError(self.opening)
        self.sessions.append(FakeSession(self, options, providers, enable_fallback))
        return self.sessions[-1]


class FakeSession:
    def __init__(
        self,
        module: FakeOnnxRuntime,
        options: types.SimpleNamespace,
        asked: list[object],
        fallback: int,
    ) -> None:
        self.module, self.options, self.asked, self.fallback = module, options, asked, fallback
        self.bound: list[object] = []

    def get_providers(self) -> list[str]:
        return [CPU] if self.asked == [CPU] else self.module.running

    def get_outputs(self) -> list[object]:
        return [types.SimpleNamespace(shape=["batch", 2])]

    def io_binding(self) -> object:
        return types.SimpleNamespace(
            bind_cpu_input=lambda name, value: self.bound.append((name, "cpu")),
            bind_output=lambda name, device: self.bound.append((name, device)),
            copy_outputs_to_cpu=lambda: [np.ones((1, 2), np.float16)],
        )

    def run_with_iobinding(self, _: object) -> None:
        if self.module.computing:
            raise RuntimeError(self.module.computing)
        self.bound.append("run")

    def end_profiling(self) -> str:
        """Write a profile as ONNX Runtime does; see `test_placement.py` for a real one."""
        nodes = [{"op_name": name, "provider": on} for name, on in self.module.products]
        path = Path(f"{self.options.profile_file_prefix}.json")
        path.write_text(json.dumps([{"cat": "Node", "args": node} for node in nodes]))
        return str(path)


@pytest.fixture
def pretend(monkeypatch):
    def install(listed: list[str], running: list[str], **failing: Any) -> FakeOnnxRuntime:
        module = FakeOnnxRuntime(listed, running, **failing)
        monkeypatch.setitem(sys.modules, "onnxruntime", module)
        return module

    return install


EVERY = ["TensorrtExecutionProvider", CUDA, CPU]
IEEE, TF32 = ([(CUDA, {"use_tf32": value}), CPU] for value in "01")
NO_DEVICE = (
    "/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_call.cc:121 bool CudaCall() CUDA failure"
    " 100: no CUDA-capable device is detected ; GPU=-1 ; hostname=node ; expr=cudaSetDevice(0);"
)
DROPPED = "device auto: TF32 is of CUDA: the CPU computes float32 in IEEE float32"
NO_KERNEL = "[ONNXRuntimeError] : 1 : FAIL : CUDA error cudaErrorNoKernelImageForDevice:209"


def open_onnx(graph: Path, device: str, *, tf32: bool = False) -> OnnxSession:
    session = open_session(graph, backend="onnxruntime", device=device, threads=1, tf32=tf32)
    assert isinstance(session, OnnxSession)
    return session


@pytest.mark.parametrize("tf32", [False, True])
@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_float32_on_cuda_is_ieee_unless_tf32_is_asked_for(pretend, graph, device, tf32):
    module = pretend(EVERY, [CUDA, CPU])
    session = open_onnx(graph, device, tf32=tf32)
    assert [s.asked for s in module.sessions] == [TF32 if tf32 else IEEE]
    assert module.sessions[0].fallback == 0
    assert (session.provider, session.on_gpu, session.tf32) == (CUDA, True, tf32)


def test_a_cpu_is_asked_for_alone_and_loads_nothing_of_cuda(pretend, graph):
    module = pretend(EVERY, [CUDA, CPU])
    session = open_onnx(graph, "cpu")
    assert [s.asked for s in module.sessions] == [[CPU]]
    assert (session.provider, session.on_gpu, session.tf32) == (CPU, False, False)
    assert "preload" not in module.events


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_cudas_libraries_are_loaded_before_providers_are_listed(pretend, graph, device, capfd):
    module = pretend(EVERY, [CUDA, CPU])
    open_onnx(graph, device)
    assert module.events[0] == "preload"
    assert module.events[-3:] == ["log 4", "open 2", "log 2"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("running", "failing", "reason"),
    [
        (
            [CPU],
            {},
            r"CUDA and cuDNN did not load \(Failed to load libcudart\.so\.13: no such file\)",
        ),
        ([CUDA, CPU], {"opening": NO_DEVICE}, "cannot load it: CUDA failure 100: no CUDA-capable"),
        ([CUDA, CPU], {"computing": NO_KERNEL}, "failed on CUDA.* 1 rows of 1 tokens: .*NoKernel"),
    ],
)
def test_auto_says_in_one_line_why_it_goes_on_with_the_cpu(
    pretend, graph, running, failing, reason, caplog, capfd
):
    pretend(EVERY, running, **failing)
    session = open_onnx(graph, "auto", tf32=True)
    assert (session.provider, session.on_gpu, session.tf32) == (CPU, False, False)
    told, dropped = caplog.messages
    assert dropped == DROPPED
    assert re.match(f"device auto: going on with the CPU: .*{reason}", told)
    assert "\n" not in told
    assert "hostname" not in told
    assert capfd.readouterr() == ("", "")


def test_auto_without_cuda_on_offer_has_nothing_to_say(pretend, graph, caplog):
    pretend([CPU], [CPU])
    assert open_onnx(graph, "auto").provider == CPU
    assert caplog.messages == []
    assert not open_onnx(graph, "auto", tf32=True).tf32
    assert caplog.messages == [DROPPED]


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_tf32_is_refused_on_a_card_without_it(pretend, graph, device, monkeypatch):
    pretend(EVERY, [CUDA, CPU])
    monkeypatch.setattr(sessions, "compute_capability", lambda: (7, 5))
    assert open_onnx(graph, device).on_gpu
    with pytest.raises(UsageError, match=r"tf32 needs compute capability 8\.0 .* GPU has 7\.5"):
        open_onnx(graph, device, tf32=True)


@pytest.mark.parametrize(
    ("capability", "said"),
    [(None, ["TF32 asked for: cards below compute capability 8.0 do not have it"]), ((8, 0), [])],
)
def test_what_is_not_known_of_a_card_is_said(pretend, graph, capability, said, monkeypatch, caplog):
    pretend(EVERY, [CUDA, CPU])
    monkeypatch.setattr(sessions, "compute_capability", lambda: capability)
    assert open_onnx(graph, "cuda", tf32=True).tf32
    assert caplog.messages == said


def test_auto_goes_on_where_there_is_no_place_for_a_profile(pretend, graph, caplog, monkeypatch):
    def full(prefix: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/tmp/genoslim-1")

    pretend(EVERY, [CUDA, CPU])
    monkeypatch.setattr(placement, "TemporaryDirectory", full)
    assert open_onnx(graph, "auto").provider == CPU
    assert caplog.messages == [
        "device auto: going on with the CPU: no place for a session's profile: /tmp/genoslim-1: No"
        " space left on device"
    ]


def test_a_device_by_name_that_does_not_load_is_refused(pretend, graph):
    pretend(EVERY, [CPU])
    with pytest.raises(GenoslimError, match=r"device cuda: CUDA and cuDNN did not load \(Failed"):
        open_onnx(graph, "cuda")
    pretend(EVERY, [CUDA, CPU], opening=NO_DEVICE)
    with pytest.raises(GenoslimError, match="cannot load it: CUDA failure 100: no CUDA-capable"):
        open_onnx(graph, "cuda")
    pretend([CPU], [CPU])
    with pytest.raises(GenoslimError, match=r"offers CPUExecutionProvider; pip uninstall onnxrunt"):
        open_onnx(graph, "cuda")


INT8 = [("MatMul", CUDA), *3 * [("MatMulInteger", CPU)], ("Gather", CPU)]
FALLEN = r"no kernel on CUDA for 3 of 4 \(MatMulInteger\) of its products, .* is for --device cpu"


def test_products_that_cuda_leaves_to_the_cpu_are_refused_by_name(pretend, graph):
    pretend(EVERY, [CUDA, CPU], products=INT8)
    with pytest.raises(GenoslimError, match=FALLEN):
        open_onnx(graph, "cuda")


def test_with_such_products_auto_goes_on_with_the_cpu(pretend, graph, caplog):
    pretend(EVERY, [CUDA, CPU], products=INT8)
    assert open_onnx(graph, "auto").provider == CPU
    (told,) = caplog.messages
    assert re.match(f"device auto: going on with the CPU: .*{FALLEN}", told)


def test_a_batch_that_fails_is_told_with_its_shape(pretend, graph, batch):
    module = pretend(EVERY, [CUDA, CPU])
    session = open_onnx(graph, "cuda")
    module.computing = "Failed to allocate memory\nfor requested buffer"
    with pytest.raises(GenoslimError, match=r"with 5 rows of 9 tokens: Failed to allocate memory$"):
        session.run(*batch)


def test_a_gpu_gets_its_batches_bound(pretend, graph, batch):
    module = pretend(EVERY, [CUDA, CPU])
    found = OnnxSession(graph, device="cuda", threads=1).run(*batch)
    inputs = [("input_ids", "cpu"), ("attention_mask", "cpu")]
    assert module.sessions[0].bound == 2 * [*inputs, ("logits", "cuda"), "run"]  # one token first
    assert found.dtype == np.float32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "tensorrt"}, "device is 'tensorrt'; expected auto, cpu or cuda"),
        ({"backend": "auto"}, "backend is 'auto'; expected onnxruntime or openvino"),
        ({"backend": "openvino", "device": "cuda"}, "runs on the CPU, not on cuda"),
        ({"tf32": True}, "tf32 is of CUDA: it needs --device cuda"),
        ({"tf32": True, "backend": "openvino", "device": "auto"}, "tf32 is of CUDA: it needs"),
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
