"""LocalGenerator keeps the contract of TextGenerator and TextScorer."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from paceline.core.errors import (
    CheckpointError,
    EmptyPromptError,
    InputError,
    PromptTooLongError,
    UnknownModelError,
)
from paceline.core.types import Snippet
from paceline.fleet.local import LocalGenerator
from paceline.generate.types import (
    GenerateParams,
    PromptParts,
    TextChunk,
    TextGenerator,
    TextScorer,
)
from paceline.prompt.fim import FimTemplate, arrange, fim_ids
from paceline.tokenizer.bpe import train_tokenizer
from paceline.tokenizer.specials import SPECIALS
from tests.engine.tiny import naive_greedy, naive_logprobs
from tests.fleet.model_folder import (
    CONTEXT_TOKENS,
    small_model,
    small_tokenizer,
    write_model_folder,
)
from tests.fleet.scripted import CONFIG, ScriptExecutor, scripted_generator

PARTS = PromptParts(prefix="def add(first, ", suffix=")\n")
IDS = fim_ids(small_tokenizer())


def encode(text: str) -> list[int]:
    return small_tokenizer().encode(text)


def spm(parts: PromptParts) -> list[int]:
    return arrange(encode(parts.prefix), encode(parts.suffix or ""), IDS, "spm")


async def collect(
    generator: TextGenerator,
    parts: PromptParts = PARTS,
    params: GenerateParams = GenerateParams(),
    model_id: str | None = None,
) -> list[TextChunk]:
    return [chunk async for chunk in generator.stream(parts, params, model_id=model_id)]


def say(script: Sequence[int], params: GenerateParams = GenerateParams()) -> list[TextChunk]:
    """The chunks of a model that says `script`, checked for what holds for every stream."""
    with scripted_generator(script) as (generator, _):
        chunks = asyncio.run(collect(generator, PARTS, params))
    assert [chunk.finish_reason is None for chunk in chunks] == [True] * (len(chunks) - 1) + [False]
    assert [chunk.prompt_tokens for chunk in chunks] == [len(spm(PARTS))] + [0] * (len(chunks) - 1)
    assert not any(name in joined(chunks) for name in SPECIALS)
    assert all(chunk.text for chunk in chunks[:-1])
    return chunks


def joined(chunks: list[TextChunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model_folder(tmp_path_factory.mktemp("models") / "small")


@pytest.fixture(scope="module")
def generator(folder: Path) -> Iterator[LocalGenerator]:
    loaded = LocalGenerator.load(
        folder,
        model_id="small",
        engine_config=CONFIG,
        template=FimTemplate(is_healed=False),
    )
    with contextlib.closing(loaded):
        yield loaded


def test_it_is_a_generator_and_a_scorer(generator: LocalGenerator, folder: Path) -> None:
    as_generator: TextGenerator = generator
    as_scorer: TextScorer = generator
    assert as_scorer is generator
    (info,) = as_generator.models
    assert (info.model_id, info.context_tokens, info.license) == ("small", 128, "Apache-2.0")
    assert info.num_parameters == sum(p.numel() for p in small_model().parameters())
    assert (info.path, info.created_at_s > 0) == (str(folder), True)


def test_fim_text_is_the_naive_continuation_of_the_spm_prompt(generator: LocalGenerator) -> None:
    chunks = asyncio.run(collect(generator, PARTS, GenerateParams(max_tokens=20)))
    expected = naive_greedy(small_model(), spm(PARTS), 20)
    assert not any(token_id < len(SPECIALS) for token_id in expected), "pick another model seed"
    assert joined(chunks) == small_tokenizer().decode(expected)
    assert chunks[-1].finish_reason == "length"
    assert sum(chunk.num_tokens for chunk in chunks) == 20
    logprobs = naive_logprobs(small_model(), spm(PARTS), expected)
    assert sum(chunk.logprob for chunk in chunks) == pytest.approx(sum(logprobs), abs=1e-3)


def test_without_a_suffix_the_prompt_is_plain() -> None:
    with scripted_generator([IDS.end]) as (generator, executor):
        asyncio.run(collect(generator, PromptParts(prefix="for index")))
        asyncio.run(collect(generator, PromptParts(prefix="for index", suffix="")))
    plain, fim = (step[0].token_ids for step in executor.steps)
    assert plain == [IDS.end, *encode("for index")]
    assert fim == [IDS.prefix, IDS.suffix, IDS.middle, *encode("for index")]


def test_snippets_reach_the_prompt() -> None:
    parts = PromptParts(prefix="x", suffix="", snippets=(Snippet(path="a.py", text="y"),))
    with scripted_generator([IDS.end]) as (generator, executor):
        asyncio.run(collect(generator, parts))
    assert executor.steps[0][0].token_ids[:-4] == [IDS.file_sep, *encode("# a.py\ny\n")]


def test_end_of_text_stops() -> None:
    chunks = say([*encode("a + b"), IDS.end])
    assert (joined(chunks), chunks[-1].finish_reason) == ("a + b", "stop")
    (only,) = say([IDS.end])
    assert (only.text, only.num_tokens, only.finish_reason) == ("", 0, "stop")


@pytest.mark.parametrize("name", ["prefix", "suffix", "middle", "file_sep"])
def test_sentinels_stop(name: str) -> None:
    chunks = say([*encode("a + b"), getattr(IDS, name), *encode("c")])
    assert (joined(chunks), chunks[-1].finish_reason) == ("a + b", "stop")


def test_other_specials_are_counted_but_never_text() -> None:
    email = small_tokenizer().special_id("<|email|>")
    chunks = say([*encode("a"), email, *encode("b"), email, IDS.end])
    assert (joined(chunks), sum(chunk.num_tokens for chunk in chunks)) == ("ab", 4)


async def assert_gone_after(
    num_steps: int, generator: LocalGenerator, executor: ScriptExecutor
) -> None:
    """Let the held step go on and ask anew: the first sequence was in at most `num_steps` steps."""
    executor.go.set()
    await collect(generator, PromptParts(prefix="other"), GenerateParams(max_tokens=30))
    _, first_of_other = (i for i, step in enumerate(executor.steps) if step[0].start == 0)
    assert first_of_other <= num_steps
    assert len(executor.steps) == first_of_other + 30
    assert all(len(step) == 1 for step in executor.steps), "the old sequence is still computed"


def test_stop_strings_are_cut_across_tokens() -> None:
    text = "first\n\n\nclass"
    num_tokens = len(encode(text))

    async def main(generator: LocalGenerator, executor: ScriptExecutor) -> None:
        chunks = await collect(generator, PARTS, GenerateParams(stop=("\n\nclass", "zzz")))
        assert (joined(chunks), chunks[-1].finish_reason) == ("first\n", "stop")
        assert sum(chunk.num_tokens for chunk in chunks) == num_tokens
        await assert_gone_after(num_tokens + 1, generator, executor)

    with scripted_generator(encode(text), held_step=num_tokens + 1) as (generator, executor):
        asyncio.run(main(generator, executor))


def test_text_held_for_a_stop_string_comes_at_the_end() -> None:
    chunks = say([*encode("a\n\n"), IDS.end], GenerateParams(stop=("\n\n\n",)))
    assert (joined(chunks), chunks[-1].finish_reason) == ("a\n\n", "stop")
    chunks = say(encode("a\n\n"), GenerateParams(stop=("\n\n\n",), max_tokens=2))
    assert (joined(chunks), chunks[-1].finish_reason) == ("a\n\n", "length")


def test_emoji_and_cjk_arrive_whole() -> None:
    text = "x = '你好 🚀👩\u200d💻'"
    chunks = say([*encode(text), IDS.end], GenerateParams(max_tokens=90))
    assert joined(chunks) == text
    assert sum(chunk.num_tokens for chunk in chunks) == len(encode(text))
    cut = say(encode("🚀"), GenerateParams(max_tokens=2))
    assert (joined(cut), cut[-1].num_tokens) == ("\ufffd", 2)


def test_closing_the_stream_cancels_within_one_step() -> None:
    async def main(generator: LocalGenerator, executor: ScriptExecutor) -> None:
        stream = generator.stream(PARTS, GenerateParams(max_tokens=100))
        await anext(stream)
        await stream.aclose()
        await assert_gone_after(4, generator, executor)

    with scripted_generator(encode("a"), held_step=4) as (generator, executor):
        asyncio.run(main(generator, executor))


def test_a_reader_that_is_cancelled_cancels_the_sequence() -> None:
    async def main(generator: LocalGenerator, executor: ScriptExecutor) -> None:
        reader = asyncio.create_task(collect(generator, PARTS, GenerateParams(max_tokens=100)))
        await asyncio.to_thread(executor.is_held.wait)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        await assert_gone_after(1, generator, executor)

    with scripted_generator(encode("a"), held_step=1) as (generator, executor):
        asyncio.run(main(generator, executor))


def test_seeds(generator: LocalGenerator) -> None:
    def draw(seed: int | None) -> str:
        params = GenerateParams(max_tokens=20, temperature=1.0, seed=seed)
        return joined(asyncio.run(collect(generator, PARTS, params)))

    assert draw(1) == draw(1) != draw(2)
    assert draw(None) != draw(None)


def test_concurrent_streams_do_not_mix(generator: LocalGenerator) -> None:
    all_parts = [PromptParts(prefix="value = " * (1 + i), suffix="\n" * i) for i in range(12)]
    params = GenerateParams(max_tokens=15)

    async def main() -> list[list[TextChunk]]:
        return await asyncio.gather(*(collect(generator, parts, params) for parts in all_parts))

    for parts, chunks in zip(all_parts, asyncio.run(main()), strict=True):
        assert joined(chunks) == joined(asyncio.run(collect(generator, parts, params)))


@pytest.mark.parametrize("suffix", [None, ""])
def test_an_empty_prompt_is_refused(generator: LocalGenerator, suffix: str | None) -> None:
    with pytest.raises(EmptyPromptError):
        asyncio.run(collect(generator, PromptParts(prefix="", suffix=suffix)))


def test_an_unknown_model_is_refused(generator: LocalGenerator) -> None:
    with pytest.raises(UnknownModelError, match=r"'other'; known models: small"):
        asyncio.run(collect(generator, model_id="other"))
    assert asyncio.run(collect(generator, model_id="small"))


@pytest.mark.parametrize("suffix", [None, "y\n" * 30])
def test_a_long_prompt_is_cut_or_refused(generator: LocalGenerator, suffix: str | None) -> None:
    prefix = "value = first + second\n" * 40
    params = GenerateParams(max_tokens=28)
    cut = asyncio.run(collect(generator, PromptParts(prefix=prefix, suffix=suffix), params))
    room = CONTEXT_TOKENS - 28 - 1  # a far end that stays where it is may leave some of it unused
    assert room / 2 <= cut[0].prompt_tokens <= room
    less = GenerateParams(max_tokens=28, max_prompt_tokens=50)
    cut = asyncio.run(collect(generator, PromptParts(prefix=prefix, suffix=suffix), less))
    assert 25 <= cut[0].prompt_tokens <= 50
    whole = PromptParts(prefix=prefix, suffix=suffix, is_truncatable=False)
    with pytest.raises(PromptTooLongError) as caught:
        asyncio.run(collect(generator, whole, params))
    num_text = len(encode(prefix)) + (0 if suffix is None else len(encode(suffix)))
    assert caught.value.prompt_tokens == num_text + (1 if suffix is None else 3)
    assert (caught.value.max_tokens, caught.value.context_tokens) == (28, CONTEXT_TOKENS)


def test_a_prompt_that_must_stay_whole_stays_whole() -> None:
    parts = PromptParts(prefix="first" * 20, suffix="index", is_truncatable=False)
    with scripted_generator([IDS.end]) as (generator, executor):
        asyncio.run(collect(generator, parts, GenerateParams(max_tokens=64)))
    assert executor.steps[0][0].token_ids == spm(parts)


@pytest.mark.parametrize("max_tokens", [-1, 0, CONTEXT_TOKENS - 4, CONTEXT_TOKENS, 10**9])
def test_max_tokens_out_of_range_is_refused(generator: LocalGenerator, max_tokens: int) -> None:
    with pytest.raises(InputError, match="max_tokens"):
        asyncio.run(collect(generator, PARTS, GenerateParams(max_tokens=max_tokens)))


def test_the_largest_max_tokens_leaves_a_prompt(generator: LocalGenerator) -> None:
    params = GenerateParams(max_tokens=CONTEXT_TOKENS - 5)
    assert asyncio.run(collect(generator, PARTS, params))[0].prompt_tokens == 4
    with pytest.raises(InputError, match="max_prompt_tokens"):
        asyncio.run(collect(generator, PARTS, GenerateParams(max_prompt_tokens=3)))


def test_score(generator: LocalGenerator) -> None:
    text = "second: 你"
    score = generator.score(PARTS, text)
    logprobs = naive_logprobs(small_model(), spm(PARTS), encode(text))
    assert score.bits == pytest.approx(-sum(logprobs) / math.log(2), abs=1e-3)
    assert (score.num_bytes, score.num_tokens) == (11, len(encode(text)))
    assert generator.score(PARTS, "").bits == 0
    from_start = generator.score(PromptParts(prefix=""), text)
    logprobs = naive_logprobs(small_model(), [IDS.end], encode(text))
    assert from_start.bits == pytest.approx(-sum(logprobs) / math.log(2), abs=1e-3)


def test_missing_truncated_and_mismatched_files(folder: Path, tmp_path: Path) -> None:
    def load(name: str) -> LocalGenerator:
        return LocalGenerator.load(tmp_path / name, model_id=name, engine_config=CONFIG)

    with pytest.raises(CheckpointError, match="is not a folder"):
        load("absent")
    for is_sealed in (True, False):
        for file in ("model.safetensors", "tokenizer.json", "config.json"):
            damaged = write_model_folder(tmp_path / f"{file}-{is_sealed}", is_sealed=is_sealed)
            raw = (damaged / file).read_bytes()
            (damaged / file).write_bytes(raw[: len(raw) // 2])
            with pytest.raises(CheckpointError, match=file):
                load(damaged.name)
            (damaged / file).unlink()
            with pytest.raises(CheckpointError, match=f"{file} is missing"):
                load(damaged.name)


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "mixed", is_sealed=False)
    train_tokenizer(["other"] * 3 + list("abc"), vocab_size=320).save(folder / "tokenizer.json")
    with pytest.raises(CheckpointError, match="not of one model"):
        LocalGenerator.load(folder, model_id="mixed", engine_config=CONFIG)
