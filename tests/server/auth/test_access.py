"""Who may do what, over the whole app: tokens, scopes of every route, quotas, WebSockets, tokens in bodies."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request, WebSocket
from fastapi.testclient import TestClient
from starlette.exceptions import HTTPException
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from paceline.complete.service import Service
from paceline.generate.types import GenerateParams, PromptParts, TextChunk
from paceline.server import middleware
from paceline.server.app import create_app
from paceline.server.auth.authority import Authority
from paceline.server.auth.rules import TOKEN_IN_BODY, is_metered, is_page, scope_of
from paceline.server.auth.tokens import Quotas
from paceline.server.caller import Caller, caller_of, identify, note_usage
from paceline.server.config import ServerConfig, TransportLimits
from paceline.server.doors import install_doors
from paceline.server.errors import install_error_handlers
from tests.fakes import FakeGenerator
from tests.server.auth.client import client_with
from tests.server.auth.people import Clocks, authority_of, bearer
from tests.server.http import error_of

ADMIN_PATHS = {
    "/metrics", "/debug/trace", "/v1/requests", "/v1/requests/{request_id}/trace",
}  # fmt: skip
EVENT_PATHS = {"/v1/events"}
OPEN_PATHS = {"/health"}


def all_routes(app: FastAPI) -> list[tuple[str, str]]:
    """(method, path) of every route, WebSockets included."""
    found: list[tuple[str, str]] = []

    def walk(routes: Any) -> None:
        for route in routes:
            if hasattr(route, "path"):
                found.extend(
                    (method, route.path) for method in getattr(route, "methods", None) or ("WS",)
                )
            else:
                walk(route.effective_route_contexts())

    walk(app.routes)
    return found


APP = create_app(FakeGenerator(), Service(FakeGenerator()))


def test_every_route_has_the_scope_that_is_written_here() -> None:
    """A new route needs `complete`; one that tells of other users must be added to the rules and here."""
    routes = all_routes(APP)
    assert {"/infill", "/v1/completions", "/", "/openapi.json"} <= {path for _, path in routes}
    for _, path in routes:
        expected = (
            None if path in OPEN_PATHS
            else "admin" if path in ADMIN_PATHS
            else "events" if path in EVENT_PATHS
            else "complete"
        )  # fmt: skip
        assert scope_of(path) == expected, path


@pytest.mark.parametrize("scope", ["complete", "events", "admin"])
def test_scopes_open_their_routes_and_no_other(tmp_path: Path, scope: Any) -> None:
    authority = authority_of(tmp_path)
    token, _ = authority.store.create("ada", scopes=frozenset((scope,)))
    client = client_with(authority, is_token_required=True)
    for method, template in all_routes(APP):
        if method == "WS":
            continue
        path = template.replace("{", "").replace("}", "")
        needed = scope_of(path)
        bare = client.request(method, path)
        shown = client.request(method, path, headers=bearer(token))
        if path.startswith(
            TOKEN_IN_BODY
        ):  # these must read the body first; none may answer without
            assert bare.status_code >= 400, path
            continue
        assert (bare.status_code == 401) == (needed is not None), path
        assert shown.status_code != 401, path
        assert (shown.status_code == 403) == (needed not in (scope, None)), path
        if shown.status_code == 403 and method != "HEAD":
            assert scope in error_of(shown)["message"]


@pytest.mark.parametrize(
    "path", ["/metrics/", "/debug", "/debug/x", "/v1/requests/a/b", "/v1/events/"]
)
def test_nothing_below_a_guarded_path_is_open(path: str) -> None:
    assert scope_of(path) in ("admin", "events")
    assert scope_of("/v1/requests2") == "complete"
    assert scope_of("/health/") == "complete"


def test_a_browser_is_asked_for_a_password_and_can_use_the_playground(tmp_path: Path) -> None:
    authority = authority_of(tmp_path)
    token, _ = authority.store.create("ada")
    client = client_with(authority, is_token_required=True)
    for path in ("/", "/docs", "/static/playground.js"):
        refused = client.get(path)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (
            401,
            'Basic realm="Paceline"',
        )
    refused = client.post("/infill", json={})
    assert refused.headers["www-authenticate"] == 'Bearer realm="Paceline"'
    assert error_of(refused)["code"] == "unauthorized"
    credentials = base64.b64encode(f"ada:{token}".encode()).decode()
    headers = {"Authorization": f"Basic {credentials}"}
    assert client.get("/", headers=headers).status_code == 200
    assert client.post("/infill", json={"input_prefix": "a"}, headers=headers).status_code == 200


@pytest.mark.parametrize("shown", ["none", "sk-123", "", "6e2c7a1e-9d40"])
def test_on_loopback_placeholders_count_as_none(tmp_path: Path, shown: str) -> None:
    client = client_with(authority_of(tmp_path))
    assert client.get("/v1/models", headers=bearer(shown)).status_code == 200
    assert client.get("/metrics", headers={"X-API-Key": shown}).status_code == 404  # not 401


def test_on_loopback_a_wrong_token_of_ours_is_refused_and_a_right_one_known(tmp_path: Path) -> None:
    authority = authority_of(tmp_path)
    token, record = authority.store.create("ada")
    client = client_with(authority)
    assert client.get("/v1/models", headers=bearer(token)).status_code == 200
    assert client.get("/metrics", headers=bearer(token)).status_code == 403
    authority.store.revoke(record.token_id)
    refused = client.get("/v1/models", headers=bearer(token))
    assert (refused.status_code, error_of(refused)["message"]) == (
        401,
        "The token was revoked; `paceline token create` makes a new one.",
    )
    assert client.get("/health", headers=bearer(token)).status_code == 200
    assert client_with(None).get("/v1/models", headers=bearer(token)).status_code == 401


@pytest.mark.parametrize(
    ("base", "headers"),
    [
        ("http://192.0.2.7:8012", {}),
        ("http://127.0.0.1:8012", {"X-Forwarded-For": "127.0.0.1"}),
        ("http://127.0.0.1:8012", {"Forwarded": "for=127.0.0.1"}),
        ("http://127.0.0.1:8012", {"Via": "1.1 proxy"}),
        ("http://127.0.0.1:8012", {"Host": "paceline.example"}),
    ],
)
def test_what_comes_from_elsewhere_must_show_a_token(
    tmp_path: Path, base: str, headers: dict[str, str]
) -> None:
    """Also if the operator forgot to demand one: a proxy on this machine connects from loopback."""
    authority = authority_of(tmp_path)
    token, _ = authority.store.create("ada")
    client = client_with(authority, allowed_hosts=("paceline.example",))
    client.base_url = base
    assert client.get("/v1/models", headers=headers).status_code == 401
    assert client.get("/v1/models", headers=headers | bearer(token)).status_code == 200
    assert client.get("/health", headers=headers).status_code == 200


def test_quotas_over_http(tmp_path: Path) -> None:
    clocks = Clocks()
    authority = authority_of(tmp_path, clocks)
    quotas = Quotas(requests_per_minute=2, tokens_per_month=1000)
    token, record = authority.store.create("ada", quotas=quotas)
    client = client_with(authority)
    ask = {"url": "/infill", "json": {"input_prefix": "a = "}, "headers": bearer(token)}
    assert [client.post(**ask).status_code for _ in range(3)] == [200, 200, 429]
    refused = client.post(**ask)
    assert refused.headers["retry-after"] == "30"
    assert error_of(refused)["code"] == "quota"
    assert client.get("/v1/models", headers=bearer(token)).status_code == 200  # costs nothing
    asyncio.run(authority.flush())
    used = authority.store.usage("2026-11")[record.token_id]
    assert used > 0
    clocks.seconds = 60
    other, _ = authority.store.create("bob", quotas=Quotas(tokens_per_month=1))
    first = client.post("/infill", json={"input_prefix": "b = "}, headers=bearer(other))
    assert first.status_code == 200
    refused = client.post("/infill", json={"input_prefix": "c = "}, headers=bearer(other))
    assert (refused.status_code, error_of(refused)["code"]) == (429, "quota")
    assert int(refused.headers["retry-after"]) > 86_400
    authority.close()


class Waiting(FakeGenerator):
    """Answers when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.started, self.finish = asyncio.Event(), asyncio.Event()

    async def stream(
        self, parts: PromptParts, params: GenerateParams, *, model_id: str | None = None
    ) -> AsyncGenerator[TextChunk, None]:
        self.started.set()
        await self.finish.wait()
        async for chunk in super().stream(parts, params, model_id=model_id):
            yield chunk


def test_a_request_that_fails_or_leaves_is_counted_out(tmp_path: Path) -> None:
    authority = authority_of(tmp_path)
    token, _ = authority.store.create("ada", quotas=Quotas(max_concurrent=1))
    client = client_with(authority)
    for body in ({"input_prefix": 5}, {}, {"input_prefix": "a"}):
        status = client.post("/infill", json=body, headers=bearer(token)).status_code
        assert status in (200, 400)

    async def play() -> list[int]:
        import httpx

        generator = Waiting()
        app = create_app(generator, Service(generator), authority=authority)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
            body, headers = {"prompt": "a"}, bearer(token)
            first = asyncio.create_task(http.post("/v1/completions", json=body, headers=headers))
            await generator.started.wait()
            second = await http.post("/v1/completions", json=body, headers=headers)
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            generator.finish.set()
            third = await http.post("/v1/completions", json=body, headers=headers)
        return [second.status_code, third.status_code]

    assert asyncio.run(play()) == [429, 200]


def small_app(authority: Authority | None, **config: Any) -> TestClient:
    """Routes that say who calls: a WebSocket, and a protocol with its token in the body."""
    app = FastAPI()
    install_error_handlers(app)

    async def who(socket: WebSocket) -> None:
        await socket.accept()
        caller = caller_of(socket)
        caller.meter.begin()
        caller.meter.end(3)
        await socket.send_text(caller.user_id)
        await socket.receive()

    async def in_body(request: Request) -> dict[str, str]:
        assert caller_of(request).scopes == frozenset() or "authorization" in request.headers
        body = await request.json()
        caller: Caller = identify(request, body.get("api_key", ""))
        assert caller_of(request) is caller is identify(request, "again")
        note_usage(request, prompt_tokens=3, num_tokens=4)
        return {"user": caller.user_id}

    app.add_api_websocket_route("/v1/ws", who)
    app.add_api_route("/exa.S/GetCompletions", in_body, methods=["POST"])
    app.add_api_route("/exa.S/Heartbeat", in_body, methods=["POST"])
    install_doors(app, ServerConfig(**config), authority)
    return TestClient(app, base_url="http://127.0.0.1:8012", raise_server_exceptions=False)


@contextmanager
def refused_socket(client: TestClient, headers: dict[str, str]) -> Iterator[dict[str, Any]]:
    with (
        pytest.raises(WebSocketDisconnect) as refused,
        client.websocket_connect("ws://127.0.0.1:8012/v1/ws", headers=headers),
    ):
        pass
    assert isinstance(refused.value, WebSocketDenialResponse)
    yield {"status": refused.value.status_code, "error": error_of(refused.value)}


def test_websockets_pass_the_same_doors(tmp_path: Path) -> None:
    authority = authority_of(tmp_path)
    token, record = authority.store.create("ada")
    admin, _ = authority.store.create("root", scopes=frozenset(("admin",)))
    client = small_app(authority, is_token_required=True)
    with client.websocket_connect("ws://127.0.0.1:8012/v1/ws", headers=bearer(token)) as socket:
        assert socket.receive_text() == "ada"
    for headers, status in [
        ({}, 401), (bearer(token[:-1]), 401), (bearer(admin), 403),
        (bearer(token) | {"Host": "evil.example"}, 400),
        (bearer(token) | {"Origin": "https://evil.example"}, 403),
    ]:  # fmt: skip
        with refused_socket(client, headers) as reply:
            assert reply["status"] == status
    authority.store.revoke(record.token_id)
    with refused_socket(client, bearer(token)) as reply:
        assert "revoked" in reply["error"]["message"]


def test_one_token_does_not_take_all_connections(tmp_path: Path) -> None:
    authority = authority_of(tmp_path)
    token, _ = authority.store.create("ada")
    other, _ = authority.store.create("bob")
    client = small_app(authority, limits=TransportLimits(max_sockets_per_token=1))
    uri = "ws://127.0.0.1:8012/v1/ws"
    for _ in range(2):  # those that are closed count no more
        with client.websocket_connect(uri, headers=bearer(token)) as held:
            assert held.receive_text() == "ada"
            with refused_socket(client, bearer(token)) as reply:
                assert (reply["status"], reply["error"]["code"]) == (429, "quota")
            with client.websocket_connect(uri, headers=bearer(other)) as socket:
                assert socket.receive_text() == "bob"
            held.send_text("bye")


def test_a_server_that_cannot_say_more_closes_the_socket_with_1008() -> None:
    client = small_app(None, is_token_required=True)
    sent: list[dict[str, Any]] = []
    scope: dict[str, Any] = {
        "type": "websocket", "path": "/v1/ws", "query_string": b"", "root_path": "", "scheme": "ws",
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2), "subprotocols": [],
        "headers": [(b"host", b"localhost")],
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(client.app(scope, receive, send))  # type: ignore[arg-type]
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_a_token_in_the_body(tmp_path: Path) -> None:
    authority = authority_of(tmp_path)
    token, record = authority.store.create("ada", quotas=Quotas(max_concurrent=1))
    admin, _ = authority.store.create("root", scopes=frozenset(("admin",)))
    client = small_app(authority, is_token_required=True)
    path = "/exa.S/GetCompletions"
    for _ in range(2):  # each is counted out again
        assert client.post(path, json={"api_key": f" {token}"}).json() == {"user": "ada"}
    assert client.post(path, json={}, headers=bearer(token)).json() == {"user": "ada"}
    for body, status in [({}, 401), ({"api_key": "none"}, 401), ({"api_key": admin}, 403)]:
        refused = client.post(path, json=body)
        assert refused.status_code == status
        error_of(refused)
    asyncio.run(authority.flush())
    assert authority.store.usage("2026-11") == {record.token_id: 21}
    authority.close()


def test_on_loopback_any_key_in_the_body_is_accepted_but_a_wrong_one_of_ours() -> None:
    client = small_app(None)
    path = "/exa.S/Heartbeat"
    for key in ("", "6e2c7a1e-9d40-41f5", "none"):
        assert client.post(path, json={"api_key": key}).json() == {"user": ""}
    assert client.post(path, json={"api_key": "pl_wrong"}).status_code == 401


def test_what_counts_against_quotas() -> None:
    assert is_metered("POST", "/infill")
    assert is_metered("POST", "/a/route/of/tomorrow")
    assert is_metered("POST", "/exa.language_server_pb.LanguageServerService/GetCompletions")
    for call in ("CancelRequest", "Heartbeat", "RefreshContextForIdeAction"):
        assert not is_metered("POST", f"/exa.language_server_pb.LanguageServerService/{call}")
    assert not is_metered("POST", "/v1/events")
    assert not is_metered("GET", "/v1/models")
    assert is_page("GET", "/") and not is_page("POST", "/") and not is_page("GET", "/v1/models")


def test_the_audit_log_has_refusals_and_admin_requests_without_secrets(tmp_path: Path) -> None:
    authority = authority_of(tmp_path)
    token, record = authority.store.create("root", scopes=frozenset(("admin",)))
    client = client_with(authority, is_token_required=True)
    client.get("/v1/requests?secret=1", headers=bearer(token))
    client.get("/v1/requests", headers=bearer(token))
    client.get("/v1/models", headers=bearer(token))
    client.post("/infill", json={"input_prefix": "secret"}, headers=bearer(token[:-1]))
    text = authority.audit.path.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [(line["action"], line["place"]) for line in lines] == [
        ("admin_request", "/v1/requests"), ("forbidden", "other"), ("unauthorized", "other"),
    ]  # fmt: skip
    assert lines[0]["kind"] == record.token_id
    assert "secret" not in text
    assert token[11:30] not in text


def test_usage_is_flushed_while_the_app_lives_and_at_its_end(tmp_path: Path) -> None:
    authority = authority_of(tmp_path)
    token, record = authority.store.create("ada")
    with client_with(authority) as client:
        body = {"input_prefix": "a = "}
        assert client.post("/infill", json=body, headers=bearer(token)).status_code == 200
    assert authority.store.usage("2026-11")[record.token_id] > 0


def test_bodies_in_memory_are_bounded_and_strangers_fill_only_their_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client whose token is in the body sends it before anybody knows who that is."""
    monkeypatch.setattr(middleware, "MAX_STRANGERS_BYTES", 3_000)
    authority = authority_of(tmp_path)
    token, _ = authority.store.create("ada")
    client = client_with(authority, is_token_required=True)
    url = "/exa.language_server_pb.LanguageServerService/Heartbeat"

    def send(num_chars: int, headers: dict[str, str]) -> Any:
        metadata = {"api_key": token, "ide_name": "x" * num_chars}
        return client.post(url, json={"metadata": metadata}, headers=headers)

    for _ in range(3):  # what is over is counted no more
        assert send(100, {}).status_code == 200
        refused = send(4_000, {})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.json()["message"].startswith("The server holds as many request bodies")
        assert send(4_000, bearer(token)).status_code != 503


def test_running_requests_share_what_their_bodies_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "MAX_HELD_BYTES", 10)

    async def test() -> None:
        is_over = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await is_over.wait()

        limit = middleware.BodyLimit(app)
        scope = {"type": "http", "headers": [], "state": {"caller": Caller()}}

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"x" * 8}

        async def send(message: Any) -> None:
            raise AssertionError(message)

        first = asyncio.ensure_future(limit(scope, receive, send))
        await asyncio.sleep(0)
        with pytest.raises(HTTPException) as refused:
            await limit(scope, receive, send)
        assert refused.value.status_code == 503
        is_over.set()
        await first
        await limit(scope, receive, send)

    asyncio.run(test())
