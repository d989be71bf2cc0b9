"""Token healing: the output begins with the half-typed word, whatever the model would rather say."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from paceline.engine.config import EngineConfig
from paceline.engine.engine import TokenEngine
from paceline.fleet.folder import OpenedModel
from paceline.fleet.healing import Healing, TokenTable, heal
from paceline.fleet.local import LocalGenerator
from paceline.generate.types import GenerateParams, PromptParts
from paceline.model.config import ModelConfig
from paceline.model.qwen3 import CausalLm
from paceline.prompt.fim import FimTemplate, fim_ids, render_fim
from paceline.tokenizer.bpe import Tokenizer, train_tokenizer

CODE = "def area(width, height):\n    self.readings = width * height\n    return self.readings\n"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer([CODE] * 50, vocab_size=380)


@pytest.fixture(scope="module")
def table(tokenizer: Tokenizer) -> TokenTable:
    return TokenTable(tokenizer)


@given(text=st.text(max_size=60) | st.sampled_from([CODE[:n] for n in range(len(CODE))]))
def test_last_word_is_encoded_apart(tokenizer: Tokenizer, text: str) -> None:
    word = tokenizer.last_word(text)
    assert text.endswith(word)
    assert bool(word) == bool(text)
    before = text[: len(text) - len(word)]
    assert tokenizer.encode(before) + tokenizer.encode(word) == tokenizer.encode(text)


def test_vocabulary_bytes_spell_every_text(tokenizer: Tokenizer) -> None:
    spelled = tokenizer.vocabulary_bytes()
    for text in (CODE, "é😀 你好\t\x00"):
        assert b"".join(spelled[i] for i in tokenizer.encode(text)) == text.encode()


@given(rest=st.sampled_from([b" ", b"self", b".rea", b"\xff", b"wid", "é".encode(), b"    "]))
def test_agreeing_ids_are_all_that_agree(
    tokenizer: Tokenizer, table: TokenTable, rest: bytes
) -> None:
    slow = {
        token_id
        for token_id, text in tokenizer.vocabulary_bytes().items()
        if text.startswith(rest) or rest.startswith(text)
    }
    fast = table.agreeing(rest)
    assert len(fast) == len(set(fast))
    assert set(fast) == slow


@given(cut=st.integers(1, len(CODE) - 1), data=st.data())
def test_any_walk_along_allowed_ids_writes_the_word(
    tokenizer: Tokenizer, table: TokenTable, cut: int, data: st.DataObject
) -> None:
    prefix = CODE[:cut]
    whole = render_fim(
        prefix, "", tokenizer, fim_ids(tokenizer), FimTemplate(), max_prompt_tokens=200
    )
    prompt, healing = heal(whole, prefix, tokenizer, table)
    if healing is None:
        assert prompt == whole
        assert prefix.endswith("\n")
        return
    assert prompt + tokenizer.encode(healing.word) == whole
    output: list[int] = []
    while (allowed := healing.allowed_ids(output)) is not None:
        output.append(data.draw(st.sampled_from(allowed)))
    assert b"".join(map(table.bytes_of, output)).startswith(healing.word.encode())


def test_nothing_is_taken_back_at_the_start_of_a_line(
    tokenizer: Tokenizer, table: TokenTable
) -> None:
    ids = tokenizer.encode("x = 1\n")
    assert heal(ids, "x = 1\n", tokenizer, table) == (ids, None)
    assert heal([], "", tokenizer, table) == ([], None)


def test_healing_of_an_empty_rest_allows_everything(
    table: TokenTable, tokenizer: Tokenizer
) -> None:
    healing = Healing(" wid", table)
    assert healing.allowed_ids(tokenizer.encode(" width")) is None


def test_stream_returns_only_what_follows_the_typed_characters(tokenizer: Tokenizer) -> None:
    """The same greedy continuation as a naive search that forbids ids that disagree."""
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=32,
        num_layers=2,
        num_heads=2,
        num_kv_heads=1,
        head_dim=16,
        ffn_size=48,
        context_tokens=256,
    )
    model = CausalLm(config)
    model.initialise(3)
    opened = OpenedModel(folder=Path(), model=model.eval(), tokenizer=tokenizer, manifest=None)
    engine = TokenEngine.for_model(model, EngineConfig(dtype="float32", num_threads=1))
    generator = LocalGenerator(opened, engine, model_id="m")
    prefix = "def area(width, height):\n    self.rea"
    try:
        text = asyncio.run(_collect(generator, prefix))
    finally:
        generator.close()
    assert text == _naive(model, tokenizer, prefix, num_tokens=6)


async def _collect(generator: LocalGenerator, prefix: str) -> str:
    parts = PromptParts(prefix=prefix, suffix="\n")
    params = GenerateParams(max_tokens=6)
    return "".join([chunk.text async for chunk in generator.stream(parts, params)])


def _naive(model: CausalLm, tokenizer: Tokenizer, prefix: str, num_tokens: int) -> str:
    spelled = tokenizer.vocabulary_bytes()
    ids = fim_ids(tokenizer)
    word = tokenizer.last_word(prefix).encode()
    prompt = render_fim(prefix, "\n", tokenizer, ids, FimTemplate(), max_prompt_tokens=200)
    num_word = len(tokenizer.encode(word.decode()))
    prompt, output = prompt[:-num_word], list[int]()
    for _ in range(num_tokens + num_word):
        with torch.no_grad():
            logits = model.logits(model(torch.tensor([prompt + output])))[0, -1]
        rest = word[sum(len(spelled[i]) for i in output) :]
        for token_id in range(len(logits)):
            text = spelled.get(token_id)
            if rest and (text is None or not (text.startswith(rest) or rest.startswith(text))):
                logits[token_id] = -torch.inf
        token_id = int(logits.argmax())
        if token_id < 48:
            break
        output.append(token_id)
    return tokenizer.decode(output)[len(word.decode()) :]
