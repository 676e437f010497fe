"""What it ran on: the device, its driver, versions, and what is not installed."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import torch

from .context import Context
from .record import Row

PACKAGES = {
    "transformers": "transformers",
    "safetensors": "safetensors",
    "scikit-learn": "sklearn",
    "pyarrow": "pyarrow",
    "tokenizers": "tokenizers",
    "pysam": "pysam",
    "onnxruntime": "onnxruntime",
    "onnxruntime-gpu": "onnxruntime",
    "tensorrt": "tensorrt",
    "nvidia-ml-py": "pynvml",
}
"""Distributions that may be there, and the module that each brings."""

_QUERY = "name,driver_version,memory.total,power.limit,clocks.max.sm,clocks.sm,temperature.gpu"


def measure(context: Context) -> Iterator[Row]:
    """Yield one row of facts."""
    yield {
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "packages": {
            name: version
            for name, module in PACKAGES.items()
            if _there(module) and (version := _version(name))
        },
        "not_installed": [name for name, module in PACKAGES.items() if not _there(module)],
        "data": context.prepared.about,
    } | (_gpu(context) if context.cuda else {"device": "cpu"})


def _gpu(context: Context) -> Row:
    about = torch.cuda.get_device_properties(context.device)
    return {
        "device": about.name,
        "capability": f"{about.major}.{about.minor}",
        "memory_bytes": about.total_memory,
        "multiprocessors": about.multi_processor_count,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "bf16_units": torch.cuda.is_bf16_supported(including_emulation=False),
        "nvidia_smi": _nvidia_smi(),
    }


def _nvidia_smi() -> dict[str, str] | None:
    """Return what nvidia-smi says of the first GPU: None where there is no such program."""
    command = ["nvidia-smi", f"--query-gpu={_QUERY}", "--format=csv,noheader", "--id=0"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    values = [value.strip() for value in done.stdout.strip().split(",")]
    return dict(zip(_QUERY.split(","), values, strict=False))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ValueError:  # `--without` left None in its place
        return False


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
