"""Copilot's completion proxy and FauxPilot: streams that end with their block, aliases, the token."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.core.types import Snippet
from paceline.server.dialects.engines_endings import ending_of_block
from tests.fakes import FakeGenerator
from tests.server.http import client_of, error_of, events_of

PATH = "/v1/engines/{}/completions"
COPILOT: dict[str, Any] = {
    "prompt": "# Path: a.py\ndef f(x):\n    ",
    "suffix": "\n",
    "max_tokens": 500,
    "temperature": 0,
    "top_p": 1,
    "n": 1,
    "stop": ["\n\n\n", "\n```"],
    "stream": True,
    "nwo": "owner/shop",
    "code_annotations": True,
    "extra": {
        "language": "python",
        "next_indent": 0,
        "trim_by_indentation": True,
        "prompt_tokens": 18,
        "suffix_tokens": 1,
        "context": ["def g(x): ...\n", ""],
    },
}


def test_a_stream_as_copilot_reads_it() -> None:
    generator = FakeGenerator(["if x:", "\n        return", " 1\n", "\n    return 2\n", "g(", "1)"])
    response = client_of(generator).post(
        PATH.format("gpt-4o-copilot"), json=COPILOT, headers={"x-request-id": "r-1"}
    )
    *chunks, done = events_of(response)
    assert (done, response.headers["x-request-id"]) == ("[DONE]", "r-1")
    choices = [chunk["choices"][0] for chunk in chunks]
    text = "".join(choice["text"] for choice in choices)
    assert text == "if x:\n        return 1\n\n    return 2"
    assert [choice["finish_reason"] for choice in choices if choice["finish_reason"]] == ["stop"]
    (call,) = generator.calls
    assert call.parts.prefix == COPILOT["prompt"]
    assert call.parts.snippets == (Snippet(path="", text="def g(x): ...\n"),)
    assert (call.parts.is_truncatable, call.parts.project) == (True, "shop")
    assert call.params.max_tokens == 500
    assert call.params.stop == ("\n\n\n", "\n```")


def test_a_prompt_made_for_a_larger_window_leaves_room_for_itself() -> None:
    generator = FakeGenerator()
    body = {"prompt": "x" * 400_000, "suffix": "", "max_tokens": 2000}
    assert client_of(generator).post(PATH.format("codegen"), json=body).status_code == 200
    assert generator.calls[0].params.max_tokens == 512


def test_fauxpilot_s_plain_reply() -> None:
    body = {"prompt": "def f", "max_tokens": 2, "temperature": 0.1, "top_p": 1.0, "n": 2}
    reply = client_of(FakeGenerator()).post(PATH.format("codegen"), json=body).json()
    assert [choice["text"] for choice in reply["choices"]] == ["return 1"] * 2
    assert reply["usage"]["completion_tokens"] == 4


@pytest.mark.parametrize(
    ("engine", "model", "answered_by"),
    [
        ("copilot-codex", None, "a"), ("codegen", "b", "b"), ("b", None, "b"), ("b", "a", "b"),
        ("codegen", "fastertransformer", "a"),
    ],
)  # fmt: skip
def test_names_of_engines(engine: str, model: str | None, answered_by: str) -> None:
    generator = FakeGenerator(models=("a", "b"))
    body = {"prompt": "x", "model": model}
    assert client_of(generator).post(PATH.format(engine), json=body).status_code == 200
    assert generator.calls[0].model_id == answered_by


@pytest.mark.parametrize(("engine", "model"), [("davinci", None), ("codegen", "davinci")])
def test_unknown_names_are_404(engine: str, model: str | None) -> None:
    response = client_of(FakeGenerator()).post(
        PATH.format(engine), json={"prompt": "x", "model": model}
    )
    assert (response.status_code, error_of(response)["code"]) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("extra", 5), ("extra", {"next_indent": "x"}), ("extra", {"context": ["a"] * 129}),
        ("extra", {"context": "a"}), ("extra", {"force_indent": -2}), ("nwo", 5), ("prompt", 5),
        ("presence_penalty", 1), ("frequency_penalty", 1), ("logit_bias", [1]), ("n", 9), ("stop", ["a"] * 33),
    ],
)  # fmt: skip
def test_wrong_fields_are_refused_by_name(field: str, value: object) -> None:
    response = client_of(FakeGenerator()).post(
        PATH.format("codegen"), json=COPILOT | {field: value}
    )
    assert response.status_code == 400
    assert error_of(response)["param"].split(".")[0] == field


def test_a_long_engine_name_or_request_id_is_refused() -> None:
    client = client_of(FakeGenerator())
    assert client.post(PATH.format("x" * 300), json=COPILOT).status_code == 400
    headers = {"x-request-id": "x" * 300}
    assert client.post(PATH.format("codegen"), json=COPILOT, headers=headers).status_code == 400


def test_the_token_is_the_one_that_was_shown() -> None:
    client = client_of(FakeGenerator())
    reply = client.get("/copilot_internal/v2/token").json()
    assert reply["token"] == "paceline"
    assert reply["refresh_in"] < 1800
    assert reply["endpoints"]["proxy"] == "http://127.0.0.1:8012"
    headers = {"authorization": "token shown"}
    assert client.get("/copilot_internal/v2/token", headers=headers).json()["token"] == "shown"


PYTHON_BLOCK = "if a:\n    b()\nelse:\n    c()\nd()"


@pytest.mark.parametrize(
    ("text", "level", "language", "kept"),
    [
        (PYTHON_BLOCK, 0, "python", "if a:\n    b()\nelse:\n    c()"),
        (PYTHON_BLOCK, 0, "haskell", "if a:\n    b()\nelse:\n    c()"),
        (PYTHON_BLOCK, 4, "python", "if a:"),
        ("f(\n    1,\n)\ng()", 0, "python", "f(\n    1,\n)"),
        ("if (a) {\n  b();\n} else {\n  c();\n}\nd();", 0, "c", "if (a) {\n  b();\n} else {\n  c();\n}"),
        ("if a\n  b\nend\nc", 0, "ruby", "if a\n  b\nend"),
        ("if a\n  b\nend\nc", 0, "python", "if a\n  b"),
        ("if a; then\n  b\nfi\nc", 0, "shellscript", "if a; then\n  b\nfi"),
        ("a;\n  }\n}", 2, "c", "a;\n  }"),
        ("\n    a\nb", 0, "python", "\n    a"),
        ("\nb\nc", 0, "python", "\nb"),
        ("a\n\n\n  b\n", 0, "python", "a\n\n\n  b\n"),
        ("elsewhere()\nelsewhere()", 0, "python", "elsewhere()"),
    ],
)  # fmt: skip
def test_an_answer_ends_with_its_block(text: str, level: int, language: str, kept: str) -> None:
    ending = ending_of_block(level, language)
    num_chars, is_over = ending.find(text, is_final=True)
    assert (text[:num_chars], is_over) == (kept, kept != text)
    parts = [text[:end] for end in range(len(text) + 1)]
    settled = [ending.find(part).num_chars for part in parts]
    assert settled == sorted(settled)
    assert settled[-1] <= num_chars


PIECES = st.lists(
    st.sampled_from(["a", "\n", "  ", "    b", "else", ":", "}", "\n\n", "e lse"]), max_size=12
)


@given(PIECES, st.integers(0, 4), st.booleans())
@settings(max_examples=15)
def test_streamed_or_not_the_text_is_the_same(
    pieces: list[str], level: int, is_streamed: bool
) -> None:
    extra = {"trim_by_indentation": True, "next_indent": level, "language": "python"}
    body = {"prompt": "x", "stream": is_streamed, "extra": extra}
    response = client_of(FakeGenerator(pieces)).post(PATH.format("codegen"), json=body)
    replies = events_of(response)[:-1] if is_streamed else [response.json()]
    text = "".join(reply["choices"][0]["text"] for reply in replies)
    whole = "".join(pieces)
    num_chars, _ = ending_of_block(level, "python").find(whole, is_final=True)
    assert text == whole[:num_chars]
