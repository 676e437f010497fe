"""The precisions that torch computes in, by name. Torch is only imported where it is used."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Literal, get_args

from ..errors import UsageError

if TYPE_CHECKING:
    import torch

__all__ = [
    "PRECISIONS",
    "Precision",
    "autocast",
    "float32_products",
    "require_tf32",
    "resolve_precision",
    "type_of",
]

_log = logging.getLogger(__name__)

Precision = Literal["fp32", "tf32", "bf16", "fp16"]
"""`fp32` is IEEE float32; `tf32` rounds the factors of its products to 10 bits of mantissa."""
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

_TENSOR_CORES = (8, 0)
"""The compute capability (Ampere) from which on a card has units for bfloat16 and TF32."""


def resolve_precision(wanted: Precision | Literal["auto"], device: torch.device) -> Precision:
    """Return the precision to train in: what was asked for, or the best safe one of the device.

    `auto` is fp32 on a CPU, and on CUDA bf16 where the card has units for it, else fp16. Raises
    UsageError for fp16 and tf32 on a CPU, and for tf32 on a card without it.
    """
    if device.type == "cuda":
        return _on_cuda(wanted, device)
    if wanted in ("fp16", "tf32"):
        raise UsageError(f"precision {wanted} needs a CUDA device, this one is {device.type}")
    if wanted == "bf16":
        _log.warning("bf16 on a CPU without bf16 units is many times slower than fp32")
        return "bf16"
    return "fp32"


def _on_cuda(wanted: Precision | Literal["auto"], device: torch.device) -> Precision:
    import torch

    found = torch.cuda.get_device_capability(device)
    has_units = found >= _TENSOR_CORES
    if wanted == "auto":
        return "bf16" if has_units else "fp16"
    if wanted == "bf16" and not has_units:
        _log.warning("this GPU only emulates bf16: fp16 is faster")
    if wanted == "tf32":
        require_tf32(found)
    return wanted


def require_tf32(found: tuple[int, int]) -> None:
    """Raise UsageError where a card of this compute capability has no units for TF32."""
    if found < _TENSOR_CORES:
        raise UsageError(
            "precision tf32 needs compute capability 8.0 (Ampere) or later, this GPU has"
            f" {'.'.join(map(str, found))}; choose fp32 or fp16"
        )


def type_of(precision: Precision) -> torch.dtype:
    """Return the type of numbers of a precision."""
    import torch

    return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Have the products of a forward pass in the body computed in bf16 or fp16, if it is one.

    The weights stay in float32, and so do sums.
    """
    import torch

    kind = type_of(precision)
    return nullcontext() if kind == torch.float32 else torch.autocast(device.type, dtype=kind)


@contextmanager
def float32_products(precision: Precision, device: torch.device) -> Iterator[None]:
    """Have float32 products and convolutions on CUDA in the body in TF32 or not, backward too.

    In IEEE float32 but for `tf32`, whatever the process had set, which it has again afterwards.
    """
    if device.type != "cuda":
        yield
        return
    switches = _switches(tf32=precision == "tf32")
    before = [getattr(backend, name) for backend, name, _ in switches]
    for backend, name, value in switches:
        setattr(backend, name, value)
    try:
        yield
    finally:
        for (backend, name, _), value in zip(switches, before, strict=True):
            setattr(backend, name, value)


def _switches(*, tf32: bool) -> list[tuple[object, str, object]]:
    """Return what is set for products and convolutions: where, which attribute, and to what.

    The older pair cannot be read once a process has used the newer one, which torch has from 2.9.
    """
    import torch

    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    if hasattr(cudnn, "conv") and hasattr(matmul, "fp32_precision"):
        value = "tf32" if tf32 else "ieee"
        return [(matmul, "fp32_precision", value), (cudnn.conv, "fp32_precision", value)]
    return [(matmul, "allow_tf32", tf32), (cudnn, "allow_tf32", tf32)]
