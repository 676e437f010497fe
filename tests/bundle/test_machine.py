from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import loky
import pytest

from genoslim.bundle import machine
from genoslim.bundle.machine import available_threads, cpu_quota, processor_name, usable_cores

CPUINFO = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nflags\t\t: fpu avx2\n"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5),
        (  # the smallest on the way up counts
            {
                "proc/self/cgroup": "0::/slurm/job/step\n",
                "sys/fs/cgroup/slurm/cpu.max": "800000 100000\n",
                "sys/fs/cgroup/slurm/job/cpu.max": "300000 100000\n",
                "sys/fs/cgroup/slurm/job/step/cpu.max": "max 100000\n",
            },
            3.0,
        ),
        (  # version 1, seen from inside: the path is that of the host
            {
                "proc/self/cgroup": "9:cpu,cpuacct:/docker/abc\n3:cpuset:/docker/abc\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "200000\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
                "sys/fs/cgroup/cpuset/cpu.cfs_quota_us": "1\n",
                "sys/fs/cgroup/cpuset/cpu.cfs_period_us": "100000\n",
            },
            2.0,
        ),
        (
            {
                "proc/self/cgroup": "1:cpu:/\n0::/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "what\n"}, None),
    ],
)
def test_the_quota_is_that_of_the_control_groups(
    files: dict[str, str], expected: float | None, tmp_path: Path
) -> None:
    assert cpu_quota(write(tmp_path, files)) == expected


def test_threads_are_those_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loky, "cpu_count", lambda: 3)
    monkeypatch.setattr(machine, "cpu_quota", lambda: None)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert available_threads() == 3
    for wanted, expected in (("2", 2), ("64", 3), ("nonsense", 3), ("0", 1)):
        monkeypatch.setenv("OMP_NUM_THREADS", wanted)
        assert available_threads() == expected


@pytest.mark.parametrize(("quota", "expected"), [(0.2, 1), (1.5, 2), (2.0, 2), (64.0, 3)])
def test_threads_keep_the_quota(
    quota: float, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loky, "cpu_count", lambda: 3)
    monkeypatch.setattr(machine, "cpu_quota", lambda: quota)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert available_threads() == expected


def test_cores_are_those_of_the_cpu_set_and_of_loky(monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import os; from genoslim.bundle.machine import usable_cores as cores\n"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); print(cores())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
    assert usable_cores() <= loky.cpu_count()
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    assert usable_cores() == 1


def test_the_processor_has_a_name() -> None:
    assert processor_name(CPUINFO) == "Some CPU @ 2 GHz"
    assert processor_name()
