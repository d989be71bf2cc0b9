"""llama.cpp's dialect: what llama.vim and llama.vscode send, and what they look for."""

from __future__ import annotations

import re
from typing import Any

import pytest

from paceline.core.types import Snippet
from paceline.generate.types import PromptParts
from tests.fakes import FakeGenerator
from tests.server.http import client_of, error_of, events_of

LLAMA_VIM_FIELDS = [
    "content",
    "timings/prompt_n",
    "timings/prompt_ms",
    "timings/prompt_per_token_ms",
    "timings/predicted_n",
    "timings/predicted_ms",
    "truncated",
    "tokens_cached",
]

LLAMA_VIM: dict[str, Any] = {
    "id_slot": 0,
    "input_prefix": "def f(x):\n",
    "input_suffix": "\n\nf(1)\n",
    "input_extra": [{"text": "x = 1", "time": [1, 2], "filename": "b.py"}, {"text": ""}],
    "prompt": "    ",
    "n_predict": 128,
    "stop": [],
    "n_indent": 4,
    "top_k": 40,
    "top_p": 0.9,
    "samplers": ["top_k", "top_p", "infill"],
    "stream": False,
    "cache_prompt": True,
    "t_max_prompt_ms": 500,
    "t_max_predict_ms": 1000,
    "response_fields": LLAMA_VIM_FIELDS,
    "model": "",
}


def test_llama_vim_finds_its_content_by_pattern() -> None:
    generator = FakeGenerator(["return", ' "x"', "\n", "never"])
    response = client_of(generator).post("/infill", json=LLAMA_VIM)
    assert response.status_code == 200
    found = re.search(r'"content":"((?:[^"\\]|\\.)*)"', response.text)
    assert found is not None
    assert found[1] == 'return \\"x\\"'
    assert "\n" not in response.text
    reply = response.json()
    assert set(reply) == set(LLAMA_VIM_FIELDS) - {"timings/prompt_per_token_ms"}
    assert reply["timings/predicted_n"] == 3
    assert generator.num_cancelled == 1
    (call,) = generator.calls
    assert call.parts == PromptParts(
        prefix="def f(x):\n    ",
        suffix="\n\nf(1)\n",
        snippets=(Snippet(path="b.py", text="x = 1"),),
    )
    assert (call.params.max_tokens, call.params.temperature) == (128, 0.0)


def test_warm_up_is_answered_without_work() -> None:
    generator = FakeGenerator()
    body = LLAMA_VIM | {"n_predict": 0, "prompt": "", "response_fields": [""]}
    response = client_of(generator).post("/infill", json=body)
    assert response.status_code == 200
    assert response.json() == {}
    assert generator.calls == []


def test_whole_reply_says_why_nothing_is_shown() -> None:
    generator = FakeGenerator(["\n", "\n"])
    reply = client_of(generator).post("/infill", json={"input_prefix": "    "}).json()
    assert reply["content"] == ""
    assert reply["stop"] is True
    assert reply["model"] == "fake"
    assert reply["tokens_predicted"] == 1
    assert reply["paceline"]["drop_reason"] == "blank"
    assert reply["paceline"]["mode"] == "single_line"
    assert reply["paceline"]["latency_ms"] >= 0


def test_null_fields_can_be_selected() -> None:
    body = {"input_prefix": "x = ", "response_fields": ["paceline/drop_reason", "no/such"]}
    reply = client_of(FakeGenerator()).post("/infill", json=body).json()
    assert reply == {"paceline/drop_reason": None}


def test_mode_and_sampling_arrive() -> None:
    generator = FakeGenerator(["a", "\n", "b"])
    body = {"input_prefix": "x = ", "mode": "multi_line", "temperature": 0.5, "seed": 3}
    body |= {"stop": ["#", ""], "n_predict": -1}
    assert client_of(generator).post("/infill", json=body).json()["content"] == "a\nb"
    params = generator.calls[0].params
    assert (params.temperature, params.seed, params.stop) == (0.5, 3, ("#",))
    assert params.max_tokens == 256


def test_stream_is_the_text_and_then_the_figures() -> None:
    body = {"input_prefix": "x = ", "stream": True}
    first, last = events_of(client_of(FakeGenerator()).post("/infill", json=body))
    assert first == {"index": 0, "content": "return 1", "stop": False}
    assert (last["content"], last["stop"], last["tokens_predicted"]) == ("", True, 3)


def test_stream_of_nothing_is_one_event() -> None:
    body = {"input_prefix": "x = ", "stream": True, "response_fields": ["stop"]}
    assert events_of(client_of(FakeGenerator([])).post("/infill", json=body)) == [{"stop": True}]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("input_prefix", 1), ("input_suffix", None), ("prompt", []), ("n_predict", "x"),
        ("mode", "whole_file"), ("input_extra", [{"text": 5}]), ("stop", "x"), ("temperature", 9),
        ("response_fields", "content"), ("input_extra", "x"),
    ],
)  # fmt: skip
def test_wrong_types_are_refused_by_name(field: str, value: object) -> None:
    response = client_of(FakeGenerator()).post("/infill", json={"input_prefix": "x", field: value})
    assert response.status_code == 400
    assert error_of(response)["param"].split(".")[0] == field


def test_empty_document_and_unknown_model() -> None:
    client = client_of(FakeGenerator())
    empty = client.post("/infill", json={})
    assert (empty.status_code, error_of(empty)["code"]) == (400, "empty_prompt")
    unknown = client.post("/infill", json={"input_prefix": "x", "model": "nope"})
    assert (unknown.status_code, error_of(unknown)["code"]) == (404, "model_not_found")
