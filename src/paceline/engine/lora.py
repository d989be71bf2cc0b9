"""LoRA adapters: small additions to the matrices of one base model, as PEFT writes them.

y = W x + scale * B (A x), for those projections that the adapter names. In the fused matrices of
engine/weights.py an adapter's rows keep their place: q, k, v rows in qkv, gate and up rows in ffn_in.

Legend: R rank, I input width, O output width of a projection.

Source: Hu et al. 2021, arXiv:2106.09685, section 4.1.
"""

# ruff: noqa: N815 - fields are tensors and carry their shape
from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class LoraPair:
    """One projection's two factors, the scale (alpha / rank) multiplied into B. Float32, CPU."""

    a_RI: Tensor
    b_OR: Tensor


@dataclass(frozen=True)
class LoraLayer:
    """Adapted projections of one layer, fused like LayerParameters; None where nothing is adapted.

    Fusing concatenates the A factors and makes B block-structured, so q, k, v (or gate, up) of rank r
    become one pair of rank up to 3r (2r).
    """

    qkv: LoraPair | None
    out: LoraPair | None
    ffn_in: LoraPair | None
    ffn_out: LoraPair | None


@dataclass(frozen=True)
class LoraAdapter:
    """A whole adapter."""

    name: str
    layers: tuple[LoraLayer, ...]
