"""The processor that this process runs on, and how much of it the process may use."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from ..errors import UsageError

__all__ = [
    "available_threads",
    "control_groups",
    "cpu_quota",
    "cpuinfo_field",
    "processor_name",
    "usable_cores",
]

_ROOT = Path("/")


def available_threads(wanted: int | None = None) -> int:
    """Return how many threads to use: as `wanted` (UsageError below 1).

    By default `usable_cores`, and OMP_NUM_THREADS if that is less.
    """
    if wanted is not None:
        if wanted < 1:
            raise UsageError(f"threads is {wanted}; expected at least 1")
        return wanted
    allowed = usable_cores()
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(allowed, int(limit))) if limit.isdecimal() else allowed


def usable_cores() -> int:
    """Return how many cores this process may keep busy, at least 1.

    What `loky.cpu_count` says (the CPU set, a container's quota, LOKY_MAX_CPU_COUNT), and the quota
    of the process's own control group if less: loky looks at the topmost group alone, and a job of
    Slurm, a login node's user slice or `systemd-run -p CPUQuota=` has its limit further down.
    """
    from loky import cpu_count

    allowed: int = cpu_count()
    quota = cpu_quota()
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def cpu_quota(root: Path = _ROOT) -> float | None:
    """Return how many cores' time the control groups of this process grant, None for no limit.

    The smallest limit from the process's own group up, under `root`, of version 2 (`cpu.max`) and
    version 1 (`cpu.cfs_quota_us` over `cpu.cfs_period_us`) alike.
    """
    limits = [
        limit for group in control_groups("cpu", root) if (limit := _limit(group)) is not None
    ]
    return min(limits, default=None)


def control_groups(controller: str, root: Path = _ROOT) -> Iterator[Path]:
    """Yield the folders of this process's groups that may limit `cpu` or `memory`, and all above.

    A container may see the path of its group from outside, where only the top exists inside.
    """
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / controllers
        group = top / path.lstrip("/")
        yield group
        yield from (folder for folder in group.parents if folder.is_relative_to(top))


def _limit(group: Path) -> float | None:
    """Return the limit of one group in cores; None if it has none, or none that can be read."""
    fields = _read(group / "cpu.max").split() or [
        *_read(group / "cpu.cfs_quota_us").split(),
        *_read(group / "cpu.cfs_period_us").split(),
    ]
    if len(fields) != 2 or not all(map(str.isdecimal, fields)) or not int(fields[1]):
        return None  # "max" and -1 are no limits
    return int(fields[0]) / int(fields[1])


def processor_name(cpuinfo: str | None = None) -> str:
    """Return the model name in the text of /proc/cpuinfo, else what the system calls it."""
    text = _read(_ROOT / "proc/cpuinfo") if cpuinfo is None else cpuinfo
    return cpuinfo_field(text, "model name") or platform.processor() or platform.machine()


def cpuinfo_field(text: str, name: str) -> str | None:
    """Return the first value of a field in the text of /proc/cpuinfo, None if it has none."""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
