"""Cross-entropy of a tied head without keeping all logits: gradients are made in the forward pass.

At 16k tokens a step and 8k vocabulary the float32 logits alone are 537 MB; chunks of rows keep it
under 70 MB, and the softmax is taken in float32 whatever the compute dtype.

Legend: N positions, M model width, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from paceline.train.data import IGNORED

CHUNK_ROWS = 1024
"""Positions of one matrix product."""
BLOCK_ROWS = 32
"""Positions whose softmax is taken at once: 1 MB of float32 at 8k vocabulary, which stays in cache."""
SMALLEST = 1e-37
"""A label's probability below this counts as this; its gradient is exact all the same."""


class _HeadCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden_NM: Tensor, weight_VM: Tensor, labels_N: Tensor) -> Tensor:
        weight = weight_VM.to(hidden_NM.dtype)
        d_hidden = torch.empty_like(hidden_NM)
        d_weight = torch.zeros(weight_VM.shape, dtype=torch.float32, device=weight_VM.device)
        total = torch.zeros((), dtype=torch.float32, device=hidden_NM.device)
        for start in range(0, hidden_NM.shape[0], CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            logits = hidden_NM[rows] @ weight.T
            total += _to_gradient(logits, labels_N[rows])
            d_hidden[rows] = logits @ weight
            d_weight += (logits.T @ hidden_NM[rows]).float()
        ctx.save_for_backward(d_hidden, d_weight)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        d_hidden, d_weight = ctx.saved_tensors
        scale = grads[0]
        return d_hidden * scale.to(d_hidden.dtype), d_weight * scale, None


def _to_gradient(logits_NV: Tensor, labels_N: Tensor) -> Tensor:
    """Overwrite logits with d(loss)/d(logits) and return the summed loss; small blocks stay in cache."""
    total = torch.zeros((), dtype=torch.float32, device=logits_NV.device)
    block_rows = BLOCK_ROWS if logits_NV.device.type == "cpu" else CHUNK_ROWS
    for start in range(0, logits_NV.shape[0], block_rows):
        rows = slice(start, start + block_rows)
        labels = labels_N[rows]
        label = labels.clamp_min(0).unsqueeze(1)
        grad = torch.softmax(logits_NV[rows], dim=-1, dtype=torch.float32)
        losses = grad.gather(1, label).clamp_min_(SMALLEST).log_().squeeze(1)
        grad.scatter_add_(1, label, torch.full_like(label, -1.0, dtype=torch.float32))
        is_ignored = labels == IGNORED
        if is_ignored.any():
            grad[is_ignored] = 0.0
            losses = losses.masked_fill(is_ignored, 0.0)
        total -= losses.sum()
        logits_NV[rows] = grad
    return total


def head_cross_entropy(hidden_NM: Tensor, weight_VM: Tensor, labels_N: Tensor) -> Tensor:
    """Return the summed negative log-likelihood (nats) of `labels_N`; IGNORED labels count nothing.

    Equal to `F.cross_entropy(hidden @ weight.T, labels, reduction="sum")`, gradients included (test).
    """
    return _HeadCrossEntropy.apply(hidden_NM, weight_VM, labels_N)
