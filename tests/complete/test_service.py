"""The service against a scripted generator: what it asks, when it stops, what it reports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

import pytest

from paceline.complete.config import CompleteConfig
from paceline.complete.service import CompleteRequest, Completion, Service
from paceline.core.errors import ConfigError, EmptyPromptError, UnknownModelError
from paceline.core.types import Drop, Snippet
from paceline.generate.types import GenerateParams, PromptParts, TextChunk
from tests.complete.cursors import at
from tests.fakes import FakeClock, FakeGenerator


def complete(generator: FakeGenerator, request: CompleteRequest, **config: object) -> Completion:
    service = Service(generator, CompleteConfig(**config))  # type: ignore[arg-type]
    return asyncio.run(service.complete(request))


def test_stops_the_stream_as_soon_as_the_line_is_over() -> None:
    generator = FakeGenerator(["ret", "urn x", "\n", "never", " read"])
    completion = complete(generator, CompleteRequest(cursor=at("def f(x):\n    |")))
    assert completion.text == "return x"
    assert completion.drop is None
    assert completion.num_tokens == 3
    assert completion.finish_reason == "stop"
    assert completion.model_id == "fake"
    assert generator.num_cancelled == 1


def test_reads_on_past_the_break_that_finishes_the_line() -> None:
    generator = FakeGenerator(["\n", "    ", "return x", "\n", "never"])
    completion = complete(generator, CompleteRequest(cursor=at("def f(x):|")))
    assert completion.text == "\n    return x"
    assert completion.num_tokens == 4


def test_prompt_is_what_is_near_with_line_feeds() -> None:
    generator = FakeGenerator()
    snippet = Snippet(path="b.py", text="x = 1")
    request = CompleteRequest(
        cursor=at("a\r\nbc|d\r\nef"), snippets=(snippet,), max_tokens=7, stop=("#",), seed=3
    )
    complete(generator, request, max_prefix_chars=4, max_suffix_chars=3, max_prompt_tokens=99)
    (call,) = generator.calls
    assert call.parts == PromptParts(prefix="\nbc", suffix="d\n", snippets=(snippet,))
    assert call.params == GenerateParams(
        max_tokens=7, stop=("#",), seed=3, max_prompt_tokens=99, temperature=0.0
    )


def test_length_depends_on_the_mode() -> None:
    generator = FakeGenerator()
    complete(generator, CompleteRequest(cursor=at("x|"), mode="block_body"))
    assert generator.calls[0].params.max_tokens == CompleteConfig().block_body_max_tokens


def test_drop_has_a_reason_and_its_cost() -> None:
    completion = complete(FakeGenerator(["\n", "\n"]), CompleteRequest(cursor=at("    |")))
    assert completion.text == ""
    assert completion.drop == Drop("blank")
    assert completion.num_tokens == 1


def test_times_come_from_the_clock() -> None:
    clock = FakeClock()

    class Slow(FakeGenerator):
        async def stream(
            self, parts: PromptParts, params: GenerateParams, *, model_id: str | None = None
        ) -> AsyncGenerator[TextChunk, None]:
            for text in ("a", "b\n"):
                clock.advance(ms=10)
                yield TextChunk(text=text, num_tokens=1)

    service = Service(Slow(), now_ms=clock.now_ms)
    completion = asyncio.run(service.complete(CompleteRequest(cursor=at("x = |"))))
    assert (completion.ttft_ms, completion.latency_ms) == (10, 20)


class Stuck(FakeGenerator):
    """Says its pieces, then nothing for ever."""

    def __init__(self, pieces: Sequence[str]) -> None:
        super().__init__(pieces)
        self.is_stuck = asyncio.Event()

    is_closed = False

    async def stream(
        self, parts: PromptParts, params: GenerateParams, *, model_id: str | None = None
    ) -> AsyncGenerator[TextChunk, None]:
        try:
            for text in self.pieces:
                yield TextChunk(text=text, num_tokens=1)
            self.is_stuck.set()
            await asyncio.Event().wait()
        finally:
            self.is_closed = True


def test_deadline_keeps_what_there_is() -> None:
    generator = Stuck(["so far"])
    completion = complete(generator, CompleteRequest(cursor=at("x = |"), max_latency_ms=1))
    assert (completion.text, completion.finish_reason) == ("so far", "deadline")
    assert generator.is_closed


def test_deadline_without_text_is_a_reason() -> None:
    completion = complete(Stuck([]), CompleteRequest(cursor=at("x = |")), max_latency_ms=1.0)
    assert completion.drop == Drop("deadline")


def test_cancelling_the_caller_closes_the_stream() -> None:
    generator = Stuck(["so far"])

    async def cancel_when_stuck() -> None:
        service = Service(generator, CompleteConfig(max_latency_ms=None))
        task = asyncio.create_task(service.complete(CompleteRequest(cursor=at("x = |"))))
        await generator.is_stuck.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel_when_stuck())
    assert generator.is_closed


def test_errors_of_the_generator_pass() -> None:
    with pytest.raises(EmptyPromptError):
        complete(FakeGenerator(), CompleteRequest(cursor=at("")))
    with pytest.raises(UnknownModelError):
        complete(FakeGenerator(), CompleteRequest(cursor=at("x|"), model_id="nope"))


def test_a_timeout_of_the_generator_is_not_ours() -> None:
    class Failing(FakeGenerator):
        async def stream(
            self, parts: PromptParts, params: GenerateParams, *, model_id: str | None = None
        ) -> AsyncGenerator[TextChunk, None]:
            yield TextChunk(text="x")
            raise TimeoutError

    with pytest.raises(TimeoutError):
        complete(Failing(), CompleteRequest(cursor=at("x|")))


@pytest.mark.parametrize("wrong", [{"max_prompt_tokens": 0}, {"max_latency_ms": -1.0}])
def test_config_checks_itself(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        CompleteConfig(**wrong)  # type: ignore[arg-type]
