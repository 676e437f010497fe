"""ONNX Runtime as it is installed: imported, with CUDA's libraries loaded where they are wanted.

Needs no torch.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from ..errors import needs_extra

__all__ = ["CPU", "CUDA", "import_onnxruntime", "load_cuda", "quiet", "reason_of"]

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"

_FATAL, _WARNING = 4, 2  # severities of its log; the second is the default
_OF_CUDA = re.compile(r"CU\w+ failure \d+: [^;\n]*[^;\s]")


def import_onnxruntime() -> Any:
    """Import ONNX Runtime; GenoslimError if it is not installed."""
    try:
        import onnxruntime
    except ImportError:
        raise needs_extra("running a bundle on this backend", "onnxruntime", "cpu") from None
    return onnxruntime


def load_cuda(onnxruntime: Any) -> str:
    """Load the CUDA and cuDNN libraries that pip installed; return what is missing, "" for nothing.

    Without this only those that the system's loader knows are found. To be called before providers
    are listed, in every process. What is missing would be printed, into whatever stdout is.
    """
    with redirect_stdout(io.StringIO()) as said:
        onnxruntime.preload_dlls()
    return next(iter(said.getvalue().splitlines()), "")


@contextmanager
def quiet(onnxruntime: Any) -> Iterator[None]:
    """Keep its log of providers that do not load off stderr: the caller tells it in one line."""
    onnxruntime.set_default_logger_severity(_FATAL)
    try:
        yield
    finally:
        onnxruntime.set_default_logger_severity(_WARNING)


def reason_of(error: Exception) -> str:
    """Return the line of an error of ONNX Runtime that says what is wrong."""
    text = str(error).strip()
    found = _OF_CUDA.search(text)
    return found[0] if found else (text.splitlines() or [type(error).__name__])[0]
