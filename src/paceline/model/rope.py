"""Rotary position embedding: tables of cosines and sines, with every scaling that is supported.

    default   angle(t, i) = t * theta^(-2i/D)
    linear    all frequencies divided by `factor`
    dynamic   theta grows with the sequence, beyond the trained context only: none up to there
    llama3    low frequencies divided by `factor`, high ones kept, a linear blend between
    yarn      the same by dimension instead of by wavelength; cos and sin times an attention factor

Legend: T positions, D head width.

Source: Su et al. 2021 (arXiv:2104.09864); yarn: Peng et al. 2023 (arXiv:2309.00071); the rest, and
every constant, as `modeling_rope_utils.py` of transformers 5 computes it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from paceline.model.config import ModelConfig, RopeScaling
from paceline.model.config_json import yarn_attention_factor


def rope_tables(config: ModelConfig, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Return (cos_TD, sin_TD) in float32 for every position of the context.

    Column i and column i + D/2 belong to the same pair. Both tables of 131,072 positions and heads of
    128 are 134 MB, and while they are made, 201 MB are in use.
    """
    D = config.head_dim
    exponent = torch.arange(0, D, 2, dtype=torch.float32, device=device) / D
    frequency, attention_factor = config.rope_theta**-exponent, 1.0
    if config.rope_scaling is not None:
        frequency, attention_factor = _scale(frequency, config, config.rope_scaling)
    position = torch.arange(config.context_tokens, dtype=torch.float32, device=device)
    angle = torch.outer(position, frequency)
    cos, sin = angle.cos(), angle.sin_()
    if attention_factor != 1.0:
        cos, sin = cos.mul_(attention_factor), sin.mul_(attention_factor)
    return torch.cat((cos, cos), dim=-1), torch.cat((sin, sin), dim=-1)


def apply_rope(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the pairs (i, i + D/2) of the last axis; cos and sin broadcast against x."""
    first, second = x.chunk(2, dim=-1)
    return x * cos.to(x.dtype) + torch.cat((-second, first), dim=-1) * sin.to(x.dtype)


def _scale(frequency: Tensor, config: ModelConfig, scaling: RopeScaling) -> tuple[Tensor, float]:
    """Return (frequencies, factor of cos and sin)."""
    match scaling.kind:
        case "linear":
            return frequency / scaling.factor, 1.0
        case "dynamic":
            return frequency, 1.0
        case "llama3":
            return _scale_llama3(frequency, scaling), 1.0
        case "yarn":
            factor = scaling.attention_factor
            if factor is None:
                factor = yarn_attention_factor(scaling.factor)
            return _scale_yarn(frequency, config, scaling), factor


def _scale_llama3(frequency: Tensor, scaling: RopeScaling) -> Tensor:
    turns = scaling.original_context_tokens * frequency / (2 * math.pi)  # over the old context
    span = scaling.high_freq_factor - scaling.low_freq_factor
    kept = ((turns - scaling.low_freq_factor) / span).clamp(0.0, 1.0)
    return (1 - kept) * frequency / scaling.factor + kept * frequency


def _scale_yarn(frequency: Tensor, config: ModelConfig, scaling: RopeScaling) -> Tensor:
    D = config.head_dim

    def dimension_of(turns: float) -> float:
        """Where a pair makes that many turns over the original context."""
        ratio = scaling.original_context_tokens / (turns * 2 * math.pi)
        return D * math.log(ratio) / (2 * math.log(config.rope_theta))

    low = max(math.floor(dimension_of(scaling.beta_fast)), 0)
    high = min(math.ceil(dimension_of(scaling.beta_slow)), D - 1)
    pair = torch.arange(D // 2, dtype=torch.float32, device=frequency.device)
    divided = ((pair - low) / (high - low if high != low else 0.001)).clamp(0.0, 1.0)
    return frequency / scaling.factor * divided + frequency * (1 - divided)
