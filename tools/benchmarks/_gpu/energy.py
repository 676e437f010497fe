"""The energy that a GPU has used, by its driver's counter."""

from __future__ import annotations

import ctypes
from functools import cache


def joules() -> float | None:
    """Return the joules that the first GPU has used since its driver was loaded; None if unknown.

    Of `nvmlDeviceGetTotalEnergyConsumption`, which counts millijoules, from Volta on.
    """
    library, device = _first_gpu()
    count = ctypes.c_ulonglong()
    if library is None or library.nvmlDeviceGetTotalEnergyConsumption(device, ctypes.byref(count)):
        return None
    return count.value / 1000


@cache
def _first_gpu() -> tuple[ctypes.CDLL | None, ctypes.c_void_p]:
    device = ctypes.c_void_p()
    try:
        library = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return None, device
    failed = library.nvmlInit_v2() or library.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(device))
    return (None if failed else library), device
