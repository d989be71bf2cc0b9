"""Codeium's calls over the whole app."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.complete.service import Service
from paceline.generate.types import GenerateParams, PromptParts, TextChunk
from paceline.server.app import create_app
from tests.fakes import FakeGenerator
from tests.server.fields.harness import RecordingStore
from tests.server.http import QUIET, client_of

SERVICE = "/exa.language_server_pb.LanguageServerService"
TEXT = "é = 1\ndef f():\n    \n"
BODY: dict[str, Any] = {
    "metadata": {"request_id": 1, "session_id": "s"},
    "document": {"text": TEXT, "language": 33, "cursor_position": {"row": 2, "col": 4}},
}
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)
NUMBER = st.integers(-2, 2**65) | st.sampled_from(
    ["7", "-1", "1e3", "x", "9" * 30, "７", 1.0, 1.5, True]
)


def call(client: TestClient, method: str, body: Any, **headers: str) -> httpx.Response:
    return client.post(f"{SERVICE}/{method}", json=body, headers=headers)  # type: ignore[return-value]


def error_of(response: httpx.Response) -> dict[str, str]:
    """A failure in Connect's form."""
    error = response.json()
    assert set(error) == {"code", "message"}
    assert error["message"].endswith(".")
    return error


def test_the_item_says_what_to_insert_where_it_comes_from_and_how_sure_it_is() -> None:
    reply = call(client_of(FakeGenerator()), "GetCompletions", BODY).json()
    assert reply["state"] == {"state": "CODEIUM_STATE_SUCCESS"}
    [item] = reply["completionItems"]
    completion = item["completion"]
    assert completion["text"] == "    return 1"
    assert completion["generatedLength"] == "3"
    assert completion["score"] == pytest.approx(-0.5)
    assert 0 < completion["adjustedProbabilities"][0] < 1
    assert item["source"] == "COMPLETION_SOURCE_NETWORK"
    assert item["range"] == {
        "startOffset": "16",
        "endOffset": "20",
        "startPosition": {"row": "2"},
        "endPosition": {"row": "2", "col": "4"},
    }
    assert [(part["type"], part["text"]) for part in item["completionParts"]] == [
        ("COMPLETION_PART_TYPE_INLINE", "return 1"),
        ("COMPLETION_PART_TYPE_INLINE_MASK", "return 1"),
    ]


class Marking(FakeGenerator):
    """Says how likely each token is."""

    async def stream(
        self, parts: PromptParts, params: GenerateParams, *, model_id: str | None = None
    ) -> AsyncGenerator[TextChunk, None]:
        yield TextChunk(text="return", num_tokens=1, logprob=-0.1, marks=((6, -0.1),))
        yield TextChunk(text=" 1", num_tokens=1, logprob=-0.2, marks=((2, -0.2),))
        yield TextChunk(
            text="\n", num_tokens=1, logprob=-0.3, marks=((1, -0.3),), finish_reason="stop"
        )


def test_probabilities_are_those_of_the_tokens_written_for_this_request() -> None:
    client = client_of(Marking())
    first, again = (call(client, "GetCompletions", BODY).json() for _ in range(2))
    [item], [cached] = first["completionItems"], again["completionItems"]
    wanted = [math.exp(-0.1), math.exp(-0.2), math.exp(-0.3)]
    assert item["completion"]["probabilities"] == pytest.approx(wanted, abs=1e-5)
    assert cached["source"] == "COMPLETION_SOURCE_CACHE"
    assert "probabilities" not in cached["completion"]
    assert "generatedLength" not in cached["completion"]
    assert cached["completion"]["score"] == item["completion"]["score"]


def test_typed_as_suggested() -> None:
    client = client_of(FakeGenerator())
    call(client, "GetCompletions", BODY)
    document = {
        "text": TEXT.replace("    \n", "    re\n"),
        "language": "LANGUAGE_PYTHON",
        "cursorPosition": {"row": "2", "col": "6"},
    }
    typed = {"metadata": {"requestId": "2", "sessionId": "s"}, "document": document}
    [item] = call(client, "GetCompletions", typed).json()["completionItems"]
    assert item["source"] == "COMPLETION_SOURCE_TYPING_AS_SUGGESTED"
    assert item["completion"]["text"] == "    return 1"
    assert item["completionParts"][0]["text"] == "turn 1"


def test_nothing_to_show_says_why() -> None:
    reply = call(client_of(FakeGenerator(["\n"])), "GetCompletions", BODY).json()
    assert "completionItems" not in reply
    assert reply["state"]["message"].startswith("Nothing to show: ")
    empty = call(client_of(FakeGenerator()), "GetCompletions", {"document": {}})
    assert empty.json()["state"]["message"] == "Nothing to show: empty."


class Unending(FakeGenerator):
    """Writes one word and then waits for ever; tells when it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked = asyncio.Event()

    async def stream(
        self, parts: PromptParts, params: GenerateParams, *, model_id: str | None = None
    ) -> AsyncGenerator[TextChunk, None]:
        self.is_asked.set()
        try:
            yield TextChunk(text="return", num_tokens=1, logprob=-0.1)
            await asyncio.Event().wait()
        finally:
            self.num_cancelled += 1


def test_cancel_request_ends_the_model_s_work() -> None:
    async def check() -> None:
        generator = Unending()
        app = create_app(generator, Service(generator, QUIET))
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            # As codeium.vim behind the shim: no metadata in CancelRequest, the session in a header.
            headers = {"X-Paceline-Session": "shim"}
            body = BODY | {"metadata": {"request_id": 4}}
            url = f"{SERVICE}/GetCompletions"
            asked = asyncio.create_task(client.post(url, json=body, headers=headers))
            await generator.is_asked.wait()
            cancel = f"{SERVICE}/CancelRequest"
            other = await client.post(cancel, json={"request_id": 4})
            assert other.json() == {}
            assert generator.num_cancelled == 0, "another session's request"
            await client.post(cancel, json={"request_id": 4}, headers=headers)
            reply = await asked
            assert (reply.status_code, reply.json()["code"]) == (499, "canceled")
            assert generator.num_cancelled == 1

    asyncio.run(check())


def test_accepting_is_recorded_once() -> None:
    generator, store = FakeGenerator(), RecordingStore()
    app = create_app(generator, Service(generator, QUIET), store=store)
    client = TestClient(app, base_url="http://127.0.0.1:8012")
    [item] = call(client, "GetCompletions", BODY).json()["completionItems"]
    metadata = {"extension_name": "vim", "extension_version": "1.20.8"}
    body = {"metadata": metadata, "completion_id": item["completion"]["completionId"]}
    assert [call(client, "AcceptCompletion", body).json() for _ in range(2)] == [{}, {}]
    first, second = store.events
    assert (first.kind, first.client) == ("accepted", "vim 1.20.8")
    assert first.request_id == item["completion"]["completionId"]
    assert first.event_id == second.event_id


def test_alternatives_are_items() -> None:
    client = client_of(FakeGenerator())
    items = call(client, "GetCompletions", BODY | {"num_alternatives": 3}).json()["completionItems"]
    assert [item["completion"]["text"] for item in items] == ["    return 1"], (
        "all are the same here"
    )


def test_logging_in_where_no_token_is_demanded() -> None:
    client = client_of(FakeGenerator())
    token = call(client, "GetAuthToken", {}).json()["authToken"]
    reply = call(client, "RegisterUser", {"firebase_id_token": token}).json()
    assert reply == {"api_key": token}


@pytest.mark.parametrize(
    ("method", "body", "status", "code", "word"),
    [
        ("GetCompletions", {}, 400, "invalid_argument", "document"),
        ("GetCompletions", [], 400, "invalid_argument", "JSON object"),
        ("GetCompletions", {"document": {"text": 1}}, 400, "invalid_argument", "document.text"),
        (
            "GetCompletions",
            BODY | {"multiline_config": {"threshold": 2}},
            400,
            "invalid_argument",
            "multiline_config.threshold",
        ),
        ("GetCompletions", BODY | {"model_name": "no"}, 404, "not_found", "no"),
        (
            "GetCompletions",
            {"document": {"text": "a", "absolute_uri": "a\0"}},
            400,
            "invalid_argument",
            "absolute_uri",
        ),
        ("AcceptCompletion", {}, 400, "invalid_argument", "completion_id"),
        ("GetProcesses", {}, 501, "unimplemented", "chat"),
    ],
)
def test_errors_are_connect_s(method: str, body: Any, status: int, code: str, word: str) -> None:
    response = call(client_of(FakeGenerator()), method, body)
    error = error_of(response)
    assert (response.status_code, error["code"]) == (status, code)
    assert word in error["message"]


def test_other_encodings_are_refused() -> None:
    client = client_of(FakeGenerator())
    url = f"{SERVICE}/GetCompletions"
    binary = client.post(url, content=b"\n\0", headers={"Content-Type": "application/proto"})
    assert (binary.status_code, binary.headers["accept-post"]) == (415, "application/json")
    assert "application/json" in binary.json()["message"]
    squeezed = client.post(url, json={}, headers={"Content-Encoding": "gzip"})
    assert (squeezed.status_code, squeezed.json()["code"]) == (501, "unimplemented")


@settings(max_examples=40, deadline=None)
@given(
    st.fixed_dictionaries(
        {"document": st.fixed_dictionaries({"text": st.text(max_size=8)}, optional={
            "cursor_offset": NUMBER,
            "cursorPosition": st.fixed_dictionaries({}, optional={"row": NUMBER, "col": NUMBER}) | ANY_JSON,
            "language": NUMBER | ANY_JSON,
            "editor_language": ANY_JSON,
            "absolute_uri": st.text(max_size=8) | st.sampled_from(["file://[", "file:///a\0", "%00"]),
            "workspace_uri": st.text(max_size=8) | st.sampled_from(["file://[", "/", "\0"]),
            "line_ending": ANY_JSON,
        })},
        optional={
            "metadata": st.fixed_dictionaries({}, optional={"request_id": NUMBER, "sessionId": ANY_JSON}) | ANY_JSON,
            "other_documents": ANY_JSON | st.lists(st.fixed_dictionaries({"text": st.text(max_size=5)}), max_size=2),
            "model_name": ANY_JSON,
            "multilineConfig": ANY_JSON,
            "num_alternatives": NUMBER,
        },
    )
    | ANY_JSON,
    st.sampled_from(["GetCompletions", "CancelRequest", "AcceptCompletion", "RegisterUser", "Heartbeat"]),
)  # fmt: skip
def test_no_body_breaks_a_call(body: Any, method: str) -> None:
    response = FUZZED.post(
        f"{SERVICE}/{method}", content=encode(body), headers={"Content-Type": "application/json"}
    )
    assert response.status_code < 500, response.text
    if response.status_code >= 400:
        error_of(response)  # type: ignore[arg-type]


FUZZED = client_of(FakeGenerator())


def encode(body: Any) -> bytes:
    """Also what is no valid JSON: NaN, lone surrogates."""
    return json.dumps(body).encode()
