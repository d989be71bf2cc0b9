"""A whole model folder, made in a moment: a tokenizer of 400 ids and a random model of two layers."""

from __future__ import annotations

import functools
from pathlib import Path

import msgspec

from paceline.artifacts.manifest import Manifest, seal
from paceline.model.checkpoint import save_model
from paceline.model.decoder import CausalLm
from paceline.tokenizer.bpe import Tokenizer, train_tokenizer
from tests.engine.tiny import TINY, tiny_model

VOCAB_SIZE = 400
CONTEXT_TOKENS = 128

TEXTS = (
    "def add(first, second):\n    return first + second\n\n\nfor index in range(10):\n    print(index)\n",
    "class Cursor:\n    def __init__(self, offset):\n        self.offset = offset\n",
    "größer = 'naïve café'  # 你好，世界 🙂👩‍💻\nvalue = {'key': [1, 2, 3]}\n",
)


@functools.cache
def small_tokenizer() -> Tokenizer:
    """Byte-level BPE; few merges, so that most code points beyond ASCII need several ids."""
    return train_tokenizer(TEXTS, vocab_size=VOCAB_SIZE)


@functools.cache
def small_model() -> CausalLm:
    """A model for `small_tokenizer`."""
    config = msgspec.structs.replace(
        TINY, vocab_size=small_tokenizer().vocab_size, context_tokens=CONTEXT_TOKENS
    )
    return tiny_model(config, seed=3)


def write_model_folder(folder: Path, *, is_sealed: bool = True) -> Path:
    """Write config, weights, tokenizer and (if sealed) the manifest."""
    save_model(small_model(), folder)
    small_tokenizer().save(folder / "tokenizer.json")
    if is_sealed:
        seal(folder, Manifest(kind="checkpoint", stats={"license": "Apache-2.0"}))
    return folder
