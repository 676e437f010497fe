"""The GPUs of this process as NVIDIA's management library (NVML) tells them, without CUDA."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

__all__ = ["Gpu", "GpuEnergy", "gpu_energy", "gpu_memory", "gpus"]


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One card: its name, its memory in bytes, and the version of the driver."""

    name: str
    memory: int
    driver: str


def gpus() -> tuple[Gpu, ...]:
    """Return the GPUs that CUDA shows this process; none where NVML cannot be asked.

    It is asked by nvidia-ml-py, which the extra `gpu` brings.
    """
    with _nvml() as nvml:
        if nvml is None:
            return ()
        driver = nvml.nvmlSystemGetDriverVersion()
        return tuple(
            Gpu(
                name=nvml.nvmlDeviceGetName(card),
                memory=int(nvml.nvmlDeviceGetMemoryInfo(card).total),
                driver=driver,
            )
            for card in _visible(nvml)
        )


def gpu_memory(process: int | None = None) -> int | None:
    """Return the bytes that a process, by default this one, holds on all GPUs together.

    Weights, work space and CUDA's own. None where NVML does not tell, as in some containers.
    """
    pid = process or os.getpid()
    with _nvml() as nvml:
        if nvml is None:
            return None
        held = [
            found.usedGpuMemory
            for card in _visible(nvml)
            for found in nvml.nvmlDeviceGetComputeRunningProcesses(card)
            if found.pid == pid and found.usedGpuMemory is not None
        ]
    return sum(held) if held else None


@dataclass(frozen=True)
class GpuEnergy:
    """A card, and the millijoules it has used since its driver was loaded."""

    name: str
    millijoules: int


def gpu_energy() -> GpuEnergy | None:
    """Return the energy of the first GPU that CUDA shows; None where NVML does not tell it."""
    with _nvml() as nvml:
        card = None if nvml is None else next(_visible(nvml), None)
        if card is None:
            return None
        try:
            used = nvml.nvmlDeviceGetTotalEnergyConsumption(card)
        except nvml.NVMLError:  # cards before Volta do not count
            return None
        return GpuEnergy(nvml.nvmlDeviceGetName(card), int(used))


@contextmanager
def _nvml() -> Iterator[Any]:
    """Yield the library, None without it or without a driver."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # NVML's errors have a class for each code, made at run time
        yield None
        return
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def _visible(nvml: Any) -> Iterator[Any]:
    """Yield the handles of the cards that CUDA_VISIBLE_DEVICES, if it is set, leaves, in order."""
    wanted = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = range(nvml.nvmlDeviceGetCount()) if wanted is None else wanted.split(",")
    for name in names:
        if str(name).strip().isdecimal():
            yield nvml.nvmlDeviceGetHandleByIndex(int(name))
        elif str(name).strip():
            yield nvml.nvmlDeviceGetHandleByUUID(str(name).strip())
