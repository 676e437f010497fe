"""Energy as the hardware counts it: RAPL of the processor, NVML of an NVIDIA GPU.

Counters are of the whole package or card: what else runs there, and its idling, is in them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from ..errors import GenoslimError
from .gpus import gpu_energy
from .latency import Range

POWERCAP = Path("/sys/class/powercap")
"""Where Linux shows the counters of Intel's and AMD's processors (powercap, intel-rapl)."""
WINDOWS = 1000

_PACKAGE = re.compile(r"intel-rapl:\d+")


class Counter(Protocol):
    """A counter of energy."""

    @property
    def name(self) -> str:
        """What it counts."""

    def read(self) -> int:
        """Return what it stands at, in its own unit."""

    def joules(self, before: int, after: int) -> float:
        """Return the energy between two readings."""


@dataclass(frozen=True)
class RaplPackage:
    """One processor package: `energy_uj` counts microjoules and starts anew past its range."""

    folder: Path
    name: str
    range: int

    @classmethod
    def open(cls, folder: Path) -> RaplPackage:
        """Open a zone's folder; OSError if this user may not read its counter."""
        name = (folder / "name").read_text().strip()
        package = cls(folder, f"RAPL {name}", _number(folder / "max_energy_range_uj"))
        package.read()
        return package

    def read(self) -> int:
        """Return the counter, in microjoules."""
        return _number(self.folder / "energy_uj")

    def joules(self, before: int, after: int) -> float:
        """Return the energy between two readings, between which it started anew once at most."""
        return ((after - before) + (self.range if after < before else 0)) / 1e6


@dataclass(frozen=True)
class NvidiaGpu:
    """The GPU that a process uses first, by NVML, which counts millijoules."""

    name: str

    def read(self) -> int:
        """Return the counter, in millijoules; GenoslimError where it is told no longer."""
        found = gpu_energy()
        if found is None:
            raise GenoslimError(f"{self.name}: its energy is told no longer")
        return found.millijoules

    def joules(self, before: int, after: int) -> float:
        """Return the energy between two readings."""
        return (after - before) / 1e3


@dataclass(frozen=True)
class Counters:
    """The counters that can be read; `absent` says why there is none, or not the one wanted."""

    found: tuple[Counter, ...]
    absent: str

    def metered(self) -> Metered:
        """Return what meters its body: `with counters.metered() as energy: ...`."""
        return Metered(self.found)


class Metered:
    """The energy from entering to leaving, in joules."""

    def __init__(self, counters: Sequence[Counter]) -> None:
        self._counters = counters
        self._before: list[int] = []
        self.joules: float = 0.0

    def __enter__(self) -> Self:
        self._before = [counter.read() for counter in self._counters]
        return self

    def __exit__(self, *_: object) -> None:
        self.joules = sum(
            counter.joules(before, counter.read())
            for counter, before in zip(self._counters, self._before, strict=True)
        )


@dataclass(frozen=True, kw_only=True)
class Energy:
    """Joules for 1,000 windows, end to end, over rounds; `sources` are the counters."""

    joules: Range
    sources: tuple[str, ...]


_NO_GPU = (
    "NVML (nvidia-ml-py) cannot be asked, or cards differ and CUDA_DEVICE_ORDER is not PCI_BUS_ID"
)


def open_counters(*, gpu: bool, powercap: Path = POWERCAP) -> Counters:
    """Open the processor's counters, and with `gpu` the GPU's, without which there are none then.

    A figure of a model on a GPU that leaves the GPU out would say nothing.
    """
    packages, absent = _packages(powercap)
    if not gpu:
        return Counters(packages, absent)
    card = gpu_energy()
    if card is None:
        return Counters((), f"the GPU tells no energy: {_NO_GPU}")
    return Counters((*packages, NvidiaGpu(f"NVML {card.name}")), "")


def _packages(powercap: Path) -> tuple[tuple[Counter, ...], str]:
    """Return the processor's packages, and why there are none."""
    zones = sorted(powercap.iterdir()) if powercap.is_dir() else []
    folders = [zone for zone in zones if _PACKAGE.fullmatch(zone.name)]
    if not folders:
        return (), f"the processor tells no energy: no intel-rapl in {powercap}"
    try:
        opened = [RaplPackage.open(folder) for folder in folders]
    except OSError as error:
        return (), f"the processor's energy cannot be read: {error.filename}: {error.strerror}"
    packages = tuple(one for one in opened if one.name.startswith("RAPL package"))
    return packages, "" if packages else f"no processor package among the zones in {powercap}"


def _number(path: Path) -> int:
    return int(path.read_text())
