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
        return _on_cuda(wanted)
    if wanted in ("fp16", "tf32"):
        raise UsageError(f"precision {wanted} needs a CUDA device, this one is {device.type}")
    if wanted == "bf16":
        _log.warning("bf16 on a CPU without bf16 units is many times slower than fp32")
        return "bf16"
    return "fp32"


def _on_cuda(wanted: Precision | Literal["auto"]) -> Precision:
    import torch

    has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    if wanted == "auto":
        return "bf16" if has_bf16 else "fp16"
    if wanted == "bf16" and not has_bf16:
        _log.warning("this GPU only emulates bf16: fp16 is faster")
    if wanted == "tf32" and (found := torch.cuda.get_device_capability()) < _TENSOR_CORES:
        raise UsageError(
            "precision tf32 needs compute capability 8.0 (Ampere) or later, this GPU has"
            f" {'.'.join(map(str, found))}; choose fp32 or fp16"
        )
    return wanted


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
    """Have float32 products on CUDA in the body, backward passes included, in TF32 or not.

    In IEEE float32 but for `tf32`, whatever the process had set, which it has again afterwards.
    """
    if device.type != "cuda":
        yield
        return
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
