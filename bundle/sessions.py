"""What a graph runs on: ONNX Runtime or OpenVINO, alike from outside. Needs no torch.

Both compute float32 graphs in IEEE float32, unless TF32 is asked for by name. Neither quietly takes
another device than was asked for.
"""

from __future__ import annotations

import ctypes
import logging
import sys
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

import numpy as np

from ..errors import GenoslimError, UsageError, install_hint, needs_extra
from ..models.precision import require_tf32
from .cuda_driver import compute_capability
from .onnx_runtime import CPU, CUDA, import_onnxruntime, load_cuda, quiet, reason_of
from .placement import products_on_cpu, profiled, profiling

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

_LOG = logging.getLogger(__name__)

ChosenBackend = Literal["onnxruntime", "openvino"]
Backend = Literal["auto"] | ChosenBackend
Device = Literal["auto", "cpu", "cuda"]

BACKENDS: tuple[ChosenBackend, ChosenBackend] = ("onnxruntime", "openvino")

_INPUTS, _OUTPUT = ("input_ids", "attention_mask"), "logits"
_ONE_TOKEN = np.zeros((1, 1), np.int64), np.ones((1, 1), np.int64)
_HOW_TO = (
    f"pip uninstall onnxruntime, then {install_hint('gpu')}, which brings both, or choose"
    " --device cpu"
)
_M_MMAP_THRESHOLD = -3  # of glibc's malloc.h


class Session(Protocol):
    """A loaded graph. `provider` is what it runs on, in the backend's own words.

    `tf32` says whether the factors of float32 products are rounded to 10 bits of mantissa.
    """

    backend: str
    provider: str
    on_gpu: bool
    tf32: bool
    num_labels: int

    def run(self, input_ids: Ids, attention_mask: Ids) -> Logits:
        """Return logits [B, labels] of one padded batch: ids and mask, both int64 [B, T]."""


def open_session(
    graph: Path, *, backend: str, device: str, threads: int, tf32: bool = False
) -> Session:
    """Load `graph`; UsageError for what does not exist or go together, GenoslimError if it fails.

    `device` auto is CUDA where that loads and computes, else the CPU, with a warning if CUDA was
    offered. OpenVINO runs on the CPU. With `tf32` the factors of float32 products on CUDA are
    rounded to 10 bits of mantissa: UsageError where the card has no units for that.
    """
    if device not in get_args(Device):
        raise UsageError(f"device is {device!r}; expected auto, cpu or cuda")
    if backend not in BACKENDS:
        raise UsageError(f"backend is {backend!r}; expected {' or '.join(BACKENDS)}")
    if backend == "openvino" and device == "cuda":
        raise UsageError("backend openvino runs on the CPU, not on cuda; drop one of the two")
    if tf32 and (backend == "openvino" or device == "cpu"):
        raise UsageError("tf32 is of CUDA: it needs --device cuda and --backend onnxruntime")
    if tf32 and (found := compute_capability()) is not None:
        require_tf32(found)
    _give_back_memory()
    if backend == "openvino":
        return OpenVinoSession(graph, threads=threads)
    if device == "auto":
        return _best_session(graph, threads=threads, tf32=tf32)
    return OnnxSession(graph, device=device, threads=threads, tf32=tf32)


def _best_session(graph: Path, *, threads: int, tf32: bool) -> OnnxSession:
    """Open a session on CUDA if one can compute there, else on the CPU."""
    onnxruntime = import_onnxruntime()
    load_cuda(onnxruntime)
    if CUDA in onnxruntime.get_available_providers():
        try:
            return OnnxSession(graph, device="cuda", threads=threads, tf32=tf32)
        except GenoslimError as error:
            _LOG.warning("device auto: going on with the CPU: %s", error)
    if tf32:
        _LOG.warning("device auto: TF32 is of CUDA: the CPU computes float32 in IEEE float32")
    return OnnxSession(graph, device="cpu", threads=threads)


class OnnxSession:
    """A session of ONNX Runtime on `device`, cpu or cuda; GenoslimError where that does not load.

    On CUDA one token is run, and GenoslimError is raised if that fails or if a matrix product then
    runs on the CPU. `tf32` says whether float32 products are computed in TF32, by default they are
    not.
    """

    backend = "onnxruntime"

    def __init__(self, graph: Path, *, device: str, threads: int, tf32: bool = False) -> None:
        onnxruntime = import_onnxruntime()
        missing = load_cuda(onnxruntime) if device == "cuda" else ""
        providers = _providers(device, onnxruntime.get_available_providers(), tf32=tf32)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._name = f"{graph}: onnxruntime {onnxruntime.__version__}"
        with profiling(options) if device == "cuda" else nullcontext():
            self._session = self._opened(onnxruntime, graph, options, providers)
            self.provider: str = self._session.get_providers()[0]
            self.on_gpu: bool = self.provider == CUDA
            if device == "cuda":
                self._require_gpu(missing)
        self.tf32: bool = tf32
        if tf32 and compute_capability() is None:
            _LOG.warning("TF32 asked for: cards below compute capability 8.0 do not have it")
        self.num_labels: int = self._session.get_outputs()[0].shape[1]

    def _opened(self, onnxruntime: Any, graph: Path, options: Any, providers: list[Any]) -> Any:
        try:  # its own fall-back would go on with other providers, in the middle of a run too
            with quiet(onnxruntime):
                return onnxruntime.InferenceSession(
                    str(graph), options, providers=providers, enable_fallback=0
                )
        except Exception as error:  # onnxruntime has no public base class of its errors
            raise GenoslimError(f"{self._name} cannot load it: {reason_of(error)}") from error

    def _require_gpu(self, missing: str) -> None:
        """Raise GenoslimError unless CUDA loaded, computes, and computes all that takes time."""
        if not self.on_gpu:
            why = missing or f"it runs on {self.provider} alone"
            raise GenoslimError(f"device cuda: CUDA and cuDNN did not load ({why}); {_HOW_TO}")
        self.run(*_ONE_TOKEN)  # a card may be too old or too new for its kernels
        if fallen := products_on_cpu(profiled(self._session)):
            raise GenoslimError(
                f"{self._name} has no kernel on CUDA for {fallen} of its products, which would go"
                " to the CPU one by one: an int8 bundle is for --device cpu, for a GPU export it"
                " with --precision fp16"
            )

    def run(self, input_ids: Ids, attention_mask: Ids) -> Logits:
        """Return logits [B, labels] of one padded batch; GenoslimError if they cannot be had."""
        feeds = dict(zip(_INPUTS, (input_ids, attention_mask), strict=True))
        try:
            found = self.run_bound(feeds) if self.on_gpu else self._run(feeds)
        except Exception as error:
            shape = "{} rows of {} tokens".format(*input_ids.shape)
            raise GenoslimError(
                f"{self._name} failed on {self.provider} with {shape}: {reason_of(error)}"
            ) from error
        return found.astype(np.float32, copy=False)

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
    tf32 = False

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
            version = f"openvino {openvino.__version__}"
            raise GenoslimError(f"{graph}: {version} cannot load it: {reason_of(error)}") from error
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
    try:
        import openvino
    except ImportError:
        raise needs_extra("running a bundle on this backend", "openvino", "openvino") from None
    return openvino


def _providers(
    device: str, listed: list[str], *, tf32: bool
) -> list[str | tuple[str, dict[str, str]]]:
    """Return what to ask a session for: `device`, and after it what may take over single nodes."""
    if device == "cpu":
        return [CPU]
    if CUDA not in listed:
        raise GenoslimError(f"device cuda: this onnxruntime offers {', '.join(listed)}; {_HOW_TO}")
    return [(CUDA, {"use_tf32": str(int(tf32))}), CPU]  # where it is not said, it is 1
