"""Type-through: one sequence answers a newer keystroke as long as the typed text is what it writes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from paceline.fleet.local import LocalGenerator
from paceline.fleet.recents import MAX_PLACES, Recents
from paceline.generate.types import GenerateParams, PromptParts, Session, TextChunk
from tests.fleet.model_folder import small_tokenizer
from tests.fleet.scripted import ScriptExecutor, scripted_generator

PREFIX, SUFFIX = "def add(first, second):\n    value = ", "\n"
SCRIPT = small_tokenizer().encode("first + second")
PARAMS = GenerateParams(max_tokens=len(SCRIPT), session=Session("editor", "file"))


def parts(typed: str = "") -> PromptParts:
    return PromptParts(prefix=PREFIX + typed, suffix=SUFFIX)


async def text_of(stream: AsyncIterator[TextChunk]) -> tuple[str, str | None, int]:
    """(text, finish reason, tokens)."""
    text, reason, num_tokens = "", None, 0
    async for chunk in stream:
        text, num_tokens = text + chunk.text, num_tokens + chunk.num_tokens
        reason = chunk.finish_reason or reason
    return text, reason, num_tokens


async def start(
    generator: LocalGenerator, executor: ScriptExecutor
) -> asyncio.Task[tuple[str, str | None, int]]:
    """Ask without anything typed, and wait until the engine is inside the held step."""
    task = asyncio.create_task(text_of(generator.stream(parts(), PARAMS)))
    await asyncio.to_thread(executor.is_held.wait)
    return task


@pytest.mark.parametrize("typed", ["", "f", "first ", "first + sec"])
def test_typed_text_that_agrees_is_answered_by_the_running_sequence(typed: str) -> None:
    async def main() -> None:
        with scripted_generator(SCRIPT, held_step=3) as (generator, executor):
            older = await start(generator, executor)
            newer = asyncio.create_task(text_of(generator.stream(parts(typed), PARAMS)))
            await asyncio.sleep(0)
            executor.go.set()
            assert (await older)[:2] == ("first + second", "length")
            text, reason, num_tokens = await newer
            assert (text, reason) == ("first + second"[len(typed) :], "length")
            assert 0 < num_tokens <= len(SCRIPT)
            assert executor.num_prompts == 1
            assert len(executor.steps) == len(SCRIPT), "one decode answers both"

    asyncio.run(main())


@pytest.mark.parametrize("typed", ["s", "first +  "])
def test_typed_text_that_disagrees_supersedes(typed: str) -> None:
    """The second case disagrees only with what is written after it was typed."""

    async def main() -> None:
        with scripted_generator(SCRIPT, held_step=2) as (generator, executor):
            older = await start(generator, executor)
            newer = asyncio.create_task(text_of(generator.stream(parts(typed), PARAMS)))
            await asyncio.sleep(0)
            executor.go.set()
            assert (await newer)[:2] == ("first + second", "length")
            text, reason, _ = await older
            assert "first + second".startswith(text)
            assert reason in ("superseded", "length")
            assert executor.num_prompts == 2

    asyncio.run(main())


def test_an_older_request_that_diverges_late_does_not_displace_a_newer_one() -> None:
    """B joins A and turns out to disagree; C, elsewhere, is the newest and must be answered."""

    async def main() -> None:
        with scripted_generator(SCRIPT, held_step=1) as (generator, executor):
            a = asyncio.create_task(text_of(generator.stream(parts(), PARAMS)))
            await asyncio.to_thread(executor.is_held.wait)
            b = asyncio.create_task(text_of(generator.stream(parts("~~"), PARAMS)))
            await asyncio.sleep(0)
            elsewhere = PromptParts(prefix="class Cursor:\n    ", suffix=SUFFIX)
            c = asyncio.create_task(text_of(generator.stream(elsewhere, PARAMS)))
            await asyncio.sleep(0)
            executor.go.set()
            assert (await c)[:2] == ("first + second", "length")
            assert (await b)[:2] == ("", "superseded")
            await a

    asyncio.run(main())


def test_another_place_or_other_parameters_are_not_shared() -> None:
    async def main() -> None:
        with scripted_generator(SCRIPT, held_step=2) as (generator, executor):
            older = await start(generator, executor)
            elsewhere = PromptParts(prefix="x = " + PREFIX, suffix=SUFFIX)
            newer = asyncio.create_task(text_of(generator.stream(elsewhere, PARAMS)))
            await asyncio.sleep(0)
            executor.go.set()
            assert (await older)[1] == "superseded"
            assert (await newer)[0] == "first + second"

    asyncio.run(main())


def test_the_older_client_may_leave_and_the_last_one_cancels() -> None:
    async def main() -> None:
        with scripted_generator(SCRIPT * 20, held_step=3) as (generator, executor):
            params = GenerateParams(max_tokens=60, session=Session("editor", "file"))
            first = generator.stream(parts(), params)
            assert (await anext(first)).text
            await asyncio.to_thread(executor.is_held.wait)
            second = generator.stream(parts("f"), params)
            waiting = asyncio.ensure_future(anext(second))
            await asyncio.sleep(0)
            await first.aclose()
            executor.go.set()
            assert (await waiting).text
            assert executor.num_prompts == 1
            assert generator.engine.num_waiting_or_running == 1
            await second.aclose()
            num_steps = len(executor.steps)
            last = await text_of(generator.stream(PromptParts(prefix="import "), params))
            assert last[1] == "length"
            assert len(executor.steps) <= num_steps + 60 + 2

    asyncio.run(main())


def test_a_text_that_its_last_reader_left_is_not_joined() -> None:
    """Its sequence is about to be cancelled, although the engine has not done it yet."""

    async def main() -> None:
        with scripted_generator(SCRIPT, held_step=3) as (generator, executor):
            first = generator.stream(parts(), PARAMS)
            assert (await anext(first)).text
            await asyncio.to_thread(executor.is_held.wait)
            await first.aclose()
            newer = asyncio.create_task(text_of(generator.stream(parts(), PARAMS)))
            await asyncio.sleep(0)
            executor.go.set()
            assert (await newer)[:2] == ("first + second", "length")

    asyncio.run(main())


async def asked_twice(
    script: list[int],
    first: tuple[PromptParts, GenerateParams],
    second: tuple[PromptParts, GenerateParams],
    held_step: int = 2,
) -> tuple[str, str, int]:
    """Both texts, the second asked for while the first is written, and how many sequences it took."""
    with scripted_generator(script, held_step=held_step) as (generator, executor):
        older = asyncio.create_task(text_of(generator.stream(*first)))
        await asyncio.to_thread(executor.is_held.wait)
        newer = asyncio.create_task(text_of(generator.stream(*second)))
        await asyncio.sleep(0)
        executor.go.set()
        return (await older)[0], (await newer)[0], executor.num_prompts


def test_a_line_does_not_answer_a_request_for_more() -> None:
    script = small_tokenizer().encode("a = 1\nb = 2\n")
    line = replace(
        PARAMS, max_tokens=len(script), stop_when=lambda text: "\n" in text, stop_kind="line"
    )
    more = replace(line, stop_when=lambda text: False, stop_kind="more")
    _, text, num_sequences = asyncio.run(asked_twice(script, (parts(), line), (parts(), more)))
    assert (text, num_sequences) == ("a = 1\nb = 2\n", 2)


def test_a_line_typed_to_its_end_asks_for_the_next() -> None:
    """What is left of the older text is a line break, which would show nothing."""
    script = small_tokenizer().encode("1\n")
    line = replace(
        PARAMS,
        max_tokens=4 * len(script),
        stop_when=lambda text: "\n" in text and bool(text.strip()),
        stop_kind="line",
    )
    _, text, num_sequences = asyncio.run(asked_twice(script, (parts(), line), (parts("1"), line)))
    assert (text.strip(), num_sequences) == ("1", 2)


def test_a_session_is_one_user_s() -> None:
    alice, bob = replace(PARAMS, user_id="alice"), replace(PARAMS, user_id="bob")
    older, newer, _ = asyncio.run(asked_twice(SCRIPT, (parts(), alice), (parts(), bob)))
    assert older == newer == "first + second"


def test_text_far_above_that_has_changed_is_another_place() -> None:
    below = "y" * 300
    first, second = (PromptParts(prefix=f"import {i}\n{below}", suffix="") for i in "ab")
    assert asyncio.run(asked_twice(SCRIPT, (first, PARAMS), (second, PARAMS)))[2] == 2


@pytest.mark.parametrize("num_cut", [0, 3])
def test_a_window_that_moves_with_the_typing_is_the_same_place(num_cut: int) -> None:
    text = "".join(f"line {i}\n" for i in range(60))
    first = PromptParts(prefix=text, suffix="")
    second = PromptParts(prefix=(text + "first")[num_cut:], suffix="")
    answers = asyncio.run(asked_twice(SCRIPT, (first, PARAMS), (second, PARAMS)))
    assert answers == ("first + second", " + second", 1)


def test_prompts_of_texts_that_ended_are_not_kept() -> None:
    async def main() -> None:
        with scripted_generator(SCRIPT) as (generator, _):
            for i in range(5):
                params = replace(PARAMS, session=Session("editor", f"file {i}"))
                await text_of(generator.stream(parts(), params))
            assert not generator._live  # pyright: ignore[reportPrivateUsage]

    asyncio.run(main())


def test_guesses_are_what_is_left_or_what_was_inserted_into() -> None:
    recents = Recents()
    recents.remember("u", "x = self.re", ")\n", "adings = []")
    assert recents.guesses("u", "x = self.re", ")\n") == ["adings = []"]
    assert recents.guesses("u", "x = self.read", ")\n") == ["ings = []"]
    assert recents.guesses("u", "x = self.rex", ")\n") == ["adings = []"]
    assert recents.guesses("u", "x = self.readings = []", ")\n") == [""]
    assert recents.guesses("v", "x = self.read", ")\n") == [], "somebody else's"
    assert recents.guesses("u", "x = self.read", "]\n") == [], "another place"


def test_places_are_bounded() -> None:
    recents = Recents()
    for i in range(MAX_PLACES + 10):
        recents.remember("u", f"prefix {i}", "", "x" * 10_000)
    assert recents.guesses("u", "prefix 0", "") == []
    assert len(recents.guesses("u", f"prefix {MAX_PLACES}", "")[0]) < 10_000
