"""Token healing: the output begins with the half-typed word, whatever the model would rather say."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from paceline.engine.config import EngineConfig
from paceline.engine.engine import TokenEngine
from paceline.engine.executors import open_executor
from paceline.fleet.folder import OpenedModel
from paceline.fleet.healing import Healing, TokenTable, heal
from paceline.fleet.local import LocalGenerator
from paceline.generate.types import GenerateParams, PromptParts, TextChunk
from paceline.model.config import ModelConfig
from paceline.model.decoder import CausalLm
from paceline.prompt.fim import FimTemplate, fim_ids, render_fim
from paceline.tokenizer.bpe import Tokenizer, train_tokenizer
from paceline.tokenizer.specials import NUM_SPECIALS

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


@pytest.fixture(scope="module")
def model(tokenizer: Tokenizer) -> CausalLm:
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
    return model.eval()


@pytest.fixture
def generator(model: CausalLm, tokenizer: Tokenizer) -> Iterator[LocalGenerator]:
    opened = OpenedModel(folder=Path(), model=model, tokenizer=tokenizer, manifest=None)
    config = EngineConfig(dtype="float32", num_threads=1)
    engine = TokenEngine(open_executor(model, config), config)
    generator = LocalGenerator(opened, engine, model_id="m")
    yield generator
    generator.close()


PREFIX = "def area(width, height):\n    self.rea"


def test_stream_returns_only_what_follows_the_typed_characters(
    generator: LocalGenerator, model: CausalLm, tokenizer: Tokenizer
) -> None:
    """The same greedy continuation as a naive search that forbids ids that disagree."""
    assert asyncio.run(_collect(generator, PREFIX)) == _naive(model, tokenizer, PREFIX, 6)


@pytest.mark.parametrize("max_tokens", [1, 2, 5])
def test_typed_characters_do_not_count_as_output(
    generator: LocalGenerator, tokenizer: Tokenizer, max_tokens: int
) -> None:
    async def collect() -> list[TextChunk]:
        parts, params = (
            PromptParts(prefix=PREFIX, suffix="\n"),
            GenerateParams(max_tokens=max_tokens),
        )
        return [chunk async for chunk in generator.stream(parts, params)]

    chunks = asyncio.run(collect())
    assert sum(chunk.num_tokens for chunk in chunks) == max_tokens
    assert chunks[-1].finish_reason == "length"
    prompt = render_fim(
        PREFIX, "\n", tokenizer, fim_ids(tokenizer), FimTemplate(), max_prompt_tokens=200
    )
    assert chunks[0].prompt_tokens == len(prompt)


def test_a_long_word_is_not_written_again(tokenizer: Tokenizer, table: TokenTable) -> None:
    prefix = "x = (" + "(" * 60
    ids = tokenizer.encode(prefix)
    assert heal(ids, prefix, tokenizer, table) == (ids, None)


def test_score_is_that_of_the_healed_decoder(
    generator: LocalGenerator, model: CausalLm, tokenizer: Tokenizer
) -> None:
    """Two spellings, each id's probability taken among those that agree with the typed word."""
    continuation = "dings = width"
    prompt, word = _healed_prompt(tokenizer, PREFIX)
    joint = tokenizer.encode(word.decode() + continuation)
    apart = [*tokenizer.encode(word.decode()), *tokenizer.encode(continuation)]
    assert joint != apart
    probability = sum(
        math.exp(_log_probability(model, tokenizer, prompt, ids, word)) for ids in (joint, apart)
    )
    score = generator.score(PromptParts(prefix=PREFIX, suffix="\n"), continuation)
    assert score.bits == pytest.approx(-math.log2(probability), abs=1e-3)
    assert score.num_bytes == len(continuation)


async def _collect(generator: LocalGenerator, prefix: str) -> str:
    parts = PromptParts(prefix=prefix, suffix="\n")
    params = GenerateParams(max_tokens=6)
    return "".join([chunk.text async for chunk in generator.stream(parts, params)])


def _healed_prompt(tokenizer: Tokenizer, prefix: str) -> tuple[list[int], bytes]:
    ids = fim_ids(tokenizer)
    word = tokenizer.last_word(prefix)
    prompt = render_fim(prefix, "\n", tokenizer, ids, FimTemplate(), max_prompt_tokens=200)
    return prompt[: -len(tokenizer.encode(word))], word.encode()


def _healed_logits(
    model: CausalLm, tokenizer: Tokenizer, prompt: list[int], output: list[int], word: bytes
) -> torch.Tensor:
    """Logits of the next id; -inf for ids that disagree with what is left of the word."""
    spelled = tokenizer.vocabulary_bytes()
    with torch.no_grad():
        logits = model.logits(model(torch.tensor([prompt + output])))[0, -1]
    rest = word[sum(len(spelled[i]) for i in output) :]
    for token_id in range(len(logits)):
        text = spelled.get(token_id)
        if rest and (text is None or not (text.startswith(rest) or rest.startswith(text))):
            logits[token_id] = -torch.inf
    return logits


def _naive(model: CausalLm, tokenizer: Tokenizer, prefix: str, num_tokens: int) -> str:
    prompt, word = _healed_prompt(tokenizer, prefix)
    output: list[int] = []
    for _ in range(num_tokens + len(tokenizer.encode(word.decode()))):
        token_id = int(_healed_logits(model, tokenizer, prompt, output, word).argmax())
        if token_id < NUM_SPECIALS:
            break
        output.append(token_id)
    return tokenizer.decode(output)[len(word.decode()) :]


def _log_probability(
    model: CausalLm, tokenizer: Tokenizer, prompt: list[int], ids: list[int], word: bytes
) -> float:
    total = 0.0
    for index, token_id in enumerate(ids):
        logits = _healed_logits(model, tokenizer, prompt, ids[:index], word)
        total += float(logits.log_softmax(dim=-1)[token_id])
    return total
