"""Energy counters, on files as the kernel shows them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from genoslim.bench.energy import open_counters


@pytest.fixture
def powercap(tmp_path: Path) -> Callable[..., Path]:
    """Write a zone: its name, counter and range in microjoules; returns the zone's folder."""

    def zone(folder: str, name: str, energy: int, most: int = 262_143_328_850) -> Path:
        place = tmp_path / folder
        place.mkdir()
        (place / "name").write_text(f"{name}\n")
        (place / "max_energy_range_uj").write_text(f"{most}\n")
        (place / "energy_uj").write_text(f"{energy}\n")
        return place

    return zone


def test_packages_are_added_up_and_their_parts_are_not(
    powercap: Callable[..., Path], tmp_path: Path
) -> None:
    packages = [powercap(f"intel-rapl:{n}", f"package-{n}", 5_000_000) for n in (0, 1)]
    powercap("intel-rapl:0:0", "core", 1)
    powercap("intel-rapl:2", "psys", 1)
    (tmp_path / "intel-rapl").mkdir()
    counters = open_counters(gpu=False, powercap=tmp_path)
    assert [one.name for one in counters.found] == ["RAPL package-0", "RAPL package-1"]
    assert counters.absent == ""
    with counters.metered() as energy:
        for package, added in zip(packages, (2_000_000, 500_000), strict=True):
            (package / "energy_uj").write_text(f"{5_000_000 + added}\n")
    assert energy.joules == 2.5


def test_a_counter_that_starts_anew_goes_on_from_its_range(
    powercap: Callable[..., Path], tmp_path: Path
) -> None:
    package = powercap("intel-rapl:0", "package-0", 9_000_000, most=10_000_000)
    with open_counters(gpu=False, powercap=tmp_path).metered() as energy:
        (package / "energy_uj").write_text("1500000\n")
    assert energy.joules == 2.5


def test_why_there_is_no_energy_is_said(powercap: Callable[..., Path], tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    found = open_counters(gpu=False, powercap=absent)
    assert found.found == ()
    assert found.absent == f"the processor tells no energy: no intel-rapl in {absent}"
    zone = powercap("intel-rapl:0", "package-0", 1)
    (zone / "energy_uj").unlink()
    (zone / "energy_uj").symlink_to("energy_uj")  # even root cannot read it
    told = open_counters(gpu=False, powercap=tmp_path).absent
    assert told.startswith(f"the processor's energy cannot be read: {zone / 'energy_uj'}: ")


def test_a_model_on_a_gpu_has_no_energy_without_the_gpu_s(
    powercap: Callable[..., Path], tmp_path: Path
) -> None:
    powercap("intel-rapl:0", "package-0", 1)
    found = open_counters(gpu=True, powercap=tmp_path)
    names = [one.name for one in found.found]
    assert (names == []) == bool(found.absent)
    assert not names or names[-1].startswith("NVML ")
