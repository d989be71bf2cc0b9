"""The service against a scripted generator: what it asks, when it stops, what it reports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from paceline.complete.confidence import ConfidenceConfig
from paceline.complete.config import CompleteConfig
from paceline.complete.ending import certain_end
from paceline.complete.modes import Mode
from paceline.complete.service import CompleteRequest, Completion, Service
from paceline.core.errors import ConfigError, EmptyPromptError, UnknownModelError
from paceline.core.types import Cursor, Document, Drop, Snippet
from paceline.generate.types import (
    FinishReason,
    GenerateParams,
    PromptParts,
    Session,
    TextChunk,
)
from tests.complete.cursors import at
from tests.fakes import FakeClock, FakeGenerator


def complete(generator: FakeGenerator, request: CompleteRequest, **config: object) -> Completion:
    sure = ConfidenceConfig(is_enabled=False)
    settings = {"confidence": sure, "is_gated": False} | config
    service = Service(generator, CompleteConfig(**settings))  # type: ignore[arg-type]
    return asyncio.run(service.complete(request))


def test_stops_the_stream_as_soon_as_the_line_is_over() -> None:
    generator = FakeGenerator(["ret", "urn x", "\n", "never", " read"])
    request = CompleteRequest(cursor=at("def f(x):\n    |"), mode="single_line")
    completion = complete(generator, request)
    assert completion.text == "return x"
    assert completion.drop is None
    assert completion.num_tokens == 3
    assert completion.finish_reason == "stop"
    assert completion.model_id == "fake"
    assert generator.num_cancelled == 1


def test_reads_on_past_the_break_that_finishes_the_line() -> None:
    generator = FakeGenerator(["\n", "    ", "return x", "\n", "never"])
    completion = complete(generator, CompleteRequest(cursor=at("def f(x):|"), mode="single_line"))
    assert completion.text == "\n    return x"
    assert completion.num_tokens == 4


def test_prompt_is_what_is_near_with_line_feeds() -> None:
    generator = FakeGenerator()
    snippet = Snippet(path="b.py", text="x = 1")
    request = CompleteRequest(
        cursor=at("a\r\nb |d\r\nef"), snippets=(snippet,), max_tokens=7, stop=("#",), seed=3
    )
    complete(generator, request, max_prefix_chars=4, max_suffix_chars=3, max_prompt_tokens=99)
    (call,) = generator.calls
    kept = replace(snippet, origin="client")
    assert call.parts == PromptParts(prefix="\nb ", suffix="d\n", snippets=(kept,), path="a.py")
    assert replace(call.params, stop_when=None) == GenerateParams(
        max_tokens=7,
        stop=("#",),
        seed=3,
        max_prompt_tokens=99,
        max_latency_ms=5000.0,
        stop_kind="single_line",
    )


def test_what_is_asked_arrives() -> None:
    generator = FakeGenerator()
    session = Session("editor", "a.py")
    sampling = {"temperature": 0.5, "top_k": 4, "top_p": 0.9, "min_p": 0.1}
    request = CompleteRequest(
        cursor=at("x|"), session=session, user_id="u", max_latency_ms=70.0, **sampling
    )  # type: ignore[arg-type]
    complete(generator, request)
    params = generator.calls[0].params
    assert (params.session, params.user_id, params.lane) == (session, "u", "interactive")
    assert params.max_latency_ms == 70
    assert (params.temperature, params.top_k, params.top_p, params.min_p) == (0.5, 4, 0.9, 0.1)


@given(
    st.text("ab \n)", max_size=12),
    st.sampled_from(["    |", "x = |", "x = (|)", "def f():\n    |\nz"]),
)
def test_the_generator_stops_where_the_service_does(text: str, place: str) -> None:
    """`stop_when` is the rule by which the text is cut, for each mode."""
    cursor = at(place)
    for mode in get_args(Mode):
        generator = FakeGenerator()
        complete(generator, CompleteRequest(cursor=cursor, mode=mode))
        stop_when = generator.calls[0].params.stop_when
        assert stop_when is not None
        assert stop_when(text) == (certain_end(text, cursor, mode) is not None)


def test_length_depends_on_the_mode() -> None:
    generator = FakeGenerator()
    complete(generator, CompleteRequest(cursor=at("x|"), mode="block_body"))
    assert generator.calls[0].params.max_tokens == CompleteConfig().block_body_max_tokens


def test_drop_has_a_reason_and_its_cost() -> None:
    completion = complete(FakeGenerator(["\n", "\n"]), CompleteRequest(cursor=at("    |")))
    assert completion.text == ""
    assert completion.drop == Drop("blank")
    assert completion.num_tokens == 1


def test_a_generator_that_stops_by_itself_is_not_cancelled() -> None:
    class Obedient(FakeGenerator):
        async def stream(
            self, parts: PromptParts, params: GenerateParams, *, model_id: str | None = None
        ) -> AsyncGenerator[TextChunk, None]:
            assert params.stop_when is not None
            assert params.stop_when("10\n")
            yield TextChunk(text="10\n", num_tokens=2, logprob=-3.0, finish_reason="stop")

    completion = complete(Obedient(), CompleteRequest(cursor=at("x = |")))
    assert (completion.text, completion.finish_reason) == ("10", "stop")
    assert (completion.logprob, completion.mean_logprob) == (-3.0, -1.5)


class Ended(FakeGenerator):
    """Ends for a reason that it is given."""

    reason: FinishReason = "superseded"

    async def stream(
        self, parts: PromptParts, params: GenerateParams, *, model_id: str | None = None
    ) -> AsyncGenerator[TextChunk, None]:
        yield TextChunk(text="".join(self.pieces), num_tokens=2, finish_reason=self.reason)


@pytest.mark.parametrize("reason", ["superseded", "cancelled"])
def test_nobody_waits_for_what_was_superseded(reason: FinishReason) -> None:
    generator = Ended(["half a "])
    generator.reason = reason
    completion = complete(generator, CompleteRequest(cursor=at("x = |")))
    assert (completion.text, completion.drop) == ("", Drop(reason))
    assert (completion.finish_reason, completion.num_tokens) == (reason, 2)


def test_what_is_whole_is_shown_however_it_ended() -> None:
    completion = complete(Ended(["a line\nand"]), CompleteRequest(cursor=at("x = |")))
    assert (completion.text, completion.finish_reason) == ("a line", "stop")


def test_the_engine_s_deadline_keeps_what_there_is() -> None:
    generator = Ended(["so far"])
    generator.reason = "deadline"
    completion = complete(generator, CompleteRequest(cursor=at("x = |")))
    assert (completion.text, completion.finish_reason) == ("so far", "deadline")


def warm(generator: FakeGenerator, request: CompleteRequest) -> Completion:
    return asyncio.run(Service(generator).warm(request))


def test_warming_computes_one_token_that_nobody_sees() -> None:
    generator = FakeGenerator()
    request = CompleteRequest(
        cursor=at("x = |"), max_tokens=9, stop=("#",), session=Session("s"), user_id="u"
    )
    completion = warm(generator, request)
    assert (completion.text, completion.drop, completion.num_tokens) == ("", None, 1)
    assert completion.prompt_tokens == 4
    (call,) = generator.calls
    assert call.parts == Service(generator).prompt_parts(request)
    params = call.params
    assert (params.max_tokens, params.lane, params.stop, params.stop_when) == (1, "batch", (), None)
    assert (params.session, params.user_id) == (None, "u")


def test_warming_snippets_needs_no_text_and_warming_nothing_no_work() -> None:
    generator = FakeGenerator()
    nothing = warm(generator, CompleteRequest(cursor=at("|")))
    assert (nothing.text, nothing.prompt_tokens, nothing.mean_logprob) == ("", 0, None)
    assert generator.calls == []
    snippet = Snippet(path="b.py", text="x = 1")
    warm(generator, CompleteRequest(cursor=at("|"), snippets=(snippet,)))
    (call,) = generator.calls
    assert call.parts.snippets == (replace(snippet, origin="client"),)


def test_what_is_off_limits_is_not_warmed_either() -> None:
    generator = FakeGenerator()
    secret = Snippet(path=".env", text="KEY=1")
    nothing = warm(generator, CompleteRequest(cursor=at("|"), snippets=(secret,)))
    assert (nothing.num_tokens, generator.calls) == (0, [])
    document = Document(path="id_rsa", text="KEY")
    warm(generator, CompleteRequest(cursor=Cursor(document=document, offset=3)))
    assert generator.calls == []


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


@pytest.mark.parametrize(
    "wrong", [{"max_prompt_tokens": 0}, {"max_latency_ms": -1.0}, {"backstop_ms": -1.0}]
)
def test_config_checks_itself(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        CompleteConfig(**wrong)  # type: ignore[arg-type]
