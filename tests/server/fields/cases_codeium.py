"""Codeium's calls: what each field changes."""

from __future__ import annotations

from typing import Any

from fastapi.testclient import TestClient

from tests.server.fields.cases_native import CALL, SIMILAR, Pythonista
from tests.server.fields.harness import FieldCase, ask_http

SERVICE = "POST /exa.language_server_pb.LanguageServerService"
COMPLETE = f"{SERVICE}/GetCompletions"
UNKNOWN_TOKEN = f"pl_{'a' * 8}_{'b' * 40}"
"""Of our form, so that a server without tokens refuses it too."""

TEXT = "count = 1\ntotal = "
DOCUMENT: dict[str, Any] = {"text": TEXT, "cursor_position": {"row": 1, "col": 8}, "language": 33}
METADATA: dict[str, Any] = {"ide_name": "vim", "extension_name": "vim", "session_id": "one"}
BODY: dict[str, Any] = {"metadata": METADATA, "document": DOCUMENT}


BLOCK: dict[str, Any] = {
    "document": {"text": "def area(width, height):\n    ", "cursor_offset": 29, "language": 33}
}


def meta(**fields: Any) -> dict[str, Any]:
    return {**BODY, "metadata": {**METADATA, **fields}}


def document(**fields: Any) -> dict[str, Any]:
    return {**BODY, "document": {**DOCUMENT, **fields}}


def other(**fields: Any) -> dict[str, Any]:
    """With another open file, which resembles the lines at the cursor."""
    return {**BODY, "other_documents": [{"text": SIMILAR, **fields}]}


def named(**fields: Any) -> dict[str, Any]:
    """The same, both with a path."""
    return other(absolute_uri="b.py", **fields) | {"document": {**DOCUMENT, "absolute_uri": "a.py"}}


def metadata_case(name: str, changed: Any, body: dict[str, Any]) -> FieldCase:
    first: dict[str, Any] = {**body, "metadata": {}}
    return FieldCase(base=first, changed={**body, "metadata": {name: changed}})


def cancel_then_complete(client: TestClient, method: str, path: str, body: Any) -> Any:
    """The cancel, and what becomes of request 5 of session one, which it overtook."""
    canceled = ask_http(client, method, path, body)
    completed = ask_http(client, method, COMPLETE.partition(" ")[2], meta(request_id=5))
    return {"status": canceled["status"], "replies": [canceled, completed]}


EARLIER: tuple[Any, ...] = (meta(request_id=9),)
ALL_BUT_COMPLETE = {
    "CancelRequest": {"request_id": 5},
    "AcceptCompletion": {"completion_id": "cmpl-1"},
    "GetStatus": {},
    "Heartbeat": {},
    "RecordEvent": {},
    "RefreshContextForIdeAction": {},
    "AddTrackedWorkspace": {},
    "RemoveTrackedWorkspace": {},
}

CASES: dict[str, FieldCase] = {
    f"{COMPLETE} metadata.api_key": FieldCase(base=BODY, changed=meta(api_key=UNKNOWN_TOKEN)),
    f"{COMPLETE} metadata.session_id": FieldCase(
        base=meta(request_id=8, session_id="two"),
        changed=meta(request_id=8),
        first=EARLIER,
        is_app_own=True,
    ),
    f"{COMPLETE} metadata.request_id": FieldCase(
        base=meta(request_id=10), changed=meta(request_id="8"), first=EARLIER, is_app_own=True
    ),
    f"{COMPLETE} document.text": FieldCase(base=BODY, changed=document(text=TEXT + "\n")),
    f"{COMPLETE} document.editor_language": FieldCase(
        base=document(language=0, editor_language="python"),
        changed=document(language=0, editor_language="rust"),
        generator=Pythonista,
    ),
    f"{COMPLETE} document.language": FieldCase(
        base=BODY, changed=document(language="LANGUAGE_RUST"), generator=Pythonista
    ),
    f"{COMPLETE} document.absolute_uri": FieldCase(
        base=BODY, changed=document(absolute_uri="file:///w/a.py")
    ),
    f"{COMPLETE} document.absolute_path_migrate_me_to_uri": FieldCase(
        base=BODY, changed=document(absolute_path_migrate_me_to_uri="/w/a.py")
    ),
    f"{COMPLETE} document.cursor_offset": FieldCase(
        base=document(cursor_position=None, cursor_offset=18),
        changed=document(cursor_position=None, cursor_offset="9"),
    ),
    f"{COMPLETE} document.cursor_position.row": FieldCase(
        base=BODY, changed=document(cursor_position={"row": 0, "col": 8})
    ),
    f"{COMPLETE} document.cursor_position.col": FieldCase(
        base=BODY, changed=document(cursor_position={"row": 1, "col": 0})
    ),
    f"{COMPLETE} document.line_ending": FieldCase(
        base=document(text="a\rb = 1\nc = ", cursor_position={"row": 1, "col": 2}),
        changed=document(
            text="a\rb = 1\nc = ", cursor_position={"row": 1, "col": 2}, line_ending="\r"
        ),
    ),
    f"{COMPLETE} document.workspace_uri": FieldCase(
        base=BODY, changed=document(workspace_uri="file:///nowhere/project")
    ),
    f"{COMPLETE} other_documents[].text": FieldCase(base=BODY, changed=other(language=33)),
    f"{COMPLETE} other_documents[].absolute_uri": FieldCase(
        base=other(language=33), changed=other(language=33, absolute_uri="file:///w/b.py")
    ),
    f"{COMPLETE} other_documents[].absolute_path_migrate_me_to_uri": FieldCase(
        base=other(language=33), changed=other(language=33, absolute_path_migrate_me_to_uri="b.py")
    ),
    f"{COMPLETE} other_documents[].language": FieldCase(
        base=named(language=33), changed=named(language="LANGUAGE_RUST"), pieces=CALL
    ),
    f"{COMPLETE} other_documents[].editor_language": FieldCase(
        base=named(editor_language="python"), changed=named(editor_language="rust"), pieces=CALL
    ),
    f"{COMPLETE} model_name": FieldCase(base=BODY, changed=BODY | {"model_name": "other"}),
    f"{COMPLETE} multiline_config.threshold": FieldCase(
        base=BLOCK | {"multiline_config": {"threshold": 0}},
        changed=BLOCK | {"multiline_config": {"threshold": 1}},
    ),
    f"{COMPLETE} num_alternatives": FieldCase(base=BODY, changed=BODY | {"num_alternatives": 2}),
    f"{SERVICE}/CancelRequest metadata.session_id": FieldCase(
        base={"request_id": 5, "metadata": {"session_id": "two"}},
        changed={"request_id": 5, "metadata": {"session_id": "one"}},
        ask=cancel_then_complete,
        is_app_own=True,
    ),
    f"{SERVICE}/CancelRequest request_id": FieldCase(
        base={"request_id": 4, "metadata": METADATA},
        changed={"request_id": "5", "metadata": METADATA},
        ask=cancel_then_complete,
        is_app_own=True,
    ),
    f"{SERVICE}/AcceptCompletion completion_id": FieldCase(
        base={"completion_id": "cmpl-1"}, changed={"completion_id": "cmpl-1.1"}
    ),
    **{
        f"{SERVICE}/AcceptCompletion metadata.{name}": metadata_case(
            name, "7", {"completion_id": "cmpl-1"}
        )
        for name in ("ide_name", "extension_name", "extension_version")
    },
    f"{SERVICE}/RegisterUser firebase_id_token": FieldCase(
        base={}, changed={"firebase_id_token": "other"}
    ),
    **{
        f"{SERVICE}/{name} metadata.api_key": metadata_case("api_key", UNKNOWN_TOKEN, body)
        for name, body in ALL_BUT_COMPLETE.items()
    },
}
