"""Every family against transformers: logits both ways, RoPE scalings, windows, shards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers.utils import logging

from paceline.model.checkpoint import INDEX_NAME, load_model, save_model
from paceline.model.config import ModelConfig
from paceline.model.decoder import CausalLm

logging.disable_progress_bar()
logging.set_verbosity_error()

SIZES: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "initializer_range": 0.2,
}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen3": ("Qwen3", {"head_dim": 16, "tie_word_embeddings": True}),
    "qwen3 untied, biases": ("Qwen3", {"head_dim": 8, "attention_bias": True}),
    "qwen2 tied": ("Qwen2", {"tie_word_embeddings": True}),
    "qwen2 untied, yarn": ("Qwen2", {"rope_parameters": {**YARN, "rope_theta": 1e6}}),
    "qwen2 windows": (
        "Qwen2",
        {"use_sliding_window": True, "sliding_window": 9, "max_window_layers": 0},
    ),
    "llama": ("Llama", {}),
    "llama one head": ("Llama", {"num_key_value_heads": 1}),
    "llama all heads": ("Llama", {"num_key_value_heads": 4}),
    "llama wide heads, biases": (
        "Llama",
        {"head_dim": 24, "attention_bias": True, "mlp_bias": True},
    ),
    "llama theta": ("Llama", {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}}),
    "llama linear": ("Llama", {"rope_parameters": {"rope_type": "linear", "factor": 4.0}}),
    "llama dynamic": ("Llama", {"rope_parameters": {"rope_type": "dynamic", "factor": 4.0}}),
    "llama3": ("Llama", {"rope_parameters": LLAMA3}),
    "llama yarn, betas": (
        "Llama",
        {"rope_parameters": {**YARN, "beta_fast": 16.0, "beta_slow": 2.0, "attention_factor": 1.5}},
    ),
    "llama yarn, mscale": (
        "Llama",
        {"rope_parameters": {**YARN, "mscale": 0.7, "mscale_all_dim": 0.4}},
    ),
    "mistral": ("Mistral", {"sliding_window": None}),
    "mistral window": ("Mistral", {"sliding_window": 7, "head_dim": 12}),
    "starcoder2": ("Starcoder2", {}),
    "starcoder2 window, untied": (
        "Starcoder2",
        {"sliding_window": 5, "tie_word_embeddings": False},
    ),
    "starcoder2 without biases": ("Starcoder2", {"use_bias": False}),
}
NUM_POSITIONS = 120
IDS = torch.randint(0, 97, (2, NUM_POSITIONS), generator=torch.Generator().manual_seed(4))


def make_peer(case: str) -> Any:
    """A random model of transformers; norms and biases are random as well."""
    family, changes = CASES[case]
    config = getattr(transformers, f"{family}Config")(**(SIZES | changes))
    torch.manual_seed(7)
    peer = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    with torch.no_grad():
        for name, parameter in peer.named_parameters():
            if "norm" in name or name.endswith("bias"):
                parameter.add_(torch.randn_like(parameter) * 0.3)
    return peer


def logits_of(model: CausalLm) -> torch.Tensor:
    with torch.no_grad():
        return model.logits(model(IDS))


def check_same(ours: torch.Tensor, peer: Any) -> None:
    with torch.no_grad():
        theirs = peer(IDS).logits
    assert (ours - theirs).abs().max() <= 1e-5 * max(1.0, float(theirs.abs().max()))


@pytest.mark.parametrize("case", CASES)
def test_logits_equal_transformers_and_go_back(case: str, tmp_path: Path) -> None:
    peer = make_peer(case)
    peer.save_pretrained(tmp_path / "theirs", max_shard_size="20KB")
    assert (tmp_path / "theirs" / INDEX_NAME).is_file()
    model = load_model(tmp_path / "theirs")
    assert sum(p.numel() for p in model.parameters()) == model.config.num_parameters
    ours = logits_of(model)
    check_same(ours, peer)

    save_model(model, tmp_path / "ours")
    again = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "ours", dtype=torch.float32
    ).eval()
    assert type(again) is type(peer)
    check_same(ours, again)
    assert load_model(tmp_path / "ours").config == model.config


@pytest.mark.parametrize("case", ["qwen3", "starcoder2 window, untied", "llama yarn, mscale"])
def test_double_precision_end_to_end(case: str, tmp_path: Path) -> None:
    make_peer(case).save_pretrained(tmp_path)
    model = load_model(tmp_path)
    single = logits_of(model)
    double = logits_of(model.double())
    assert double.dtype == torch.float64
    assert (double - single).abs().max() <= 1e-5 * max(1.0, float(double.abs().max()))
    with torch.no_grad():
        row = model.logits(model(IDS[:, :50]))
    assert (row - double[:, :50]).abs().max() <= 1e-12, "float32 somewhere would give 1e-6"


@pytest.mark.parametrize("window", [1, 3, 255, 256, 257, 600])
def test_windowed_attention_equals_its_definition(window: int) -> None:
    from paceline.model.attention import block_causal_attention

    generator = torch.Generator().manual_seed(window)
    q, k, v = (torch.randn(1, heads, 530, 8, generator=generator) for heads in (4, 2, 2))
    row, column = torch.arange(530)[:, None], torch.arange(530)[None]
    visible = (column <= row) & (column > row - window)
    expected = torch.nn.functional.scaled_dot_product_attention(
        q, k, v, attn_mask=visible, enable_gqa=True
    )
    torch.testing.assert_close(block_causal_attention(q, k, v, window), expected)


def test_every_shape_trains() -> None:
    """Gradients reach all parameters; initialise() covers all of them."""
    config = ModelConfig(
        vocab_size=40,
        hidden_size=16,
        num_layers=1,
        num_heads=2,
        num_kv_heads=1,
        head_dim=8,
        ffn_size=24,
        context_tokens=64,
        family="starcoder2",
        norm="layer",
        ffn="gelu_tanh",
        has_qk_norm=False,
        has_qkv_bias=True,
        has_out_bias=True,
        has_ffn_bias=True,
        is_tied=False,
    )
    model = CausalLm(config)
    model.initialise(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("o_proj.weight", "c_proj.weight")):
                parameter.normal_()
    model.logits(model(IDS[:, :30] % 40)).logsumexp(-1).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.isfinite().all()
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
