"""A seeded model of two layers, small enough that a naive forward is the reference."""

from __future__ import annotations

import torch

from paceline.model.config import ModelConfig
from paceline.model.qwen3 import CausalLm

TINY = ModelConfig(
    vocab_size=300,
    hidden_size=32,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=16,
    ffn_size=48,
    context_tokens=96,
)


def tiny_model(config: ModelConfig = TINY, *, seed: int = 0) -> CausalLm:
    """Every matrix is random, the projections back into the stream too, so that all of it matters.

    Embeddings are large enough that greedy output is varied and top-2 margins are well above rounding.
    """
    model = CausalLm(config)
    model.initialise(seed)
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.empty_like(parameter).normal_(0.0, 1.0, generator=generator)
            if "norm" in name:
                parameter.add_(noise * 0.2)
            elif name.endswith(("o_proj.weight", "down_proj.weight")):
                parameter.copy_(noise * 0.3)
            elif "embed" in name:
                parameter.copy_(noise * 0.4)
    return model.eval()


@torch.inference_mode()
def naive_logits(model: CausalLm, ids: list[int]) -> torch.Tensor:
    """Logits [T, V] of a forward without any cache."""
    return model.logits(model(torch.tensor([ids]))[0])


def naive_greedy(model: CausalLm, prompt_ids: list[int], max_tokens: int) -> list[int]:
    """Greedy ids, one full forward for each."""
    ids = list(prompt_ids)
    for _ in range(max_tokens):
        if len(ids) >= model.config.context_tokens:
            break
        ids.append(int(naive_logits(model, ids)[-1].argmax()))
    return ids[len(prompt_ids) :]
