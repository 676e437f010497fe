"""How much memory this process has held, as the operating system counts it.

On Linux the peak is `VmHWM` of /proc/self/status: it starts anew with each program, whereas
`ru_maxrss` can carry over what the parent held before it started the child. Elsewhere `ru_maxrss`.
"""

from __future__ import annotations

import re
import resource
import sys
from dataclasses import dataclass
from pathlib import Path

_STATUS = Path("/proc/self/status")
_MEMINFO = Path("/proc/meminfo")


@dataclass(frozen=True)
class MemoryUse:
    """Bytes resident now and at the peak of this process, and where the figures are from."""

    resident: int | None
    peak: int
    source: str


def memory_use(status: Path = _STATUS) -> MemoryUse:
    """Return what this process holds and has held at most."""
    try:
        return parse_status(status.read_text())
    except (OSError, KeyError):
        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        return MemoryUse(None, peak, "ru_maxrss")


def available_memory(meminfo: Path = _MEMINFO) -> int | None:
    """Return the bytes that can be had without swapping (MemAvailable), None where not told."""
    try:
        found = re.search(r"^MemAvailable:\s+(\d+) kB$", meminfo.read_text(), re.M)
    except OSError:
        return None
    return None if found is None else int(found[1]) * 1024


def parse_status(text: str) -> MemoryUse:
    """Read VmRSS and VmHWM (in kB) of /proc/PID/status; KeyError if they are not there."""
    found = {name: int(kilobytes) * 1024 for name, kilobytes in _FIELDS.findall(text)}
    return MemoryUse(found["VmRSS"], found["VmHWM"], "VmHWM")


_FIELDS = re.compile(r"^(VmRSS|VmHWM):\s+(\d+) kB$", re.M)
