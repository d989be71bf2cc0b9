"""Causal attention over whole sequences: what training and scoring use (no cache).

Two paths, chosen by device, equal to each other in float32 (test): PyTorch's fused kernel on CUDA;
on CPU explicit block-causal matrix products, because the fused CPU kernel is 2-4x slower in bf16
(measured: shared facts, training B3).

Legend: B sequences, T positions, H query heads, K key/value heads, G = H/K, D head width.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK_TOKENS = 256
"""Query rows handled together on CPU; keys after the block are never touched."""


def causal_attention(
    q_BHTD: Tensor, k_BKTD: Tensor, v_BKTD: Tensor, window_tokens: int | None = None
) -> Tensor:
    """Return softmax(q k^T / sqrt(D), causal) v as [B, H, T, D]; query head h reads K head h // G.

    A row sees itself and the window_tokens - 1 positions before it; None sees all before it.
    """
    if q_BHTD.device.type == "cuda" and (window_tokens is None or window_tokens >= q_BHTD.shape[2]):
        return F.scaled_dot_product_attention(
            q_BHTD, k_BKTD, v_BKTD, is_causal=True, enable_gqa=q_BHTD.shape[1] != k_BKTD.shape[1]
        )
    return block_causal_attention(q_BHTD, k_BKTD, v_BKTD, window_tokens)


def block_causal_attention(
    q_BHTD: Tensor, k_BKTD: Tensor, v_BKTD: Tensor, window_tokens: int | None = None
) -> Tensor:
    """The CPU path: for each block of query rows, one product with the keys it can see."""
    B, H, T, D = q_BHTD.shape
    K = k_BKTD.shape[1]
    G = H // K
    scale = 1.0 / math.sqrt(D)
    q_BKGTD = (q_BHTD * scale).view(B, K, G, T, D)
    blocks: list[Tensor] = []
    for start in range(0, T, BLOCK_TOKENS):
        end = min(start + BLOCK_TOKENS, T)
        first = 0 if window_tokens is None else max(0, start - window_tokens + 1)
        n, m = end - start, end - first
        q_block = q_BKGTD[:, :, :, start:end].reshape(B, K, G * n, D)
        scores = torch.matmul(q_block, k_BKTD[:, :, first:end].transpose(-1, -2))
        hidden = torch.ones(n, m, dtype=torch.bool, device=scores.device).triu(start - first + 1)
        if window_tokens is not None:
            hidden |= torch.ones_like(hidden).tril(start - first - window_tokens)
        scores = scores.view(B, K, G, n, m).masked_fill_(hidden, float("-inf"))
        weights = torch.softmax(scores, dim=-1).view(B, K, G * n, m)
        out = torch.matmul(weights, v_BKTD[:, :, first:end])
        blocks.append(out.view(B, K, G, n, D))
    return torch.cat(blocks, dim=3).view(B, H, T, D)
