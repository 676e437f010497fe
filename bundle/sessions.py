"""What a graph runs on: ONNX Runtime or OpenVINO, alike from outside. Needs no torch.

Both compute float32 graphs in float32. Neither quietly takes another device than was asked for.
"""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

import numpy as np

from ..errors import GenoslimError, UsageError, install_hint, needs_extra

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]
    Logits = NDArray[np.float32]

__all__ = [
    "BACKENDS",
    "Backend",
    "ChosenBackend",
    "Device",
    "OnnxSession",
    "OpenVinoSession",
    "Session",
    "import_openvino",
    "open_session",
]

ChosenBackend = Literal["onnxruntime", "openvino"]
Backend = Literal["auto"] | ChosenBackend
Device = Literal["auto", "cpu", "cuda"]

BACKENDS: tuple[ChosenBackend, ChosenBackend] = ("onnxruntime", "openvino")

_INPUTS, _OUTPUT = ("input_ids", "attention_mask"), "logits"
_CUDA, _CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
_PROVIDERS = {"cpu": [_CPU], "cuda": [_CUDA, _CPU]}
_M_MMAP_THRESHOLD = -3  # of glibc's malloc.h


class Session(Protocol):
    """A loaded graph. `provider` is what it runs on, in the backend's own words."""

    backend: str
    provider: str
    on_gpu: bool
    num_labels: int

    def run(self, input_ids: Ids, attention_mask: Ids) -> Logits:
        """Return logits [B, labels] of one padded batch: ids and mask, both int64 [B, T]."""


def open_session(graph: Path, *, backend: str, device: str, threads: int) -> Session:
    """Load `graph`; UsageError for what does not exist or go together, GenoslimError if it fails.

    `device` auto is CUDA where that loads, else the CPU. OpenVINO runs on the CPU.
    """
    if device not in get_args(Device):
        raise UsageError(f"device is {device!r}; expected auto, cpu or cuda")
    _give_back_memory()
    if backend == "onnxruntime":
        return OnnxSession(graph, device=device, threads=threads)
    if backend != "openvino":
        raise UsageError(f"backend is {backend!r}; expected {' or '.join(BACKENDS)}")
    if device not in ("auto", "cpu"):
        raise UsageError(f"backend openvino runs on the CPU, not on {device}; drop one of the two")
    return OpenVinoSession(graph, threads=threads)


class OnnxSession:
    """A session of ONNX Runtime."""

    backend = "onnxruntime"

    def __init__(self, graph: Path, *, device: str, threads: int) -> None:
        onnxruntime = _import("onnxruntime", "cpu")
        providers = _providers(device, onnxruntime.get_available_providers())
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:  # its own fall-back would go on with other providers, in the middle of a run too
            self._session = onnxruntime.InferenceSession(
                str(graph), options, providers=providers, enable_fallback=0
            )
        except Exception as error:  # onnxruntime has no public base class of its errors
            raise _unloadable(graph, onnxruntime, error) from error
        self.provider: str = self._session.get_providers()[0]
        if device != "auto" and self.provider != providers[0]:
            raise GenoslimError(
                f"device {device}: the session runs on {self.provider}: CUDA and cuDNN did not"
                " load; install them, or choose --device cpu"
            )
        self.on_gpu: bool = self.provider != _CPU
        self.num_labels: int = self._session.get_outputs()[0].shape[1]

    def run(self, input_ids: Ids, attention_mask: Ids) -> Logits:
        """Return logits [B, labels] of one padded batch."""
        feeds = dict(zip(_INPUTS, (input_ids, attention_mask), strict=True))
        run = self.run_bound if self.on_gpu else self._run
        return run(feeds).astype(np.float32, copy=False)

    def run_bound(self, feeds: dict[str, Ids]) -> NDArray[Any]:
        """Run with the output bound to the device: one copy there, one back, none between."""
        binding = self._session.io_binding()
        for name, value in feeds.items():
            binding.bind_cpu_input(name, np.ascontiguousarray(value))
        binding.bind_output(_OUTPUT, "cuda" if self.on_gpu else "cpu")
        self._session.run_with_iobinding(binding)
        found: NDArray[Any] = binding.copy_outputs_to_cpu()[0]
        return found

    def _run(self, feeds: dict[str, Ids]) -> NDArray[Any]:
        found: NDArray[Any] = self._session.run([_OUTPUT], feeds)[0]
        return found


class OpenVinoSession:
    """A graph compiled by OpenVINO for the CPU."""

    backend = "openvino"
    on_gpu = False

    def __init__(self, graph: Path, *, threads: int) -> None:
        openvino = import_openvino()
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",  # by default bf16 where the processor has it
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,  # only a part of the machine may be ours
        }
        try:
            compiled = openvino.Core().compile_model(str(graph), "CPU", settings)
        except RuntimeError as error:
            raise _unloadable(graph, openvino, error) from error
        self._request = compiled.create_infer_request()
        self.provider: str = ", ".join(compiled.get_property("EXECUTION_DEVICES"))
        self.num_labels: int = compiled.outputs[0].partial_shape[1].get_length()

    def run(self, input_ids: Ids, attention_mask: Ids) -> Logits:
        """Return logits [B, labels] of one padded batch."""
        found = self._request.infer(
            dict(zip(_INPUTS, (input_ids, attention_mask), strict=True)),
            share_outputs=False,  # a copy: the next run writes into the same buffer
        )
        return np.asarray(found[0], np.float32)


def _give_back_memory() -> None:
    """Have blocks of 1 MiB and more go back to the system once they are freed (glibc only).

    By default glibc keeps ever larger ones for later, here the copies of the weights that loading
    made: with 12 layers of 768 a peak of 793 MB in place of 650 MB, and no time won by them.
    """
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 1 << 20)


def import_openvino() -> Any:
    """Import OpenVINO; GenoslimError if it is not installed.

    Importing it reports to a server of analytics, unless its package for that cannot be imported.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return _import("openvino", "openvino")


def _import(name: str, extra: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise needs_extra("running a bundle on this backend", name, extra) from None


def _providers(device: str, listed: list[str]) -> list[str]:
    """Return what to ask a session for: `device`, and after it what may take over single nodes."""
    if device == "auto":
        device = "cuda" if _CUDA in listed else "cpu"
    wanted = _PROVIDERS[device]
    if wanted[0] not in listed:
        raise GenoslimError(
            f"device {device}: this onnxruntime offers {', '.join(listed)}; CUDA needs"
            f" onnxruntime-gpu in place of onnxruntime: pip uninstall onnxruntime, then"
            f" {install_hint('gpu')}"
        )
    return wanted


def _unloadable(graph: Path, module: Any, error: Exception) -> GenoslimError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    version = f"{module.__name__} {module.__version__}"
    return GenoslimError(f"{graph}: {version} cannot load it: {reason}")
