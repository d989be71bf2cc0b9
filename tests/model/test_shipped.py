"""The model under models/: whole, documented, and the same to `transformers` as to us."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from paceline.artifacts.manifest import read_manifest, verify_files
from paceline.model.checkpoint import load_model
from paceline.prompt.fim import FimTemplate, fim_ids, render_fim
from paceline.tokenizer.bpe import Tokenizer

MODELS = Path(__file__).parents[2] / "models"
PREFIX = "class Stack:\n    def __init__(self):\n        self.items = []\n\n    def push(self, item):\n        self."
SUFFIX = "\n\n    def pop(self):\n        return self.items.pop()\n"


@pytest.fixture(scope="module")
def folder() -> Path:
    return MODELS / (MODELS / "default").read_text().strip()


def test_files_match_their_manifest_and_stay_small(folder: Path) -> None:
    manifest = read_manifest(folder, "checkpoint")
    verify_files(folder, manifest, is_hashed=True)
    assert sum(entry.num_bytes for entry in manifest.files) < 150_000_000
    assert max(entry.num_bytes for entry in manifest.files) < 50_000_000
    assert manifest.stats["train_packages"]
    assert manifest.parents["corpus"]


def test_card_names_data_licences_figures_and_licence(folder: Path) -> None:
    card = (folder / "README.md").read_text(encoding="utf-8")
    for heading in ("## Figures", "## How it was made", "## Data", "## Licence"):
        assert heading in card
    assert "Not evaluated yet" not in card
    assert all(name in card for name in read_manifest(folder, "checkpoint").stats["train_packages"])


def test_transformers_gives_the_same_ids_and_logits(folder: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    tokenizer = Tokenizer.load(folder / "tokenizer.json")
    prompt = render_fim(
        PREFIX, SUFFIX, tokenizer, fim_ids(tokenizer), FimTemplate(), max_prompt_tokens=512
    )
    peer_tokenizer = AutoTokenizer.from_pretrained(folder)
    text = f"<|fim_prefix|><|fim_suffix|>{SUFFIX}<|fim_middle|>{PREFIX}"
    assert peer_tokenizer.encode(text, add_special_tokens=False) == prompt
    ids = torch.tensor([prompt])
    peer = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ours = load_model(folder)
    with torch.no_grad():
        difference = (ours.logits(ours(ids)) - peer(ids).logits).abs().max()
    assert difference <= 1e-3
