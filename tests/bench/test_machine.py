from __future__ import annotations

from pathlib import Path

import pytest

from genoslim.bench.environment import describe_environment, processor_features
from genoslim.bench.memory import available_memory, memory_use, parse_status
from genoslim.codec import plain

CPUINFO = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nflags\t\t: fpu avx2 fma sse\n"
STATUS = "Name:\tx\nVmPeak:\t  9999 kB\nVmHWM:\t   2048 kB\nVmRSS:\t   1024 kB\n"


def test_the_environment_is_described() -> None:
    found = describe_environment()
    assert found.cores >= 1
    assert found.processor
    assert "torch" in found.versions
    assert "CPUExecutionProvider" in found.providers
    assert set(found.providers) <= set(found.providers_listed)
    assert plain(found)["genoslim"] == found.genoslim


def test_the_processor_is_read_from_the_kernel() -> None:
    assert processor_features(CPUINFO) == ("avx2", "fma")
    assert processor_features("Features\t: fp asimd\n") == ("asimd",)


def test_memory_is_read_from_the_kernel() -> None:
    found = parse_status(STATUS)
    assert (found.resident, found.peak, found.source) == (1024**2, 2 * 1024**2, "VmHWM")
    with pytest.raises(KeyError):
        parse_status("VmRSS:\t 3 kB\n")


def test_free_memory_is_read_from_the_kernel(tmp_path: Path) -> None:
    told = tmp_path / "proc" / "meminfo"
    told.parent.mkdir()
    told.write_text("MemTotal:  9 kB\nMemFree:  1 kB\nMemAvailable:   2048 kB\n")
    assert available_memory(tmp_path) == 2 * 1024**2
    told.write_text("MemTotal:  9 kB\n")
    assert available_memory(tmp_path) is None
    assert available_memory(tmp_path / "absent") is None


def test_free_memory_is_what_the_control_groups_leave(tmp_path: Path) -> None:
    def write(path: str, text: str) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    write("proc/meminfo", "MemAvailable:   2048 kB\n")
    write("proc/self/cgroup", "3:cpu,cpuacct:/job\n2:memory:/job\n0::/job/step\n")
    write("sys/fs/cgroup/job/step/memory.max", "max\n")
    write("sys/fs/cgroup/job/step/memory.current", "700\n")
    assert available_memory(tmp_path) == 2 * 1024**2
    write("sys/fs/cgroup/job/memory.max", "5000\n")
    write("sys/fs/cgroup/job/memory.current", "3000\n")
    assert available_memory(tmp_path) == 2000
    write("sys/fs/cgroup/job/memory.stat", "anon 2600\ninactive_file 400\n")
    assert available_memory(tmp_path) == 2400
    write("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "1500\n")
    write("sys/fs/cgroup/memory/job/memory.usage_in_bytes", "1600\n")
    assert available_memory(tmp_path) == 0


def test_memory_grows_with_what_is_held() -> None:
    before = memory_use()
    held = bytearray(64 * 1024**2)
    held[::4096] = b"x" * len(held[::4096])
    after = memory_use()
    assert after.peak >= before.peak
    assert after.peak >= len(held)


def test_without_proc_there_is_still_a_peak(tmp_path: Path) -> None:
    found = memory_use(tmp_path / "absent")
    assert (found.resident, found.source) == (None, "ru_maxrss")
    assert found.peak > 1024**2
