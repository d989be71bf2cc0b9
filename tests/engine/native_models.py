"""Small models, adapters and block tables for the native executor's tests."""

from __future__ import annotations

import functools

import msgspec
import pytest
import torch
from torch import Tensor

from paceline.engine.lora import LoraAdapter, LoraLayer, LoraPair
from paceline.engine.native.errors import NativeUnavailableError
from paceline.engine.native.library import load_library, slow_linear
from paceline.engine.native.runner import NativeRunner
from paceline.engine.step import BLOCK_TOKENS, Rows
from paceline.model.config import ModelConfig
from paceline.model.decoder import CausalLm
from tests.engine.tiny import FAMILIES, TINY, tiny_model

try:
    load_library()
except NativeUnavailableError as error:  # then no test of these models can run
    pytest.skip(f"the native executor cannot be had: {error}", allow_module_level=True)

ODD = msgspec.structs.replace(
    TINY, vocab_size=131, hidden_size=72, num_heads=15, num_kv_heads=1, head_dim=20, ffn_size=70
)
"""Nothing is a multiple of 16, and one KV head serves more query heads than a tile holds."""
WIDE = msgspec.structs.replace(TINY, hidden_size=192, head_dim=80, ffn_size=320)
SHAPES: dict[str, ModelConfig] = {**FAMILIES, "odd": ODD, "wide": WIDE}
NUM_BLOCKS = 40


@functools.cache
def model_of(name: str) -> CausalLm:
    return tiny_model(SHAPES[name])


@functools.cache
def runner_of(name: str, num_threads: int = 1, target: str | None = None) -> NativeRunner:
    """A runner shared by tests; adapters 1 and 2 are loaded. Every test writes the blocks it reads."""
    library = load_library(target)
    runner = NativeRunner(
        model_of(name), num_blocks=NUM_BLOCKS, num_threads=num_threads, library=library
    )
    for adapter in (1, 2):
        runner.set_adapter(adapter, adapter_of(SHAPES[name], seed=adapter))
    return runner


def table_of(slot: int, num_tokens: int = 96) -> list[int]:
    """Blocks of sequence `slot`, not in order."""
    count = -(-num_tokens // BLOCK_TOKENS)
    return [(slot + 1) * count - 1 - i for i in range(count)]


def in_steps(runner: NativeRunner, ids: list[int], sizes: list[int], adapter: int = 0) -> Tensor:
    """Logits of all rows of one sequence that is cut into steps of these sizes."""
    start, parts = 0, list[Tensor]()
    for size in [*sizes, len(ids)]:
        piece = ids[start : start + size]
        if piece:
            parts.append(runner.forward([Rows(table_of(0), start, piece, len(piece), adapter)]))
        start += len(piece)
    return torch.cat(parts)


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
    copy = CausalLm(config)
    copy.load_state_dict(model.state_dict())
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
            deltas = (pair.b_OR @ pair.a_RI).split(sizes[len(names)])
            for name, delta in zip(names, deltas, strict=True):
                copy.get_parameter(f"{stem}{name}.weight").add_(delta)
    return copy.eval()


def quantised_linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """torch's F.linear with the native executor's quantisation: makes CausalLm its slow twin."""
    out = slow_linear(weight, x.reshape(-1, x.shape[-1]))[0].float().view(*x.shape[:-1], -1)
    return out if bias is None else out + bias


@torch.no_grad()
def moved(model: CausalLm, amount: float) -> CausalLm:
    """The model with norms and biases changed by about `amount`, relatively."""
    copy = CausalLm(model.config)
    copy.load_state_dict(model.state_dict())
    generator = torch.Generator().manual_seed(9)
    for parameter in copy.parameters():
        if parameter.dim() == 1:
            parameter.mul_(1 + amount * torch.randn(parameter.shape, generator=generator))
    return copy.eval()


def relative_error(got: Tensor, wanted: Tensor) -> float:
    """Root mean square of the difference, in units of the spread of what is wanted."""
    return float((got - wanted).square().mean().sqrt() / wanted.std())
