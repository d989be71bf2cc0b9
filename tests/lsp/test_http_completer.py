"""Completions over HTTP: what is sent, what each failure is, that keys never wait for a dead server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import msgspec
import pytest

from paceline.artifacts.events import Event, decode_batch
from paceline.complete.wire import WireDocument, WirePosition, WireRequest
from paceline.core.errors import (
    ConfigError,
    ForbiddenError,
    InputError,
    PacelineError,
    QuotaError,
    UnauthorizedError,
    UpstreamError,
)
from paceline.lsp.http_completer import HttpCompleter, is_loopback, server_url
from tests.fakes import FakeClock
from tests.lsp.fakes import completion_of

REQUEST = WireRequest(document=WireDocument(text="é"), position=WirePosition(line=0, character=1))
INVOKED = msgspec.structs.replace(REQUEST, trigger="invoked")
EVENT = Event(event_id="e-1", request_id="cmpl-1", kind="accepted")
OK = msgspec.json.encode(completion_of(["x"]))

Handler = Callable[[httpx.Request], Awaitable[httpx.Response]]


class Net:
    """A network with one server, which answers with what is queued, and then with a completion."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.clock = FakeClock()

    async def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if self.answers else httpx.Response(200, content=OK)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def completer(self, *, token: str = "") -> HttpCompleter:
        return HttpCompleter(
            "http://127.0.0.1:8012",
            token=token,
            transport=httpx.MockTransport(self.handle),
            now_s=lambda: self.clock.now_ms() / 1000,
            first_delay_s=0,
        )


def refusal(status: int, message: str = "No.", **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"error": {"message": message}}, headers=headers)


def test_request_and_reply_go_over_the_wire_as_they_are() -> None:
    async def run() -> None:
        net = Net()
        async with net.completer(token="secret") as completer:
            assert await completer.complete(REQUEST) == completion_of(["x"])
        (sent,) = net.requests
        assert str(sent.url) == "http://127.0.0.1:8012/v1/complete"
        assert sent.headers["authorization"] == "Bearer secret"
        assert msgspec.json.decode(sent.content, type=WireRequest) == REQUEST

    asyncio.run(run())


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (refusal(401), UnauthorizedError, "No."),
        (refusal(403), ForbiddenError, "No."),
        (refusal(400), InputError, "No."),
        (refusal(404), InputError, "No."),
        (refusal(429), QuotaError, "No."),
        (refusal(500), UpstreamError, "No."),
        (httpx.Response(502, text="<html>"), UpstreamError, "status 502"),
        (httpx.Response(404, text="<html>"), UpstreamError, "not as a Paceline server"),
        (httpx.Response(200, text="hello"), UpstreamError, "not as a Paceline server"),
        (httpx.Response(200, json={"id": 1}), UpstreamError, "not as a Paceline server"),
        (httpx.ConnectError("refused"), UpstreamError, "start one with `paceline serve`"),
        (httpx.ConnectTimeout("slow"), UpstreamError, "does not answer"),
        (httpx.ReadTimeout("slow"), UpstreamError, "does not answer"),
    ],
)
def test_each_failure_has_its_class_and_sentence(
    answer: httpx.Response | Exception, kind: type[PacelineError], says: str
) -> None:
    async def run() -> None:
        async with Net(answer).completer() as completer:
            with pytest.raises(kind, match=says) as caught:
                await completer.complete(REQUEST)
            assert type(caught.value) is kind

    asyncio.run(run())


def test_while_the_server_is_away_keys_do_not_wait_and_then_one_tries_again() -> None:
    async def run() -> None:
        away = httpx.ConnectError("refused")
        net = Net(away, away)
        async with net.completer() as completer:
            for _ in range(3):
                with pytest.raises(UpstreamError):
                    await completer.complete(REQUEST)
            assert len(net.requests) == 1
            with pytest.raises(UpstreamError):
                await completer.complete(INVOKED)
            assert len(net.requests) == 2, "who asks gets an attempt"
            net.clock.advance(ms=1001)
            await completer.complete(REQUEST)
            await completer.complete(REQUEST)
            assert len(net.requests) == 4

    asyncio.run(run())


def test_keys_that_are_not_sent_are_not_remembered() -> None:
    async def run() -> None:
        net = Net(httpx.ConnectError("refused"))
        async with net.completer() as completer:
            depths: list[int] = []
            for _ in range(4):
                with pytest.raises(UpstreamError) as caught:
                    await completer.complete(REQUEST)
                depths.append(len(caught.traceback))
            assert len(net.requests) == 1
            assert depths[1] == depths[3], "each would hold the text of its document"

    asyncio.run(run())


def test_a_busy_server_is_left_alone_for_as_long_as_it_says() -> None:
    async def run() -> None:
        net = Net(refusal(429, **{"retry-after": "7"}))
        async with net.completer() as completer:
            for ms in (0, 6900):
                net.clock.advance(ms=ms)
                with pytest.raises(QuotaError):
                    await completer.complete(REQUEST)
            net.clock.advance(ms=200)
            await completer.complete(REQUEST)
            assert len(net.requests) == 2

    asyncio.run(run())


def test_a_kept_connection_that_was_closed_meanwhile_is_no_failure() -> None:
    async def run() -> None:
        async with Net(httpx.RemoteProtocolError("closed")).completer() as completer:
            assert await completer.complete(REQUEST) == completion_of(["x"])

    asyncio.run(run())


def test_events_wait_for_the_server_and_arrive_once() -> None:
    async def run() -> None:
        net = Net(httpx.ConnectError("refused"), httpx.Response(200))
        async with net.completer() as completer:
            completer.record(EVENT)
            completer.record(EVENT)
        bodies = [request.content for request in net.requests]
        assert [str(request.url.path) for request in net.requests] == ["/v1/events"] * 2
        assert decode_batch(bodies[0]).events == [EVENT]
        assert bodies[0] == bodies[1], "the server knows it by its id"

    asyncio.run(run())


@pytest.mark.parametrize(
    "text", ["ftp://host", "http://", "http://u:p@host", "http://h:port", "::"]
)
def test_what_is_no_address_of_a_server(text: str) -> None:
    with pytest.raises(ConfigError):
        server_url(text)


def test_an_address_may_lack_its_scheme_and_may_have_a_path() -> None:
    assert str(server_url("127.0.0.1:9000")) == "http://127.0.0.1:9000"
    assert server_url("https://host/paceline/?q=1#f").path == "/paceline/"


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        ("localhost", True),
        ("127.8.0.1", True),
        ("::1", True),
        ("a.localhost", True),
        ("10.0.0.1", False),
        ("localhost.example", False),
    ],
)
def test_which_hosts_are_this_machine(host: str, is_local: bool) -> None:
    assert is_loopback(host) is is_local
