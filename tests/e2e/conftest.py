"""A small model folder with seeded random weights, written once for all end-to-end tests."""

from __future__ import annotations

from pathlib import Path

import pytest

TINY_MODEL_ID = "tiny-random"
TINY_CONTEXT_TOKENS = 256


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that writes nonsense, but by the same code as a real one. Tests must not change it."""
    from paceline.model.checkpoint import save_model
    from paceline.model.config import ModelConfig
    from paceline.model.decoder import CausalLm
    from paceline.tokenizer.bpe import FILE_NAME, train_tokenizer

    text = "def area(width, height):\n    return width * height\n\n\nprint(area(2, 3))\n"
    tokenizer = train_tokenizer([text], vocab_size=400)
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=64,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
        head_dim=16,
        ffn_size=128,
        context_tokens=TINY_CONTEXT_TOKENS,
    )
    model = CausalLm(config)
    model.initialise(0)
    folder = tmp_path_factory.mktemp("models") / TINY_MODEL_ID
    save_model(model, folder)
    tokenizer.save(folder / FILE_NAME)
    return folder
