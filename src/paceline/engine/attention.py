"""Attention of a few new rows over cached keys. Twin of `model.attention`, which has no cache.

The G query heads that share a K head are folded into rows: one product with the keys serves all of
them, 14x faster on CPU than asking the fused kernel to expand heads (shared facts, serving §1).

Legend: T new rows, H query heads, K key/value heads, G = H/K, D head width, N keys.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK_ROWS = 128
"""Query rows handled together in prefill; keys after the block are never touched."""


def cached_attention(q_THD: Tensor, keys_KND: Tensor, values_KND: Tensor) -> Tensor:
    """Return softmax(q k^T, causal) v as [T, H D]; row t sees keys 0 .. N-T+t. q is already scaled."""
    T, H, D = q_THD.shape
    K, N, _ = keys_KND.shape
    G = H // K
    if T == 1:
        q_1KGD = q_THD.view(1, K, G, D)
        out = F.scaled_dot_product_attention(
            q_1KGD, keys_KND.unsqueeze(0), values_KND.unsqueeze(0), scale=1.0
        )
        return out.reshape(1, H * D)
    q_KTGD = q_THD.view(T, K, G, D).transpose(0, 1)
    blocks: list[Tensor] = []
    for start in range(0, T, BLOCK_ROWS):
        n = min(BLOCK_ROWS, T - start)
        end = N - T + start + n
        q_block = q_KTGD[:, start : start + n].reshape(K, n * G, D)
        scores = torch.matmul(q_block, keys_KND[:, :end].transpose(-1, -2)).view(K, n, G, end)
        hidden = torch.ones(n, n, dtype=torch.bool, device=scores.device).triu(1)
        scores[..., end - n :].masked_fill_(hidden[:, None], float("-inf"))
        weights = torch.softmax(scores, dim=-1).view(K, n * G, end)
        out = torch.matmul(weights, values_KND[:, :end])
        blocks.append(out.view(K, n, G, D).transpose(0, 1).reshape(n, H * D))
    return torch.cat(blocks) if len(blocks) > 1 else blocks[0]
