"""What 8-bit arithmetic costs on the shipped model: bits per byte of Python's standard library."""

from __future__ import annotations

import math
import sysconfig
from pathlib import Path

import torch

from paceline.engine.native.runner import NativeRunner
from paceline.engine.step import Rows
from paceline.model.checkpoint import load_model
from paceline.tokenizer.bpe import Tokenizer

MODEL = Path(__file__).parents[2] / "models" / "paceline-python-6m"
NUM_FILES, MAX_TOKENS = 6, 600
MAX_RELATIVE = 0.003
"""Measured on 20,000 tokens: 0.0001."""


def nats(logits_TV: torch.Tensor, ids: list[int]) -> float:
    targets_T = torch.tensor(ids[1:])
    return float(torch.nn.functional.cross_entropy(logits_TV[:-1], targets_T, reduction="sum"))


def test_bits_per_byte_of_the_shipped_model() -> None:
    model, tokenizer = load_model(MODEL), Tokenizer.load(MODEL / "tokenizer.json")
    runner = NativeRunner(model, num_blocks=64)
    files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[3::25][:NUM_FILES]
    wanted = got = 0.0
    num_bytes = 0
    for path in files:
        ids = tokenizer.encode(path.read_text(encoding="utf-8")[:3000])[:MAX_TOKENS]
        with torch.inference_mode():
            wanted += nats(model.logits(model(torch.tensor([ids]))[0]), ids)
        got += nats(runner.forward([Rows(range(64), 0, ids, len(ids))]), ids)
        num_bytes += len(tokenizer.decode(ids[1:]).encode())
    assert abs(got / wanted - 1) < MAX_RELATIVE
    assert got / num_bytes / math.log(2) < 2.0, "the shipped model has learnt something"
