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

from ..bundle.machine import control_groups

_ROOT = Path("/")
_STATUS = Path("/proc/self/status")


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


def available_memory(root: Path = _ROOT) -> int | None:
    """Return the bytes that can be had without swapping, None where that is not told.

    MemAvailable of the machine, or what the control groups of this process leave, if less.
    """
    machine = _field(root / "proc/meminfo", "MemAvailable:")
    known = [] if machine is None else [machine * 1024]
    groups = (_free_in(group) for group in control_groups("memory", root))
    return min([*known, *(free for free in groups if free is not None)], default=None)


def _free_in(group: Path) -> int | None:
    """Return what a control group (version 2 or 1) leaves; None without a limit.

    Pages of files that have not been read for a while count as held, and are given up on demand.
    """
    for limit, used, files in _GROUP_FILES:
        most, held = _field(group / limit), _field(group / used)
        if most is not None and held is not None:
            return max(0, most - held + (_field(group / "memory.stat", files) or 0))
    return None


def _field(path: Path, name: str = "") -> int | None:
    """Return the number after a name at the start of a line of a file, None if there is none."""
    try:
        found = re.search(rf"^{name}\s*(\d+)\b", path.read_text(), re.M)
    except OSError:
        return None
    return None if found is None else int(found[1])


def parse_status(text: str) -> MemoryUse:
    """Read VmRSS and VmHWM (in kB) of /proc/PID/status; KeyError if they are not there."""
    found = {name: int(kilobytes) * 1024 for name, kilobytes in _FIELDS.findall(text)}
    return MemoryUse(found["VmRSS"], found["VmHWM"], "VmHWM")


_GROUP_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
_FIELDS = re.compile(r"^(VmRSS|VmHWM):\s+(\d+) kB$", re.M)
