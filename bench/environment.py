"""Where a benchmark ran: processor, memory, system, versions, and providers that really load."""

from __future__ import annotations

import logging
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from ..bundle.machine import cpuinfo_field, processor_name, usable_cores
from ..bundle.onnx_runtime import import_onnxruntime, load_cuda, quiet, reason_of
from ..bundle.versions import installed_versions
from ..errors import GenoslimError
from .gpus import Gpu, gpus

_LOG = logging.getLogger(__name__)

PACKAGES = (
    "numpy",
    "tokenizers",
    "pysam",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "torch",
    "transformers",
    "safetensors",
    "pyarrow",
)

_FEATURES = (
    "avx2",
    "fma",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "amx_bf16",
    "amx_int8",
    "asimd",
)

_IDENTITY = bytes.fromhex(
    "080812003a370a100a017812017922084964656e746974791201675a0f0a0178120a0a0808011204"
    "0a020801620f0a0179120a0a08080112040a02080142040a00100d"
)
"""An ONNX model of one Identity node (IR 8, opset 13), to see whether a provider loads."""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """What a figure depends on besides the model. `memory` is in bytes; unknowns are None.

    `cores` are those that this process may use, `gpus` those that CUDA shows it, and none where
    nvidia-ml-py is not installed or finds no driver. `providers` are ONNX Runtime's that a session
    came up on: the list of the library itself also names those that do not load.
    """

    processor: str
    features: tuple[str, ...]
    cores: int
    memory: int | None
    gpus: tuple[Gpu, ...]
    system: str
    python: str
    genoslim: str
    versions: dict[str, str]
    providers_listed: tuple[str, ...]
    providers: tuple[str, ...]


def describe_environment() -> Environment:
    """Look at this machine; imports ONNX Runtime if it is installed, and never torch."""
    listed, loading = _providers()
    cpuinfo = _read(Path("/proc/cpuinfo"))
    return Environment(
        processor=processor_name(),
        features=processor_features(cpuinfo),
        cores=usable_cores(),
        memory=_memory(),
        gpus=gpus(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=sys.version.split()[0],
        genoslim=__version__,
        versions=installed_versions(PACKAGES),
        providers_listed=listed,
        providers=loading,
    )


def processor_features(cpuinfo: str) -> tuple[str, ...]:
    """Return those of the processor's features that matrix products depend on."""
    flags = cpuinfo_field(cpuinfo, "flags") or cpuinfo_field(cpuinfo, "Features") or ""
    found = set(flags.split())
    return tuple(name for name in _FEATURES if name in found)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _providers() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the execution providers that ONNX Runtime lists, and those that load."""
    try:
        onnxruntime = import_onnxruntime()
    except GenoslimError:
        return (), ()
    load_cuda(onnxruntime)
    listed = tuple(onnxruntime.get_available_providers())
    with quiet(onnxruntime):
        return listed, tuple(name for name in listed if _loads(onnxruntime, name))


def _loads(onnxruntime: Any, provider: str) -> bool:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            _IDENTITY, options, providers=[provider], enable_fallback=0
        )
    except Exception as error:  # onnxruntime has no public base class of its errors
        _LOG.info("%s does not load: %s", provider, reason_of(error))
        return False
    return bool(session.get_providers()[0] == provider)
