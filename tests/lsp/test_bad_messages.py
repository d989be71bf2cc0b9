"""Messages that make no sense are answered by the letter of JSON-RPC, and the connection goes on."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lsp.connection import HERE, URI, Connection, inline_params, run, settle

INVALID_PARAMS, INVALID_REQUEST, NO_METHOD, NOT_INITIALIZED = -32602, -32600, -32601, -32002


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("textDocument/inlineCompletion", None, INVALID_PARAMS),
        ("textDocument/inlineCompletion", {}, INVALID_PARAMS),
        ("textDocument/inlineCompletion", [1, 2], INVALID_PARAMS),
        (
            "textDocument/inlineCompletion",
            inline_params() | {"position": {"line": -1, "character": 0}},
            INVALID_PARAMS,
        ),
        (
            "textDocument/inlineCompletion",
            inline_params() | {"position": {"line": "x", "character": 0}},
            INVALID_PARAMS,
        ),
        ("workspace/executeCommand", {"command": "rm -rf"}, INVALID_PARAMS),
        ("textDocument/hover", {"textDocument": {"uri": URI}, "position": HERE}, NO_METHOD),
        ("no/such", {"x": 1}, NO_METHOD),
        ("no/such", None, NO_METHOD),
        ("initialize", {"capabilities": {}, "processId": 1}, INVALID_REQUEST),
    ],
)
def test_bad_requests_have_their_codes(method: str, params: object, code: int) -> None:
    async def work() -> None:
        client = Connection()
        await client.begin()
        answer = await client.ask(method, params)
        assert answer["error"]["code"] == code
        assert "Traceback" not in json.dumps(answer)
        assert (await client.complete())["result"]["items"], "the connection goes on"

    run(work)


@pytest.mark.parametrize(
    "message",
    [
        1,
        [],
        "x",
        None,
        {},
        {"jsonrpc": "1.0", "id": 1, "method": "x"},
        {"jsonrpc": "2.0", "id": [1], "method": "x"},
        {"jsonrpc": "2.0", "id": 1, "method": 5},
    ],
)
def test_what_is_no_message_is_an_invalid_request(message: object) -> None:
    client = Connection()
    client.server.rpc.receive(message)
    (answer,) = client.sent
    assert answer["error"]["code"] == INVALID_REQUEST


@pytest.mark.parametrize(
    "message",
    [
        {"jsonrpc": "2.0", "id": 99, "result": 1},
        {"jsonrpc": "2.0", "id": 99, "error": {"code": 1, "message": "x"}},
        {"jsonrpc": "2.0", "id": None, "error": 5},
    ],
)
def test_answers_to_what_was_not_asked_are_left_aside(message: object) -> None:
    client = Connection()
    client.server.rpc.receive(message)
    assert not [each for each in client.sent if "id" in each]


def test_before_initialize_and_after_shutdown_requests_are_refused() -> None:
    async def work() -> None:
        client = Connection()
        answer = await client.complete()
        assert answer["error"]["code"] == NOT_INITIALIZED
        client.open(URI, "x")
        await client.begin()
        assert (await client.ask("shutdown"))["result"] is None
        assert client.completer.num_flushes == 1
        assert (await client.complete())["error"]["code"] == INVALID_REQUEST
        assert client.server.rpc.exit_code is None
        client.post("exit")
        assert client.server.rpc.exit_code == 0

    run(work)


def test_exit_without_shutdown_is_a_failure() -> None:
    client = Connection()
    client.post("exit")
    assert client.server.rpc.exit_code == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["uri", "text", "line", "range", "textDocument", "position", "id"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
METHODS = st.sampled_from(
    [
        "initialize",
        "textDocument/didOpen",
        "textDocument/didChange",
        "textDocument/didClose",
        "textDocument/didFocus",
        "textDocument/didShowCompletion",
        "textDocument/inlineCompletion",
        "workspace/executeCommand",
        "workspace/didChangeConfiguration",
        "workspace/didChangeWorkspaceFolders",
        "notebookDocument/didChange",
        "notebookDocument/didOpen",
        "$/cancelRequest",
        "$/setTrace",
        "x",
    ]
)


@settings(max_examples=25)
@given(METHODS, JSON, st.sampled_from([None, 5, "a"]))
def test_whatever_comes_requests_are_answered_and_nothing_breaks(
    method: str, params: object, message_id: object
) -> None:
    async def work() -> None:
        client = Connection()
        await client.begin()
        client.sent.clear()
        client.post(method, params, **({} if message_id is None else {"id": message_id}))
        await settle()
        answers = [each for each in client.sent if each.get("id") == message_id is not None]
        assert len(answers) == (message_id is not None)
        client.open(URI, "ab")
        assert (await client.complete())["result"]["items"]

    run(work)
