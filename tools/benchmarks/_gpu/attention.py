"""Scaled-dot-product attention by length, kind of bias and kernel.

Forward and backward of queries, keys and values [B, 12, T, 64] with about the same number of tokens
B x T at every length. The bias is that of every row [B, 12, T, T], one for all [1, 12, T, T], or
none. `kernel` is what torch takes of itself (`auto`, with the one it chose), or one it is held to.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from itertools import product
from statistics import median

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from .context import Context
from .record import Row

HEADS, HEAD_SIZE = 12, 64
KERNELS = {
    "auto": None,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "flash": SDPBackend.FLASH_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "math": SDPBackend.MATH,
}
BIASES = ("each row", "one for all", "none")
_TYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
_WARM, _TIMED = 2, 8


def measure(context: Context) -> Iterator[Row]:
    """Yield a row for each length, type, bias and kernel."""
    kernels = KERNELS if context.cuda else ("auto", "math")
    for tokens, name, bias, kernel in product(context.sizes.lengths, _TYPES, BIASES, kernels):
        rows = max(1, context.sizes.attention_tokens // tokens)
        row: Row = {"tokens": tokens, "rows": rows, "type": name, "bias": bias, "kernel": kernel}
        one = partial(_one, context, rows, tokens, _TYPES[name], bias, kernel)
        yield context.attempt(row, one)


def _one(
    context: Context, rows: int, tokens: int, kind: torch.dtype, bias: str, kernel: str
) -> Row:
    query, key, value = (
        torch.randn(rows, HEADS, tokens, HEAD_SIZE, device=context.device, dtype=kind)
        for _ in range(3)
    )
    mask = _bias(bias, rows, tokens, query)
    for tensor in (query, key, value):
        tensor.requires_grad_()

    def run() -> None:
        with nullcontext() if KERNELS[kernel] is None else sdpa_kernel(KERNELS[kernel]):
            mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        mixed.sum().backward()
        query.grad = key.grad = value.grad = None

    with context.peak() as peak:
        first = context.seconds(run)
        most = peak()
    for _ in range(_WARM):
        run()
    times = [context.seconds(run) for _ in range(_TIMED)]
    chosen = _chosen(query, key, value, mask) if kernel == "auto" else None
    return {
        "ms": median(times) * 1000,
        "first_ms": first * 1000,
        "peak_bytes": most,
        "chosen": chosen,
    }


def _bias(kind: str, rows: int, tokens: int, like: Tensor) -> Tensor | None:
    """Return ALiBi-like biases, of every row on its own, or of one for all."""
    if kind == "none":
        return None
    places = torch.arange(tokens, device=like.device)
    distances = -(places[:, None] - places).abs()
    slopes = 2.0 ** -torch.arange(1, HEADS + 1, device=like.device)
    one = (slopes[:, None, None] * distances)[None].to(like.dtype)
    return one.repeat(rows, 1, 1, 1) if kind == "each row" else one


def _chosen(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> str | None:
    """Return the kernel that torch takes; None where this torch does not tell."""
    if not hasattr(torch, "_fused_sdp_choice"):
        return None
    number = int(torch._fused_sdp_choice(query, key, value, mask))
    names = {int(kind.value): kind.name.lower() for kind in SDPBackend.__members__.values()}
    return names.get(number, str(number))
