"""The GPUs of this process as NVIDIA's management library (NVML) tells them, without CUDA."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

__all__ = ["Gpu", "GpuEnergy", "free_gpu_memory", "gpu_energy", "gpu_memory", "gpus"]


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One card: its name, its memory in bytes (None if not told), the version of the driver."""

    name: str
    memory: int | None
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
                memory=_memory_of(nvml, card),
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
        try:
            held = [
                found.usedGpuMemory
                for card in _visible(nvml)
                for found in nvml.nvmlDeviceGetComputeRunningProcesses(card)
                if found.pid == pid and found.usedGpuMemory is not None
            ]
        except nvml.NVMLError:  # not told of shares of a card
            return None
    return sum(held) if held else None


def free_gpu_memory() -> int | None:
    """Return the bytes that are free on the first GPU that CUDA shows; None as in `gpu_energy`."""
    with _nvml() as nvml:
        card = None if nvml is None else next(_visible(nvml), None)
        if card is None or not _same_order(nvml):
            return None
        try:
            return int(nvml.nvmlDeviceGetMemoryInfo(card).free)
        except nvml.NVMLError:  # memory that the processor shares
            return None


@dataclass(frozen=True)
class GpuEnergy:
    """A card, and the millijoules it has used since its driver was loaded."""

    name: str
    millijoules: int


def gpu_energy() -> GpuEnergy | None:
    """Return the energy of the first GPU that CUDA shows; None where NVML does not tell it.

    Nor is it told where cards differ and it is not known which of them CUDA calls the first: the
    fastest, unless CUDA_DEVICE_ORDER or a UUID says otherwise, while NVML goes by the bus.
    """
    with _nvml() as nvml:
        card = None if nvml is None else next(_visible(nvml), None)
        if card is None or not _same_order(nvml):
            return None
        try:
            used = nvml.nvmlDeviceGetTotalEnergyConsumption(card)
        except nvml.NVMLError:  # cards before Volta do not count
            return None
        return GpuEnergy(nvml.nvmlDeviceGetName(card), int(used))


def _memory_of(nvml: Any, card: Any) -> int | None:
    try:
        return int(nvml.nvmlDeviceGetMemoryInfo(card).total)
    except nvml.NVMLError:  # memory that the processor shares
        return None


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


def _same_order(nvml: Any) -> bool:
    """Whether the cards that CUDA numbers are those that NVML numbers so."""
    if os.environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID":
        return True
    if "GPU-" in os.environ.get("CUDA_VISIBLE_DEVICES", ""):
        return True
    count = range(nvml.nvmlDeviceGetCount())
    return len({nvml.nvmlDeviceGetName(nvml.nvmlDeviceGetHandleByIndex(n)) for n in count}) == 1


def _visible(nvml: Any) -> Iterator[Any]:
    """Yield the handles of the cards that CUDA_VISIBLE_DEVICES, if it is set, leaves, in order.

    Like CUDA it ends at the first name that no card has, such as -1.
    """
    wanted = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = range(nvml.nvmlDeviceGetCount()) if wanted is None else wanted.split(",")
    for name in filter(None, (str(name).strip() for name in names)):
        by_index = name.isdecimal()
        find = nvml.nvmlDeviceGetHandleByIndex if by_index else nvml.nvmlDeviceGetHandleByUUID
        try:
            card = find(int(name) if by_index else name)
        except nvml.NVMLError:
            return
        yield card
