"""`POST /v1/complete`: what each field changes."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from paceline.generate.types import ModelInfo
from paceline.prompt.context.config import ContextConfig, SourceConfig
from tests.fakes import FakeGenerator
from tests.server.fields.harness import FieldCase
from tests.server.http import QUIET

TEXT = "count = 1\ntotal = "
BODY: dict[str, Any] = {
    "document": {"text": TEXT, "path": "a.py"},
    "position": {"line": 1, "character": 8},
}
SIMILAR = "def unrelated():\n    pass\n\n\ntotal = count + frobnicate(1)\n"
"""Of an open document: it resembles the lines at the cursor, so that it enters the prompt."""
CALL = ("frobnicate", "(1)", "\n")


class Pythonista(FakeGenerator):
    """A model that was trained on one language."""

    @property
    def models(self) -> tuple[ModelInfo, ...]:
        """It says so."""
        return (ModelInfo(model_id="fake", context_tokens=1024, languages=("python",)),)


def with_document(**fields: str) -> dict[str, Any]:
    return {**BODY, "document": {**BODY["document"], **fields}}


def with_open(**fields: str) -> dict[str, Any]:
    return {**BODY, "open_documents": [{"text": SIMILAR, "path": "b.py", **fields}]}


def with_edit(**fields: Any) -> dict[str, Any]:
    return {**BODY, "recent_edits": [{"path": "c.py", "before": "", "after": "x = 1", **fields}]}


def with_diagnostic(**fields: Any) -> dict[str, Any]:
    return {**BODY, "diagnostics": [{"line": 0, "message": "count is odd", **fields}]}


def with_snippet(**fields: str) -> dict[str, Any]:
    return {**BODY, "snippets": [{"path": "d.py", "text": "pi = 3", **fields}]}


def option(name: str, changed: Any, base: Any = None, **case: Any) -> FieldCase:
    """The body without a field, or with `base` in it, and with another value."""
    first = BODY if base is None else BODY | {name: base}
    return FieldCase(base=first, changed=BODY | {name: changed}, **case)


def at(line: int, character: int) -> dict[str, Any]:
    return BODY | {"position": {"line": line, "character": character}}


BLOCK = with_document(text="def area(width):\n    ") | {"position": {"line": 1, "character": 4}}
"""Where several lines may be offered."""
ACCENTED = with_document(text="é = 1") | {"position": {"line": 0, "character": 5}}
CLIPBOARD = replace(QUIET, context=ContextConfig(clipboard=SourceConfig()))
SESSION = BODY | {"session_id": "s"}
INVOKED = BODY | {"trigger": "invoked"}
RUST = with_document(language="rust")

OPTIONS: dict[str, FieldCase] = {
    "position.line": FieldCase(base=at(1, 8), changed=at(0, 8)),
    "position.character": FieldCase(base=at(1, 8), changed=at(1, 0)),
    "trigger": option("trigger", "invoked"),
    "mode": option("mode", "multi_line", "single_line"),
    "request_id": option("request_id", "r-1"),
    "diagnostics[].line": FieldCase(base=with_diagnostic(), changed=with_diagnostic(line=50)),
    "diagnostics[].message": FieldCase(
        base=with_diagnostic(), changed=with_diagnostic(message="?")
    ),
    "diagnostics[].severity": FieldCase(
        base=with_diagnostic(), changed=with_diagnostic(severity="hint")
    ),
    "notebook_cells": option("notebook_cells", ["count = 3"]),
    "snippets[].path": FieldCase(base=with_snippet(), changed=with_snippet(path="e.py")),
    "snippets[].text": FieldCase(base=with_snippet(), changed=with_snippet(text="pi = 4")),
    "clipboard": option("clipboard", "total = count + 1", config=CLIPBOARD),
    "model": option("model", "other"),
    "max_tokens": option("max_tokens", 1),
    "max_latency_ms": option("max_latency_ms", 70),
    "multi_line_threshold": FieldCase(
        base=BLOCK | {"multi_line_threshold": 0}, changed=BLOCK | {"multi_line_threshold": 1}
    ),
    "show_threshold": option("show_threshold", 1, 0, pieces=("count", " + 1", "\n")),
    "num_alternatives": FieldCase(base=INVOKED, changed=INVOKED | {"num_alternatives": 2}),
    "is_insisting": FieldCase(
        base=RUST, changed=RUST | {"is_insisting": True}, generator=Pythonista
    ),
    "pressed_at_ms": FieldCase(
        base=BLOCK | {"pressed_at_ms": 100},
        changed=BLOCK | {"pressed_at_ms": 60_000},
        first=(
            with_document(text="def area(width):\n")
            | {"position": {"line": 1, "character": 0}, "pressed_at_ms": 0},
        ),
    ),
    "is_warming": option("is_warming", True),
}

CASES: dict[str, FieldCase] = {
    f"POST /v1/complete {name}": case
    for name, case in {
        **OPTIONS,
        "document.text": FieldCase(base=BODY, changed=with_document(text=f"{TEXT}\n")),
        "document.path": FieldCase(base=BODY, changed=with_document(path="b.py")),
        "document.language": FieldCase(base=BODY, changed=RUST, generator=Pythonista),
        "encoding": FieldCase(base=ACCENTED, changed=ACCENTED | {"encoding": "utf-8"}),
        "session_id": option("session_id", "s"),
        "document_id": FieldCase(base=SESSION, changed=SESSION | {"document_id": "d"}),
        "open_documents[].text": FieldCase(base=with_open(), changed=with_open(text="")),
        "open_documents[].path": FieldCase(base=with_open(), changed=with_open(path="e.py")),
        "open_documents[].language": FieldCase(
            base=with_open(), changed=with_open(language="rust"), pieces=CALL
        ),
        "recent_edits[].path": FieldCase(base=with_edit(), changed=with_edit(path="e.py")),
        "recent_edits[].before": FieldCase(base=with_edit(), changed=with_edit(before="x = 0")),
        "recent_edits[].after": FieldCase(base=with_edit(), changed=with_edit(after="x = 2")),
        "recent_edits[].line": FieldCase(base=with_edit(), changed=with_edit(line=7)),
        "recent_edits[].at_ms": FieldCase(base=with_edit(), changed=with_edit(at_ms=9.0)),
        "workspace_root": option("workspace_root", "/nowhere/project"),
    }.items()
}
