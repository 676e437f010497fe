"""Attention as one operator, which graphs for GPUs have in place of products and a softmax.

Torch computes it by its own fused attention. In an export it is ONNX Runtime's MultiHeadAttention
(domain com.microsoft), which holds no scores where the GPU has a kernel for that.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from .classifier import split_heads


def fused_attention(query: Tensor, key: Tensor, value: Tensor, bias: Tensor, heads: int) -> Tensor:
    """Return softmax(Q K' + bias) V, all heads side by side [B, Q, H], without any scale.

    The query is [B, Q, H], key and value [B, T, H]; the bias [B or 1, heads or 1, Q, T].
    """
    if torch.onnx.is_in_onnx_export():
        return torch.onnx.ops.symbolic(
            "com.microsoft::MultiHeadAttention",
            (query, key, value, None, None, bias),
            {"num_heads": heads, "scale": 1.0},
            dtype=query.dtype,
            shape=query.shape,
            version=1,
        )
    query, key, value = (split_heads(projected, heads) for projected in (query, key, value))
    mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=1.0)
    return mixed.transpose(1, 2).flatten(2)
