"""Tokenizer invariants: lossless, deterministic specials, no injection."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.core.errors import CheckpointError
from paceline.tokenizer.bpe import Tokenizer, train_tokenizer
from paceline.tokenizer.specials import NAMED, NUM_SPECIALS, SPECIALS

TEXTS = ["def f(x):\n    return x + 1\n", "class A:\n    pass  # é 你好\n"] * 40


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(TEXTS, vocab_size=400)


@given(text=st.text(max_size=200))
def test_decode_inverts_encode(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(pieces=st.lists(st.sampled_from([*SPECIALS[:6], "x", " ", "\n"]), max_size=20))
def test_text_never_becomes_a_special_id(tokenizer: Tokenizer, pieces: list[str]) -> None:
    text = "".join(pieces)
    assert all(token_id >= NUM_SPECIALS for token_id in tokenizer.encode(text))


def test_specials_have_fixed_ids_and_at_least_32_are_kept_in_reserve(tokenizer: Tokenizer) -> None:
    assert [tokenizer.special_id(name) for name in SPECIALS] == list(range(NUM_SPECIALS))
    assert NUM_SPECIALS - len(NAMED) >= 32


def test_batch_equals_one_by_one(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode_batch(TEXTS[:4]) == [tokenizer.encode(t) for t in TEXTS[:4]]


def test_save_and_load_and_transformers_agree(tokenizer: Tokenizer, tmp_path: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    peer = PreTrainedTokenizerFast(tokenizer_file=str(path))
    for text in TEXTS[:2]:
        assert Tokenizer.load(path).encode(text) == tokenizer.encode(text)
        assert peer.encode(text, add_special_tokens=False) == tokenizer.encode(text)


@pytest.mark.parametrize("content", [None, b"", b"{}", b"\xff\xfe"])
def test_damaged_file_is_a_checkpoint_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "tokenizer.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        Tokenizer.load(path)
