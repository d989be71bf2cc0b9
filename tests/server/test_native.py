"""`POST /v1/complete`: ranges in three encodings, users apart from each other, and what nobody should send."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.complete.service import Service
from paceline.complete.session import document_key
from paceline.complete.wire import WireDocument, WireRequest
from paceline.core.errors import FieldError, InputError
from paceline.generate.types import Session
from paceline.server.app import create_app
from paceline.server.caller import Caller
from paceline.server.dialects.native import EXAMPLE, for_caller
from paceline.server.json_body import decode_json
from tests.fakes import FakeGenerator
from tests.server.http import QUIET, client_of, error_of

BODY: dict[str, Any] = {
    "document": {"text": "total = ", "path": "a.py"},
    "position": {"line": 0, "character": 8},
}
NAMES = (*WireRequest.__struct_fields__, *WireDocument.__struct_fields__, "line", "character", "x")
FUZZED = client_of(FakeGenerator())


def complete(generator: FakeGenerator, body: Any = BODY) -> Any:
    response = client_of(generator).post("/v1/complete", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def local(generator: FakeGenerator, host: str = "127.0.0.1") -> TestClient:
    """A client whose requests come from the address `host`."""
    app = create_app(generator, Service(generator, QUIET))
    return TestClient(app, base_url="http://127.0.0.1:8012", client=(host, 5))


def test_a_completion_says_what_it_takes_the_place_of() -> None:
    body = {"document": {"text": "😀 = f()"}, "position": {"line": 0, "character": 7}}
    reply = complete(FakeGenerator(["a", ") + 1", "\n"]), body)
    (item,) = reply["items"]
    assert item["text"] == "a) + 1"
    assert item["num_replaced_chars"] == 1
    assert item["range"] == {
        "start": {"line": 0, "character": 7},
        "end": {"line": 0, "character": 8},
    }
    assert (reply["drop_reason"], reply["mode"], reply["model"]) == (None, "single_line", "fake")
    assert reply["num_tokens"] > 0


def test_several_are_offered_where_the_user_asks() -> None:
    body = BODY | {"trigger": "invoked", "num_alternatives": 3}
    items = complete(FakeGenerator(["1", "\n"]), body)["items"]
    assert [item["text"] for item in items] == ["1"]  # the fake always writes the same


def test_warming_computes_the_prompt_and_shows_nothing() -> None:
    generator = FakeGenerator()
    reply = complete(generator, BODY | {"is_warming": True})
    assert reply["items"] == []
    (call,) = generator.calls
    assert (call.params.max_tokens, call.params.lane) == (1, "batch")


def test_the_example_of_the_docs_is_a_request() -> None:
    generator = FakeGenerator(["width", " * height", "\n"])
    assert complete(generator, EXAMPLE)["items"][0]["text"] == "width * height"


def test_half_an_emoji_is_a_character_that_is_not_one() -> None:
    generator = FakeGenerator()
    raw = json.dumps({**BODY, "document": {"text": "s = '\ud83d"}})
    response = client_of(generator).post("/v1/complete", content=raw)
    assert response.status_code == 200
    assert generator.calls[0].parts.prefix == "s = '\ufffd"


def test_two_users_share_neither_session_nor_name() -> None:
    wire = decode_json(json.dumps(BODY | {"session_id": "s"}), WireRequest)
    ada, bob = (
        for_caller(wire, Caller(user_id=name, token_id=name), is_local=False) for name in "ab"
    )
    assert ada.session != bob.session
    assert ada.user_id != bob.user_id
    nobody = for_caller(wire, Caller(), is_local=False)
    assert (nobody.session, nobody.user_id) == (Session("s", "a.py"), "s")


@pytest.mark.parametrize(
    ("session_id", "document_id", "forged"),
    [
        ("s", "a.py", {"session_id": "ann\0s", "document_id": "a.py"}),
        ("session", "x", {"session_id": "ann", "document_id": "session\0ann\0session\0x"}),
    ],
)
def test_who_shows_no_token_cannot_name_another_users_session(
    session_id: str, document_id: str, forged: dict[str, str]
) -> None:
    named = BODY | {"session_id": session_id, "document_id": document_id}
    anns, nobodys = (
        for_caller(decode_json(json.dumps(body), WireRequest), caller, is_local=False)
        for body, caller in (
            (named, Caller(user_id="ann", token_id="1")),
            (BODY | forged, Caller()),
        )
    )
    assert anns.session != nobodys.session
    assert document_key(anns) != document_key(nobodys)


def test_a_folder_is_read_only_for_who_is_here_and_not_outside_of_it(tmp_path: Path) -> None:
    root = tmp_path / "project"
    root.mkdir()
    (root / "shapes.py").write_text("def inside(width):\n    return width\n")
    (tmp_path / "hidden.py").write_text("def outside(width):\n    return width\n")
    text = "from shapes import inside\nfrom hidden import outside\nfrom ..hidden import outside\ninside(outside("
    for path in ("main.py", "../main.py", str(tmp_path / "main.py"), "file:///etc/passwd"):
        body = {
            "document": {"text": text, "path": path},
            "position": {"line": 3, "character": 15},
            "open_documents": [{"text": "x = 1", "path": "../../hidden.py"}],
            "workspace_root": str(root),
        }
        for host in ("127.0.0.1", "192.0.2.1"):
            generator = FakeGenerator()
            assert local(generator, host).post("/v1/complete", json=body).status_code == 200
            seen = "".join(piece.text for call in generator.calls for piece in call.parts.snippets)
            assert "def inside" not in seen or host == "127.0.0.1"
            assert "def inside" in seen or (path, host) != ("main.py", "127.0.0.1")
            assert "def outside" not in seen


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ('{"document":{"text":3},"position":{}}', "document.text"),
        ('{"position":{"line":1}}', "position.character"),
        ('{"position":{"line":0,"character":0}}', "document"),
        ('{"document":{"text":"x"},"position":{"line":1,"character":0}}', "position.line"),
        ('{"document":{"text":"x"},"position":{"line":-1,"character":0}}', "position.line"),
        ('{"document":{"text":"x"},"position":{"line":1e30,"character":0}}', "position.line"),
        ('{"document":{"text":"x","path":"a\\u0000"},"position":{"line":0,"character":0}}', "document.path"),
        ('{"open_documents":[{"text":"x"},{"text":3}]}', "open_documents.1.text"),
        ('{"trigger":"SECRET"}', "trigger"),
        ('{"max_tokens":0}', "max_tokens"),
        ('{"num_alternatives":4}', "num_alternatives"),
        ('{"max_latency_ms":1e999}', "max_latency_ms"),
        ('{"request_id":"two words"}', "request_id"),
        ('{"misspelt":1}', "misspelt"),
        ('{"document":{"if SECRET then":1}}', "document"),
        ('{"session_id":"%s"}' % ("s" * 257), "session_id"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named_and_nothing_else_repeated(raw: str, field: str) -> None:
    response = client_of(FakeGenerator()).post("/v1/complete", content=raw)
    assert response.status_code == 400
    error = error_of(response)
    assert (error["param"], error["code"]) == (field, "invalid_request")
    assert field in error["message"]
    assert len(error["message"]) < 200
    assert "SECRET" not in error["message"]


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"\xff", b'{"pressed_at_ms":NaN}', b"[" * 100_000, b"null", b'"\\ud800', b"1" * 5_000,
     b'{"if SECRET then":1}', b'{"a - at `$.if SECRET`":1}']
)  # fmt: skip
def test_what_is_no_request_is_refused(raw: bytes) -> None:
    response = client_of(FakeGenerator()).post("/v1/complete", content=raw)
    assert response.status_code == 400
    assert error_of(response)["param"] is None
    assert "SECRET" not in response.text


def test_deep_nesting_is_refused_wherever_the_text_is_read() -> None:
    deep = '{"document":' + '{"text":' * 50_000
    with pytest.raises(FieldError):
        decode_json(deep, WireRequest)
    for raw in ('{"a":"\\ud800","b":' + "[" * 100_000, "[" * 100_000):
        with pytest.raises(InputError):
            decode_json(raw, WireRequest)


def test_huge_lines_and_bodies() -> None:
    generator = FakeGenerator()
    client = client_of(generator)
    line = "x = " + "é" * 1_000_000
    body = {"document": {"text": line}, "position": {"line": 0, "character": 500_000}}
    assert client.post("/v1/complete", json=body).json()["drop_reason"] in ("mid_word", "long_line")
    response = client.post("/v1/complete", content=b'{"document":{"text":"' + b"x" * 50_000_000)
    assert response.status_code == 413
    assert error_of(response)["code"] == "body_too_large"
    assert client.post("/v1/complete", json=BODY).status_code == 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**20) | st.floats() | st.text(max_size=9),
    lambda each: (
        st.lists(each, max_size=3) | st.dictionaries(st.sampled_from(NAMES), each, max_size=4)
    ),
    max_leaves=8,
)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), JSON, max_size=5), st.booleans())
def test_whatever_is_sent_is_answered(changes: dict[str, Any], is_whole: bool) -> None:
    """A body of anything, or one that is right but for a few fields."""
    raw = json.dumps(BODY | changes if is_whole else changes)
    response = FUZZED.post("/v1/complete", content=raw)
    assert response.status_code in (200, 400, 404)


def test_an_empty_document_is_nothing_to_complete() -> None:
    body = {"document": {"text": ""}, "position": {"line": 0, "character": 0}}
    assert client_of(FakeGenerator()).post("/v1/complete", json=body).status_code == 400
