"""Cross-entropy of a tied head without keeping all logits: gradients are made in the forward pass.

At 16k tokens a step and 8k vocabulary the float32 logits alone are 537 MB; chunks of rows keep it
under 70 MB, and the softmax is taken in float32 whatever the compute dtype.

Legend: N positions, M model width, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from paceline.train.data import IGNORED

CHUNK_ROWS = 2048


class _HeadCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden_NM: Tensor, weight_VM: Tensor, labels_N: Tensor) -> Tensor:
        weight = weight_VM.to(hidden_NM.dtype)
        d_hidden = torch.empty_like(hidden_NM)
        d_weight = torch.zeros(weight_VM.shape, dtype=torch.float32, device=weight_VM.device)
        total = torch.zeros((), dtype=torch.float32, device=hidden_NM.device)
        for start in range(0, hidden_NM.shape[0], CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            hidden, labels = hidden_NM[rows], labels_N[rows]
            is_counted = labels != IGNORED
            safe = labels.clamp_min(0).unsqueeze(1)
            logp = F.log_softmax((hidden @ weight.T).float(), dim=-1)
            total -= (logp.gather(1, safe).squeeze(1) * is_counted).sum()
            grad = logp.exp_()
            grad.scatter_add_(1, safe, torch.full_like(safe, -1, dtype=grad.dtype))
            grad_NV = grad.mul_(is_counted.unsqueeze(1)).to(hidden.dtype)
            d_hidden[rows] = grad_NV @ weight
            d_weight += (grad_NV.T @ hidden).float()
        ctx.save_for_backward(d_hidden, d_weight)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        d_hidden, d_weight = ctx.saved_tensors
        scale = grads[0]
        return d_hidden * scale.to(d_hidden.dtype), d_weight * scale, None


def head_cross_entropy(hidden_NM: Tensor, weight_VM: Tensor, labels_N: Tensor) -> Tensor:
    """Return the summed negative log-likelihood (nats) of `labels_N`; IGNORED labels count nothing.

    Equal to `F.cross_entropy(hidden @ weight.T, labels, reduction="sum")`, gradients included (test).
    """
    return _HeadCrossEntropy.apply(hidden_NM, weight_VM, labels_N)
