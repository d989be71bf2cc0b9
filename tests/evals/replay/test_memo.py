"""The generator that remembers: same text, same counts, computed again only where memory does not reach."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from paceline.evals.replay.clock import ReplayClock
from paceline.evals.replay.memo import MemoGenerator
from paceline.generate.types import GenerateParams, PromptParts, TextChunk
from tests.fakes import FakeGenerator

PIECES = ("ab", "c", "d\n", "ef", "g")
TEXT = "".join(PIECES)
PARTS = PromptParts(prefix="x = ", suffix="\n")


def read(generator: MemoGenerator | FakeGenerator, params: GenerateParams) -> list[TextChunk]:
    async def collect() -> list[TextChunk]:
        return [chunk async for chunk in generator.stream(PARTS, params)]

    return asyncio.run(collect())


def until(num_chars: int) -> GenerateParams:
    """Stops as soon as there are so many characters."""
    return GenerateParams(max_tokens=8, stop_when=lambda text: len(text) >= num_chars)


def text_of(chunks: list[TextChunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


@given(st.lists(st.integers(1, len(TEXT) + 3), min_size=1, max_size=6))
def test_readers_get_what_they_would_have_got(ends: list[int]) -> None:
    inner = FakeGenerator(PIECES)
    memo = MemoGenerator(inner, ReplayClock(lambda: 0.0))
    num_tokens = 0
    for end in ends:
        found, wanted = read(memo, until(end)), read(FakeGenerator(PIECES), until(end))
        assert text_of(found) == text_of(wanted)
        assert found[-1].finish_reason == wanted[-1].finish_reason == "stop"
        num_tokens += sum(chunk.num_tokens for chunk in wanted)
    assert memo.num_tokens == num_tokens
    assert memo.num_computed == len(inner.calls) <= len(set(ends))


def test_a_later_stop_is_computed_an_earlier_one_remembered() -> None:
    memo = MemoGenerator(FakeGenerator(PIECES), ReplayClock(lambda: 0.0))
    counts: list[tuple[str, int]] = []
    for end in (3, 2, 5, 4, 100, 100):
        counts.append((text_of(read(memo, until(end))), memo.num_computed))
    assert counts == [("abc", 1), ("ab", 1), ("abcd\n", 2), ("abcd\n", 2), (TEXT, 3), (TEXT, 3)]


def test_other_limits_and_other_prompts_are_other_questions() -> None:
    memo = MemoGenerator(FakeGenerator(PIECES), ReplayClock(lambda: 0.0))
    assert text_of(read(memo, GenerateParams(max_tokens=2))) == "abc"
    assert text_of(read(memo, GenerateParams(max_tokens=8))) == TEXT
    assert text_of(read(memo, GenerateParams(max_tokens=8, stop=("\n",)))) == "abcd"
    assert memo.num_computed == 3


def test_what_is_drawn_at_random_is_not_remembered() -> None:
    inner = FakeGenerator(PIECES)
    memo = MemoGenerator(inner, ReplayClock(lambda: 0.0))
    for _ in range(3):
        read(memo, GenerateParams(temperature=0.8))
    assert len(inner.calls) == 3


def test_remembered_text_takes_as_long_as_it_took() -> None:
    now = 0.0

    class Slow(FakeGenerator):
        def _chunks(self, parts: PromptParts, params: GenerateParams) -> list[TextChunk]:
            nonlocal now
            now += 70.0
            return super()._chunks(parts, params)

    clock = ReplayClock(lambda: now)
    memo = MemoGenerator(Slow(PIECES), clock)
    took: list[float] = []
    for _ in range(3):
        before_ms = clock.now_ms()
        read(memo, GenerateParams(max_tokens=8))
        took.append(clock.now_ms() - before_ms)
    assert took == [70.0, 70.0, 70.0]
    assert memo.num_computed == 1
