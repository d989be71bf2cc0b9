"""Seeded models of two layers, small enough that a naive forward is the reference."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import torch

from paceline.model.config import ModelConfig, RopeScaling
from paceline.model.decoder import CausalLm

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

_LLAMA = msgspec.structs.replace(TINY, family="llama", has_qk_norm=False, is_tied=False)
FAMILIES: dict[str, ModelConfig] = {
    "qwen3": TINY,
    "qwen2": msgspec.structs.replace(_LLAMA, family="qwen2", has_qkv_bias=True, is_tied=True),
    "llama": msgspec.structs.replace(
        _LLAMA, rope_scaling=RopeScaling(kind="llama3", factor=4.0, original_context_tokens=32)
    ),
    "mistral": msgspec.structs.replace(_LLAMA, family="mistral", sliding_window_tokens=21),
    "starcoder2": msgspec.structs.replace(
        TINY,
        family="starcoder2",
        norm="layer",
        ffn="gelu_tanh",
        has_qk_norm=False,
        has_qkv_bias=True,
        has_out_bias=True,
        has_ffn_bias=True,
        num_kv_heads=1,
        sliding_window_tokens=48,
    ),
}
"""One of each family; together they switch every part of ModelConfig both ways."""


def tiny_model(config: ModelConfig = TINY, *, seed: int = 0) -> CausalLm:
    """Every matrix is random and large enough that greedy output depends on all of the prompt."""
    model = CausalLm(config)
    model.initialise(seed)
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.empty_like(parameter).normal_(0.0, 1.0, generator=generator)
            if "norm" in name or name.endswith(".bias"):
                parameter.add_(noise * 0.2)
            elif name.endswith(("o_proj.weight", "down_proj.weight", "c_proj.weight")):
                parameter.copy_(noise * 0.6)
            elif "embed" in name or "lm_head" in name:
                parameter.copy_(noise * 0.1)
    return model.eval()


@torch.inference_mode()
def naive_logits(model: CausalLm, ids: list[int]) -> torch.Tensor:
    """Logits [T, V] of a forward without any cache; in float64 if `model.double()` is given."""
    return model.logits(model(torch.tensor([ids]))[0])


def naive_greedy(model: CausalLm, prompt_ids: Sequence[int], max_tokens: int) -> list[int]:
    """Greedy ids, one full forward for each."""
    ids = list(prompt_ids)
    for _ in range(max_tokens):
        if len(ids) >= model.config.context_tokens:
            break
        ids.append(int(naive_logits(model, ids)[-1].argmax()))
    return ids[len(prompt_ids) :]


def naive_logprobs(
    model: CausalLm, prompt_ids: Sequence[int], continuation_ids: Sequence[int]
) -> list[float]:
    """Log-probability of each id of a continuation, from one forward without a cache."""
    ids = [*prompt_ids, *continuation_ids]
    logprobs_TV = naive_logits(model, ids).log_softmax(-1)
    return [
        float(logprobs_TV[len(prompt_ids) - 1 + i, token_id])
        for i, token_id in enumerate(continuation_ids)
    ]


def assert_greedy(
    model: CausalLm,
    prompt_ids: Sequence[int],
    tokens: Sequence[tuple[int, float]],
    *,
    tolerance: float = 1e-4,
) -> None:
    """Assert that every (id, log-probability) is what the naive forward would choose after the ids before.

    An id counts as chosen if its logit is within `tolerance` of the largest, so that a tie within
    rounding is no failure.
    """
    ids = [*prompt_ids, *(token_id for token_id, _ in tokens)]
    logprobs_TV = naive_logits(model, ids).log_softmax(-1)[len(prompt_ids) - 1 :]
    for logprob_V, (token_id, logprob) in zip(logprobs_TV, tokens, strict=False):
        assert logprob_V[token_id] >= logprob_V.max() - tolerance
        assert abs(float(logprob_V[token_id]) - logprob) <= tolerance


def prompt(length: int, seed: int = 0) -> list[int]:
    """Ids that look random and are the same in every run."""
    return [(seed * 37 + i * i * 11 + i * 5 + 3) % TINY.vocab_size for i in range(length)]
