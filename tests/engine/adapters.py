"""Random LoRA adapters for tests, and dense models that contain them: the slow twin."""

from __future__ import annotations

import copy

import torch

from paceline.engine.lora import LoraAdapter, LoraLayer, LoraPair
from paceline.model.config import ModelConfig
from paceline.model.decoder import CausalLm


def adapter_of(config: ModelConfig, *, seed: int, scale: float = 0.3) -> LoraAdapter:
    """A random adapter of different ranks; the second layer's output projection is left alone."""
    generator = torch.Generator().manual_seed(seed)
    q, kv = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
    num_ffn_in = config.ffn_size * (2 if config.ffn == "gated_silu" else 1)

    def pair(rank: int, num_in: int, num_out: int) -> LoraPair:
        return LoraPair(
            torch.randn(rank, num_in, generator=generator) / num_in**0.5,
            torch.randn(num_out, rank, generator=generator) * scale,
        )

    return LoraAdapter(
        name=f"random-{seed}",
        layers=tuple(
            LoraLayer(
                qkv=pair(3, config.hidden_size, q + 2 * kv),
                out=pair(2, q, config.hidden_size) if i == 0 else None,
                ffn_in=pair(4, config.hidden_size, num_ffn_in),
                ffn_out=pair(1, config.ffn_size, config.hidden_size),
            )
            for i in range(config.num_layers)
        ),
    )


@torch.no_grad()
def merged(model: CausalLm, lora: LoraAdapter) -> CausalLm:
    """A model whose own weights contain the adapter."""
    config = model.config
    result = copy.deepcopy(model)
    kv = config.num_kv_heads * config.head_dim
    for i, layer in enumerate(lora.layers):
        stem = f"model.layers.{i}."
        is_gated = config.ffn == "gated_silu"
        sites = (
            (layer.qkv, ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]),
            (layer.out, ["self_attn.o_proj"]),
            (layer.ffn_in, ["mlp.gate_proj", "mlp.up_proj"] if is_gated else ["mlp.c_fc"]),
            (layer.ffn_out, ["mlp.down_proj" if is_gated else "mlp.c_proj"]),
        )
        for pair, names in sites:
            if pair is None:
                continue
            sizes = {
                1: [len(pair.b_OR)],
                2: [config.ffn_size] * 2,
                3: [len(pair.b_OR) - 2 * kv, kv, kv],
            }
            deltas = (pair.b_OR.double() @ pair.a_RI.double()).split(sizes[len(names)])
            for name, delta in zip(names, deltas, strict=True):
                result.get_parameter(f"{stem}{name}.weight").add_(delta)
    return result.eval()
