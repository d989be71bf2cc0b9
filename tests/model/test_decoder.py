"""Our own shape against transformers, and the fast parts against their definitions."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.model.attention import block_causal_attention
from paceline.model.checkpoint import load_model, save_model
from paceline.model.config import ModelConfig
from paceline.model.decoder import CausalLm
from paceline.model.norm import plain_rms_norm, rms_norm

CONFIG = ModelConfig(
    vocab_size=300,
    hidden_size=64,
    num_layers=3,
    num_heads=4,
    num_kv_heads=2,
    head_dim=32,
    ffn_size=96,
    context_tokens=640,
)


@pytest.fixture(scope="module")
def model() -> CausalLm:
    model = CausalLm(CONFIG)
    model.initialise(0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
    return model


def test_transformers_loads_it_unchanged_and_gives_the_same_logits(
    model: CausalLm, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM, Qwen3ForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    save_model(model, tmp_path)
    peer = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    assert isinstance(peer, Qwen3ForCausalLM)
    ids = torch.randint(0, 300, (2, 600), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        ours, theirs = model.logits(model(ids)), peer(ids).logits
    assert (ours - theirs).abs().max() <= 1e-3


def test_reads_what_transformers_writes(model: CausalLm, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    save_model(model, tmp_path / "ours")
    peer = AutoModelForCausalLM.from_pretrained(tmp_path / "ours", dtype=torch.float32)
    peer.save_pretrained(tmp_path / "theirs")
    again = load_model(tmp_path / "theirs")
    assert again.config == model.config
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True)
    )


def test_parameter_count(model: CausalLm) -> None:
    assert sum(p.numel() for p in model.parameters()) == CONFIG.num_parameters


@settings(max_examples=20, deadline=None)
@given(length=st.integers(1, 600), heads=st.sampled_from([(2, 1), (4, 2), (3, 3)]))
def test_block_attention_equals_the_fused_kernel(length: int, heads: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(length)
    num_q, num_kv = heads
    q = torch.randn(2, num_q, length, 16, generator=generator)
    k, v = (torch.randn(2, num_kv, length, 16, generator=generator) for _ in range(2))
    expected = torch.nn.functional.scaled_dot_product_attention(
        q, k, v, is_causal=True, enable_gqa=num_q != num_kv
    )
    torch.testing.assert_close(block_causal_attention(q, k, v), expected, atol=1e-5, rtol=1e-4)


@settings(max_examples=20)
@given(num_rows=st.integers(1, 1200), width=st.sampled_from([2, 32, 100]))
def test_blocked_norm_equals_its_definition_with_gradients(num_rows: int, width: int) -> None:
    generator = torch.Generator().manual_seed(num_rows)
    x = torch.randn(num_rows, width, generator=generator, requires_grad=True)
    weight = torch.randn(width, generator=generator, requires_grad=True)
    upstream = torch.randn(num_rows, width, generator=generator)
    before = x.detach().clone()
    slow, fast = plain_rms_norm(x, weight, 1e-6), rms_norm(x, weight, 1e-6)
    torch.testing.assert_close(fast, slow)
    for got, wanted in zip(
        torch.autograd.grad(fast, (x, weight), upstream),
        torch.autograd.grad(slow, (x, weight), upstream),
        strict=True,
    ):
        torch.testing.assert_close(got, wanted, atol=2e-4, rtol=1e-4)
    assert torch.equal(x.detach(), before), "the input is not changed in place"


def test_future_tokens_change_nothing(model: CausalLm) -> None:
    ids = torch.randint(0, 300, (1, 400), generator=torch.Generator().manual_seed(3))
    changed = ids.clone()
    changed[0, 300:] = 7
    with torch.no_grad():
        assert torch.equal(model(ids)[0, :300], model(changed)[0, :300])
