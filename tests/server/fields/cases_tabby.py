"""Tabby's completions and events: what each field changes."""

from __future__ import annotations

from typing import Any

from paceline.server.dialects.tabby_types import SegmentsRequest, TabbyEvent
from tests.server.fields.cases_native import CLIPBOARD, Pythonista
from tests.server.fields.harness import FieldCase

REQUEST = "POST /v1/completions with segments"
EVENTS = "POST /v1/events of Tabby"

SEGMENTS: dict[str, Any] = {"prefix": "def f():\n    ", "suffix": "\n", "filepath": "a.py"}
BODY: dict[str, Any] = {"language": "python", "segments": SEGMENTS}
SNIPPET: dict[str, Any] = {"filepath": "b.py", "body": "def g():\n    return 2\n"}
EVENT: dict[str, Any] = {"type": "view", "completion_id": "cmpl-1", "choice_index": 0}


def with_segments(**fields: Any) -> dict[str, Any]:
    return {**BODY, "segments": {**SEGMENTS, **fields}}


def with_snippet(kind: str, **fields: Any) -> dict[str, Any]:
    return with_segments(**{kind: [{**SNIPPET, **fields}]})


def debug(body: dict[str, Any] = BODY, **options: Any) -> dict[str, Any]:
    return {**body, "debug_options": options}


def segment(name: str, changed: Any, **case: Any) -> FieldCase:
    return FieldCase(base=BODY, changed=with_segments(**{name: changed}), **case)


def snippet_cases(kind: str) -> dict[str, FieldCase]:
    """Path, text and, for those that have one, score of one kind of snippet."""
    base = with_snippet(kind)
    other = "def h():\n    return 3\n"
    cases = {
        "filepath": FieldCase(base=base, changed=with_snippet(kind, filepath="c.py")),
        "body": FieldCase(base=base, changed=with_snippet(kind, body=other)),
    }
    if kind != "declarations":
        cases["score"] = FieldCase(
            base=debug(base, return_snippets=True),
            changed=debug(with_snippet(kind, score=0.5), return_snippets=True),
        )
    return {f"{REQUEST} segments.{kind}[].{name}": case for name, case in cases.items()}


def event(name: str, changed: Any, **base: Any) -> FieldCase:
    first = EVENT | base
    return FieldCase(base=first, changed=first | {name: changed})


CASES: dict[str, FieldCase] = {
    f"{REQUEST} language": FieldCase(
        base=BODY, changed=BODY | {"language": "rust"}, generator=Pythonista
    ),
    f"{REQUEST} segments.prefix": segment("prefix", "def g():\n    "),
    f"{REQUEST} segments.suffix": segment("suffix", "\nf()\n"),
    f"{REQUEST} segments.filepath": segment("filepath", "b.py"),
    f"{REQUEST} segments.git_url": segment("git_url", "https://git.example/x"),
    f"{REQUEST} segments.clipboard": FieldCase(
        base=with_segments(prefix="count = 1\ntotal = "),
        changed=with_segments(prefix="count = 1\ntotal = ", clipboard="total = count + 1"),
        config=CLIPBOARD,
    ),
    f"{REQUEST} segments.edit_history.edits_diff": segment("edit_history", {"edits_diff": "+x"}),
    **snippet_cases("declarations"),
    **snippet_cases("relevant_snippets_from_changed_files"),
    **snippet_cases("relevant_snippets_from_recently_opened_files"),
    f"{REQUEST} user": FieldCase(base=BODY, changed=BODY | {"user": "somebody"}),
    f"{REQUEST} temperature": FieldCase(base=BODY, changed=BODY | {"temperature": 0.8}),
    f"{REQUEST} seed": FieldCase(
        base=BODY | {"temperature": 0.8}, changed=BODY | {"temperature": 0.8, "seed": 2**64 - 1}
    ),
    f"{REQUEST} mode": FieldCase(
        base=BODY | {"mode": "standard"}, changed=BODY | {"mode": "next_edit_suggestion"}
    ),
    f"{REQUEST} debug_options.raw_prompt": FieldCase(base=BODY, changed=debug(raw_prompt="x = ")),
    f"{REQUEST} debug_options.return_snippets": FieldCase(
        base=debug(with_snippet("declarations")),
        changed=debug(with_snippet("declarations"), return_snippets=True),
    ),
    f"{REQUEST} debug_options.return_prompt": FieldCase(
        base=debug(), changed=debug(return_prompt=True)
    ),
    f"{REQUEST} debug_options.disable_retrieval_augmented_code_completion": FieldCase(
        base=with_snippet("declarations"),
        changed=debug(
            with_snippet("declarations"), disable_retrieval_augmented_code_completion=True
        ),
    ),
    f"{EVENTS} type": event("type", "dismiss"),
    f"{EVENTS} completion_id": event("completion_id", "cmpl-2"),
    f"{EVENTS} choice_index": event("choice_index", 1),
    f"{EVENTS} view_id": event("view_id", "view-2", view_id="view-1"),
    f"{EVENTS} elapsed": event("elapsed", 1200),
    f"{EVENTS} select_kind": event("select_kind", "line", type="select"),
    f"{EVENTS} ?select_kind": FieldCase(
        base=EVENT | {"type": "select"},
        changed=EVENT | {"type": "select"},
        changed_path="/v1/events?select_kind=line",
    ),
}

MODELS: dict[str, Any] = {REQUEST: SegmentsRequest, EVENTS: TabbyEvent}
