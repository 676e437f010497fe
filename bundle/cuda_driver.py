"""What CUDA's driver says of the GPU that sessions run on. Needs neither torch nor NVML."""

from __future__ import annotations

import ctypes

__all__ = ["compute_capability"]

_LIBRARY = "libcuda.so.1"
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_* of cuda.h


def compute_capability() -> tuple[int, int] | None:
    """Return that of the first GPU that this process may use, (8, 0) for an A100.

    None where there is no driver or no GPU. NVML would count GPUs that are hidden from the process.
    """
    try:
        driver = ctypes.CDLL(_LIBRARY)
    except OSError:
        return None
    device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), 0):
        return None
    for value, attribute in ((major, _MAJOR), (minor, _MINOR)):
        if driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device):
            return None
    return major.value, minor.value
