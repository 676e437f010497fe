"""Linear layers and dropout as they are trained fastest on a CPU.

The numbers are those of torch but for rounding, and dropout draws other random numbers of the
same distribution. On other devices, in lower precision, and in a traced graph, torch's own run.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

_ONE_DNN: bool = (
    torch.backends.cpu.get_cpu_capability() == "AVX512"
    and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
)
"""Whether oneDNN's products are faster than those of torch's BLAS; with AVX2 they are not."""
_WIDE = 512
"""Inputs and outputs from which on they are."""
_DRAWS = 2**16
"""Values of the 16 random bits that decide over one element."""


class Linear(nn.Linear):
    """`nn.Linear`, computed by `linear`."""

    def forward(self, input: Tensor) -> Tensor:
        """Return [..., outputs] of [..., inputs]."""
        return linear(input, self.weight, self.bias)


class Dropout(nn.Dropout):
    """`nn.Dropout`, with 16 random bits for an element: its rate is rounded to 1 / 65536."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the input, in training with elements zeroed and the rest scaled."""
        dropped = round(self.p * _DRAWS)
        if not (self.training and 0 < dropped < _DRAWS and _is_plain(input)):
            return super().forward(input)
        kept: Tensor = input * _kept(input.shape, dropped)
        return kept.mul_(_DRAWS / (_DRAWS - dropped))


def linear(hidden: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return `functional.linear`, in training on a CPU by oneDNN's products."""
    if _ONE_DNN and min(weight.shape) >= _WIDE and _is_plain(hidden) and _is_plain(weight):
        output: Tensor = _OneDnnLinear.apply(hidden, weight, bias)  # type: ignore[no-untyped-call]
        return output
    return functional.linear(hidden, weight, bias)


class _OneDnnLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        rows = hidden.reshape(-1, hidden.shape[-1])
        ctx.save_for_backward(rows, weight)
        ctx.shape = hidden.shape
        return _product(rows, weight, bias).view(*hidden.shape[:-1], len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight = ctx.saved_tensors
        gradient = gradient.reshape(-1, gradient.shape[-1])
        of_hidden, of_weight, of_bias = ctx.needs_input_grad
        return (
            _product(gradient, weight.t()).view(ctx.shape) if of_hidden else None,
            _product(gradient.t(), rows.t()) if of_weight else None,
            gradient.sum(0) if of_bias else None,
        )


def _product(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return rows [n, inputs] times the transposed weight [outputs, inputs], plus the bias."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
    return product


def _kept(shape: torch.Size, dropped: int) -> Tensor:
    """Return a mask that is False with a probability of `dropped` / 65536."""
    words = torch.empty(-(-shape.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    draws = words.view(torch.int16)[: shape.numel()].view(shape)
    return draws >= dropped - _DRAWS // 2


def _is_plain(tensor: Tensor) -> bool:
    """Whether a tensor is of float32 on a CPU, in training and not in a trace."""
    return (
        tensor.device.type == "cpu"
        and tensor.dtype == torch.float32
        and torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )
