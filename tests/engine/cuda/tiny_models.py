"""One tiny model of each family, of odd sizes, and its logits without a cache."""

from __future__ import annotations

import msgspec
import torch
from torch import Tensor

from paceline.model.config import ModelConfig, RopeScaling
from paceline.model.decoder import CausalLm

QWEN3 = ModelConfig(
    vocab_size=101,
    hidden_size=48,
    num_layers=2,
    num_heads=6,
    num_kv_heads=2,
    head_dim=24,
    ffn_size=70,
    context_tokens=128,
)


def _with(**changes: object) -> ModelConfig:
    return msgspec.structs.replace(QWEN3, **changes)


FAMILIES = {
    "qwen3": QWEN3,
    "qwen2": _with(family="qwen2", has_qk_norm=False, has_qkv_bias=True),
    "llama": _with(
        family="llama",
        has_qk_norm=False,
        is_tied=False,
        rope_scaling=RopeScaling(kind="llama3", factor=8.0, original_context_tokens=32),
    ),
    "mistral": _with(family="mistral", has_qk_norm=False, is_tied=False, sliding_window_tokens=19),
    "starcoder2": _with(
        family="starcoder2",
        norm="layer",
        ffn="gelu_tanh",
        has_qk_norm=False,
        has_qkv_bias=True,
        has_out_bias=True,
        has_ffn_bias=True,
        num_kv_heads=1,
    ),
}


def random_model(config: ModelConfig) -> CausalLm:
    """A model in which every parameter matters."""
    model = CausalLm(config).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(1 + 0.2 * noise if "norm" in name else 0.2 * noise)
    return model


def random_ids(count: int, seed: int = 0) -> list[int]:
    """Ids that are the same in every run."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(QWEN3.vocab_size, (count,), generator=generator).tolist()


@torch.inference_mode()
def naive_logits(model: CausalLm, ids: list[int]) -> Tensor:
    """Logits of every position, from the model's own forward."""
    return model.logits(model(torch.tensor([ids])))[0]
