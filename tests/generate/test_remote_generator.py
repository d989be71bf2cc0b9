"""Everything that ends a remote stream, seen from both ends of a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from itertools import chain, repeat
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.core.errors import (
    EmptyPromptError,
    InputError,
    OverloadedError,
    UnknownModelError,
    UpstreamError,
)
from paceline.generate.remote import stream as remote_stream
from paceline.generate.remote.assembly import StreamAssembler
from paceline.generate.remote.errors import UpstreamBusyError
from paceline.generate.remote.generator import RemoteGenerator
from paceline.generate.remote.types import Piece
from paceline.generate.types import GenerateParams, PromptParts, Session, TextChunk, TokenDetail
from tests.generate.remote import DIALECTS, PARTS, TwoTexts, generator_of, read, text_of
from tests.generate.upstreams import (
    PIECES,
    Reply,
    Route,
    Upstream,
    json_reply,
    llama_cpp_stream,
    ollama_stream,
    openai_chunk,
    plain_stream,
    sse,
    vllm_stream,
)

PATIENCE_S = 10.0
"""Far more than anything here takes; nothing is measured by it."""
BEGINNINGS = {
    "openai": plain_stream()[:2],
    "vllm": vllm_stream()[:2],
    "sglang": vllm_stream()[:2],
    "llama.cpp": llama_cpp_stream()[:2],
    "ollama": ollama_stream()[:2],
}
"""Of each kind's answer, the first two pieces."""

Test = Callable[[RemoteGenerator, Upstream], Coroutine[Any, Any, None]]


def run(route: Route | Reply, test: Test, kind: str = "vllm", **options: Any) -> Upstream:
    """Run `test` with a generator over a server that answers so, and return the server."""
    upstream = Upstream({DIALECTS[kind]: route})

    async def main() -> None:
        async with upstream.running() as url, asyncio.timeout(PATIENCE_S):
            generator = generator_of(url, kind, **options)
            try:
                await test(generator, upstream)
            finally:
                await generator.aclose()

    asyncio.run(main())
    return upstream


@pytest.mark.parametrize("kind", DIALECTS)
def test_a_reader_that_leaves_closes_the_connection(kind: str) -> None:
    async def test(generator: RemoteGenerator, upstream: Upstream) -> None:
        stream = generator.stream(PARTS, GenerateParams())
        first = await anext(stream)
        assert PIECES[0].startswith(first.text)
        await stream.aclose()
        await upstream.left.wait()

    assert run(Reply(BEGINNINGS[kind], is_held=True), test, kind).num_left == 1


@pytest.mark.parametrize("kind", DIALECTS)
def test_stop_when_closes_the_connection(kind: str) -> None:
    async def test(generator: RemoteGenerator, upstream: Upstream) -> None:
        seen: list[str] = []

        def stop_when(text: str) -> bool:
            seen.append(text)
            return text.endswith("*")

        chunks = await read(generator, GenerateParams(stop_when=stop_when))
        assert text_of(chunks) == " width *"
        assert chunks[-1].finish_reason == "stop"
        assert seen == [" width", " width *"]
        assert sum(chunk.num_tokens for chunk in chunks) == 2
        assert chunks[0].prompt_tokens >= 0.8 * len(PARTS.prefix) - 1, "some readers stop here"
        assert chunks[-1].text == " *", "the end comes with the text that brings it"
        await upstream.left.wait()

    run(Reply(BEGINNINGS[kind], is_held=True), test, kind)


def test_cancelling_the_task_closes_the_connection_before_any_answer() -> None:
    async def test(generator: RemoteGenerator, upstream: Upstream) -> None:
        task = asyncio.create_task(read(generator, GenerateParams()))
        await upstream.asked.wait()
        task.cancel()
        await upstream.left.wait()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(Reply((), is_held=True), test)


@pytest.mark.parametrize("stop", ["*", " * h", "\n", "é"])
def test_a_stop_string_is_never_returned(stop: str) -> None:
    async def test(generator: RemoteGenerator, upstream: Upstream) -> None:
        chunks = await read(generator, GenerateParams(stop=(stop,)))
        assert text_of(chunks) == "".join(PIECES).partition(stop)[0]
        assert chunks[-1].finish_reason == "stop"

    run(Reply(vllm_stream()), test)


def test_a_stop_string_that_no_text_can_hold_is_not_sent() -> None:
    async def test(generator: RemoteGenerator, upstream: Upstream) -> None:
        await read(generator, GenerateParams(stop=("\ud83d", "", "zzz")))
        assert upstream.posted[0].body["stop"] == ["zzz"]

    run(Reply(vllm_stream()), test)


def test_sentinels_that_a_server_writes_out_end_the_text() -> None:
    async def test(generator: RemoteGenerator, upstream: Upstream) -> None:
        chunks = await read(generator, GenerateParams())
        assert (text_of(chunks), chunks[-1].finish_reason) == ("a", "stop")
        assert "stop" not in upstream.posted[0].body, "vLLM would hold back that much text"
        ignored = await read(generator, GenerateParams(is_end_ignored=True))
        assert text_of(ignored) == "a<|file_sep|>b"

    renderer = TwoTexts(stops=("<|file_sep|>",))
    run(Reply(vllm_stream(("a", "<|file", "_sep|>", "b"))), test, renderer=renderer)


def test_a_server_that_ignores_max_tokens_is_cut_off() -> None:
    async def test(generator: RemoteGenerator, upstream: Upstream) -> None:
        chunks = await read(generator, GenerateParams(max_tokens=2))
        assert text_of(chunks) == " width *"
        assert chunks[-1].finish_reason == "length"
        assert sum(chunk.num_tokens for chunk in chunks) == 2

    run(Reply(vllm_stream()), test)
    run(Reply(plain_stream()), test, "openai")


def test_the_deadline_closes_the_connection_and_keeps_what_came() -> None:
    async def test(generator: RemoteGenerator, upstream: Upstream) -> None:
        chunks = await read(generator, GenerateParams(max_latency_ms=100.0))
        assert text_of(chunks) in ("", " width", " width *")
        assert chunks[-1].finish_reason == "deadline"
        await upstream.left.wait()

    run(Reply(BEGINNINGS["vllm"], is_held=True), test)


def test_a_newer_request_of_a_document_supersedes_the_older() -> None:
    def answer(posted: Any) -> Reply:
        is_held = posted.body["prompt"] == "a"
        return Reply(BEGINNINGS["vllm"], is_held=True) if is_held else Reply(vllm_stream())

    async def test(generator: RemoteGenerator, upstream: Upstream) -> None:
        mine, other = Session("s", "one.py"), Session("s", "two.py")
        async with aclosing(
            generator.stream(PromptParts(prefix="a", suffix=""), GenerateParams(session=mine))
        ) as older:
            await anext(older)
            parts = PromptParts(prefix="b", suffix="")
            for params in (
                GenerateParams(session=other),
                GenerateParams(session=mine, user_id="somebody else"),
                GenerateParams(),
            ):
                await read(generator, params, parts)
            assert upstream.num_left == 0
            newer = await read(generator, GenerateParams(session=mine), parts)
            assert newer[-1].finish_reason == "length"
            rest = [chunk async for chunk in older]
        assert rest[-1].finish_reason == "superseded"
        await upstream.left.wait()

    assert run(answer, test).num_left == 1


def test_one_that_waits_for_its_place_is_superseded_too() -> None:
    async def test(generator: RemoteGenerator, upstream: Upstream) -> None:
        running = generator.stream(PARTS, GenerateParams())
        await anext(running)
        session = Session("s")
        older = asyncio.create_task(read(generator, GenerateParams(session=session)))
        newer = asyncio.create_task(read(generator, GenerateParams(session=session)))
        assert (await older)[-1].finish_reason == "superseded"
        await running.aclose()
        upstream.routes["/v1/completions"] = Reply(vllm_stream())
        newer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await newer
        assert text_of(await read(generator, GenerateParams())) == "".join(PIECES)

    run(Reply(BEGINNINGS["vllm"], is_held=True), test, max_running=1)


def test_no_more_requests_at_once_than_allowed() -> None:
    async def test(generator: RemoteGenerator, upstream: Upstream) -> None:
        held = [generator.stream(PARTS, GenerateParams()) for _ in range(3)]
        await asyncio.gather(anext(held[0]), anext(held[1]))
        waiting = asyncio.create_task(anext(held[2]))
        batch = asyncio.create_task(read(generator, GenerateParams(lane="batch")))
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(upstream.posted) == 2
        await held[0].aclose()
        await waiting
        assert len(upstream.posted) == 3
        assert not batch.done()
        upstream.routes["/v1/completions"] = Reply(vllm_stream())
        await asyncio.gather(held[1].aclose(), held[2].aclose())
        assert text_of(await batch) == "".join(PIECES)

    run(Reply(BEGINNINGS["vllm"], is_held=True), test, max_running=2)


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (json_reply({"error": {"message": "out of memory"}}, 500), "status 500 (out of memory)."),
        (json_reply({"error": "model 'm' not found"}, 404), "status 404 (model 'm' not found)."),
        (json_reply({}, 401), "status 401; set PACELINE_UPSTREAM_TOKEN."),
        (Reply((b"<html>Bad gateway</html>",), 502), "status 502."),
        (Reply((), 307, ("Location: http://127.0.0.1:1/",)), "status 307."),
        (Reply((b"data: {not json}\n\n",)), "sent an event that cannot be read; check that --kind"),
        (Reply((b'data: {"choices": "\xff"}\n\n',)), "sent an event that cannot be read; check that"),
        (Reply((b"data: " + b"[" * 100_000 + b"\n\n",)), "sent an event that cannot be read; check"),
        (Reply((sse({"object": "x"}),)), "sent an event that cannot be read; check that --kind"),
        (Reply((sse({"error": {"message": "boom", "code": None}}),)), "failed while it answered (boom)."),
        (Reply((b'error: {"code": 500, "message": "slot"}\n\n',)), "answered with status 500 (slot)."),
        (Reply(tuple(vllm_stream()[:2])), "ended its answer in the middle."),
        (Reply(tuple(vllm_stream()[:2]), is_cut=True), "closed the connection before its answer"),
        (Reply((), is_cut=True), "closed the connection before its answer was complete."),
    ],
)  # fmt: skip
def test_failures_of_the_server_become_one_sentence(reply: Reply, sentence: str) -> None:
    async def test(generator: RemoteGenerator, upstream: Upstream) -> None:
        with pytest.raises(UpstreamError) as caught:
            await read(generator, GenerateParams())
        assert sentence in str(caught.value)
        assert "\n" not in str(caught.value)
        assert caught.value.http_status == 502
        upstream.routes["/v1/completions"] = Reply(vllm_stream())
        assert text_of(await read(generator, GenerateParams())) == "".join(PIECES)

    run(reply, test)


DONE = plain_stream()[:-1]


@pytest.mark.parametrize("reply", [Reply(DONE, is_held=True), Reply(DONE, is_cut=True)])
def test_a_model_that_is_done_is_done_whatever_its_server_does_then(
    reply: Reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_stream, "FIGURES_S", 0.01)

    async def test(generator: RemoteGenerator, upstream: Upstream) -> None:
        chunks = await read(generator, GenerateParams())
        assert (text_of(chunks), chunks[-1].finish_reason) == ("".join(PIECES), "stop")

    run(reply, test)


@pytest.mark.parametrize(
    "reply",
    [
        Reply((), is_held=True),
        Reply(chain(vllm_stream()[:2], repeat(b": still there\n\n"))),
        Reply(repeat(sse(openai_chunk({"text": ""})))),
        Reply(repeat(b"{}"), status=500),
    ],
)
def test_a_server_that_says_nothing_is_given_up_whatever_it_sends(
    reply: Reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_stream, "READ_TIMEOUT_S", 0.03)

    async def test(generator: RemoteGenerator, upstream: Upstream) -> None:
        with pytest.raises(UpstreamError, match=r"sent nothing for 120 s|answered with status 500"):
            await read(generator, GenerateParams())
        await upstream.ended.wait()

    run(reply, test)


@pytest.mark.parametrize(
    ("reply", "seconds"),
    [
        (json_reply({}, 429, "Retry-After: 7"), 7),
        (json_reply({"error": {"message": "Loading model"}}, 503), 1),
        (Reply((sse({"error": {"message": "queue", "code": 503}}),)), 1),
    ],
)
def test_a_busy_server_is_overload(reply: Reply, seconds: int) -> None:
    async def test(generator: RemoteGenerator, upstream: Upstream) -> None:
        with pytest.raises(OverloadedError, match=f"busy; retry after {seconds} s") as caught:
            await read(generator, GenerateParams())
        assert isinstance(caught.value, UpstreamBusyError)
        assert (caught.value.http_status, caught.value.retry_after_s) == (429, seconds)

    run(reply, test)


def test_a_server_that_dies_and_comes_back() -> None:
    async def main() -> None:
        upstream = Upstream({"/v1/completions": Reply(vllm_stream())})
        async with upstream.running() as url:
            generator = generator_of(url)
            await read(generator, GenerateParams())
        with pytest.raises(UpstreamError, match=r"refused the connection; check that it runs\."):
            await read(generator, GenerateParams())
        async with upstream.running(int(url.rpartition(":")[2])):
            assert text_of(await read(generator, GenerateParams())) == "".join(PIECES)
        await generator.aclose()

    asyncio.run(main())


def test_an_idle_connection_that_was_closed_is_not_noticed_by_anybody() -> None:
    """A server may close a kept connection just when a request goes out."""

    async def main() -> int:
        posts = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal posts
            await reader.readuntil(b"}")
            posts += 1
            if posts > 1:  # the first is dropped without a word
                body = b"".join(vllm_stream())
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        generator = generator_of(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        assert text_of(await read(generator, GenerateParams())) == "".join(PIECES)
        await generator.aclose()
        server.close()
        return posts

    assert asyncio.run(main()) == 2


def test_the_token_is_sent_and_nothing_of_the_prompt_is_repeated() -> None:
    def leaky(posted: Any) -> Reply:
        return json_reply({"error": {"message": f"bad prompt: {posted.body['prompt']}"}}, 500)

    async def test(generator: RemoteGenerator, upstream: Upstream) -> None:
        with pytest.raises(UpstreamError) as caught:
            await read(generator, GenerateParams())
        assert str(caught.value) == "The upstream server answered with status 500."
        assert upstream.posted[0].headers["authorization"] == "Bearer secret"

    run(leaky, test, token="secret")


def test_connections_are_kept() -> None:
    async def test(generator: RemoteGenerator, upstream: Upstream) -> None:
        for _ in range(3):
            await read(generator, GenerateParams())
        assert (len(upstream.posted), upstream.num_connections) == (3, 1)

    run(Reply(vllm_stream()), test)


def test_what_cannot_be_asked() -> None:
    async def test(generator: RemoteGenerator, upstream: Upstream) -> None:
        cases: list[tuple[type[Exception], PromptParts, GenerateParams]] = [
            (EmptyPromptError, PromptParts(prefix="", suffix=""), GenerateParams()),
            (InputError, PARTS, GenerateParams(max_tokens=0)),
            (InputError, PARTS, GenerateParams(max_tokens=1021)),
            (InputError, PARTS, GenerateParams(max_prompt_tokens=1)),
        ]
        for expected, parts, params in cases:
            with pytest.raises(expected):
                await read(generator, params, parts)
        with pytest.raises(UnknownModelError):
            await anext(generator.stream(PARTS, GenerateParams(), model_id="n"))
        assert upstream.posted == []

    run(Reply(vllm_stream()), test)


def test_prompts_get_what_the_window_leaves() -> None:
    async def test(generator: RemoteGenerator, upstream: Upstream) -> None:
        await read(generator, GenerateParams(max_tokens=64))
        await read(generator, GenerateParams(max_tokens=64, max_prompt_tokens=100))
        whole = PromptParts(prefix="x", suffix="", is_truncatable=False)
        await read(generator, GenerateParams(max_tokens=64), whole)

    renderer = TwoTexts()
    run(Reply(vllm_stream()), test, renderer=renderer)
    assert renderer.budgets == [1024 - 64 - 1, 100, None]


@given(
    tokens=st.lists(st.text("ab\né🙂", min_size=1, max_size=4), min_size=1, max_size=12),
    stop=st.text("ab\n", max_size=3),
    group=st.integers(1, 4),
    max_tokens=st.integers(1, 14),
)
@settings(max_examples=50)
def test_chunks_add_up(tokens: list[str], stop: str, group: int, max_tokens: int) -> None:
    """However tokens come grouped: the text is the same, each is told once, and marks lie in their text."""
    limited = tokens[: -(-max_tokens // group) * group]
    params = GenerateParams(max_tokens=max_tokens, stop=(stop,), num_top_logprobs=0)
    assembler = StreamAssembler(params, params.stop, estimated_prompt_tokens=5)
    chunks: list[TextChunk] = []
    for start in range(0, len(tokens), group):
        some = tokens[start : start + group]
        details = tuple(TokenDetail(text, -1.0) for text in some)
        chunk = assembler.add(Piece(text="".join(some), tokens=details))
        if chunk is not None:
            chunks.append(chunk)
        if assembler.end is not None:
            break
    chunks.append(assembler.finish(assembler.end or "length"))
    text = text_of(chunks)
    whole = "".join(limited)
    assert text == (whole.partition(stop)[0] if stop else whole)
    assert sum(chunk.num_tokens for chunk in chunks) == assembler.num_tokens
    assert sum(len(chunk.tokens) for chunk in chunks) == assembler.num_tokens
    assert sum(chunk.logprob for chunk in chunks) == -assembler.num_tokens
    assert max(chunk.prompt_tokens for chunk in chunks) == 5
    for chunk in chunks:
        assert len(chunk.marks) == chunk.num_tokens
        after = [num_after for num_after, _ in chunk.marks]
        assert after == sorted(after, reverse=True)
        assert all(0 <= count <= len(chunk.text) for count in after)


def test_text_that_comes_later_than_its_tokens() -> None:
    """vLLM holds back text that may be a stop string; characters of several tokens come with the last."""
    assembler = StreamAssembler(GenerateParams(), (), estimated_prompt_tokens=5)

    def add(text: str, *tokens: str) -> tuple[str, list[tuple[int, float]]]:
        details = tuple(TokenDetail(token, -float(len(seen) + k)) for k, token in enumerate(tokens))
        seen.extend(tokens)
        chunk = assembler.add(Piece(text=text, tokens=details))
        return (chunk.text, list(chunk.marks)) if chunk else ("", [])

    seen = list[str]()
    assert add("", " a", "b") == ("", [])
    assert add(" ab", "cd") == (" ab", [(1, 0.0), (0, -1.0)])
    assert add("c") == ("c", [])
    assert add("d\n", "\n", "\ufffd", "\ufffd") == ("d\n", [(1, -2.0), (0, -3.0)])
    assert add("🙂x", "x") == ("🙂x", [(2, -4.0), (2, -5.0), (0, -6.0)])
    last = assembler.finish("stop")
    assert (last.text, last.num_tokens, last.marks) == ("", 0, ())


@pytest.mark.parametrize(
    ("names", "expected"),
    [("ba", "ba"), ("bca", "bc"), ("bcd", "bc"), ("b", "b"), ("abc", "bc")],
)
def test_the_token_itself_is_an_alternative_only_if_it_is_probable(
    names: str, expected: str
) -> None:
    """Two are wanted. Of three, the token `a` is the one that is there besides."""
    params = GenerateParams(num_top_logprobs=2)
    assembler = StreamAssembler(params, (), estimated_prompt_tokens=5)
    top = tuple((name, -float(k)) for k, name in enumerate(names))
    chunk = assembler.add(Piece(text="a", tokens=(TokenDetail("a", -1.0, top),)))
    assert chunk is not None
    assert "".join(name for name, _ in chunk.tokens[0].alternatives) == expected
