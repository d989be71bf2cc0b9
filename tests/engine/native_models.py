"""Small models, adapters and block tables for the native executor's tests."""

from __future__ import annotations

import functools

import msgspec
import pytest
import torch
from torch import Tensor

from paceline.engine.native.errors import NativeUnavailableError
from paceline.engine.native.library import load_library, slow_linear
from paceline.engine.native.runner import NativeRunner
from paceline.engine.step import BLOCK_TOKENS, Rows
from paceline.model.config import ModelConfig
from paceline.model.decoder import CausalLm
from tests.engine.adapters import adapter_of
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
