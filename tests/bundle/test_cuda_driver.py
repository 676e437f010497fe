"""What is made of the answers of CUDA's driver."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

import pytest

from genoslim.bundle.cuda_driver import compute_capability

ATTRIBUTES = {75: 9, 76: 0}  # of cuda.h: major and minor of an H100


class Driver:
    """libcuda of a machine with some GPUs; it returns 0 where it did what it was asked for."""

    def __init__(self, gpus: int, attributes: Mapping[int, int] = ATTRIBUTES) -> None:
        self.gpus, self.attributes = gpus, attributes

    def cuInit(self, flags: int) -> int:  # noqa: N802
        return 0 if self.gpus else 100

    def cuDeviceGet(self, device: Any, place: int) -> int:  # noqa: N802
        device._obj.value = place
        return 0

    def cuDeviceGetAttribute(self, found: Any, attribute: int, device: Any) -> int:  # noqa: N802
        if device.value != 0 or attribute not in self.attributes:
            return 1
        found._obj.value = self.attributes[attribute]
        return 0


@pytest.mark.parametrize(
    ("driver", "found"), [(Driver(1), (9, 0)), (Driver(0), None), (Driver(1, {}), None)]
)
def test_the_first_gpus_compute_capability(
    driver: Driver, found: tuple[int, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: driver)
    assert compute_capability() == found


def test_without_a_driver_it_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert compute_capability() is None
