"""llama.cpp's dialect: what llama.vim and llama.vscode send, and what they look for."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from paceline.complete.config import CompleteConfig
from paceline.core.types import Snippet
from paceline.generate.types import GenerateParams, PromptParts, Session, TextChunk
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
    response = client_of(generator).post("/infill", json=LLAMA_VIM | {"mode": "single_line"})
    assert response.status_code == 200
    found = re.search(r'"content":"((?:[^"\\]|\\.)*)"', response.text)
    assert found is not None
    assert found[1] == 'return \\"x\\"'
    assert "\n" not in response.text
    reply = response.json()
    assert set(reply) == set(LLAMA_VIM_FIELDS)
    assert reply["timings/predicted_n"] == 3
    assert generator.num_cancelled == 1
    (call,) = generator.calls
    assert call.parts == PromptParts(
        prefix="def f(x):\n    ",
        suffix="\n\nf(1)\n",
        snippets=(Snippet(path="b.py", text="x = 1", origin="client"),),
    )
    assert (call.params.max_tokens, call.params.temperature) == (128, 0.0)


def test_warm_up_computes_the_prompt_and_answers_nothing() -> None:
    generator = FakeGenerator()
    body = LLAMA_VIM | {"n_predict": 0, "session_id": "s"}
    response = client_of(generator).post("/infill", json=body | {"response_fields": ["content"]})
    assert response.status_code == 200
    assert response.json() == {"content": ""}
    (call,) = generator.calls
    assert call.parts.prefix == "def f(x):\n    "
    params = call.params
    assert (params.max_tokens, params.lane, params.session) == (1, "batch", None)


def test_warm_up_of_pieces_alone_is_what_llama_vim_sends_while_idle() -> None:
    generator = FakeGenerator()
    client = client_of(generator)
    body = {"input_prefix": "", "input_suffix": "", "prompt": "", "n_predict": 0}
    assert client.post("/infill", json=body).json()["tokens_evaluated"] == 0
    assert generator.calls == []
    extra = {"input_extra": LLAMA_VIM["input_extra"]}
    assert client.post("/infill", json=body | extra).json()["content"] == ""
    assert [call.parts.snippets[0].text for call in generator.calls] == ["x = 1"]


def test_session_limit_and_sampling_arrive() -> None:
    generator = FakeGenerator()
    client = client_of(generator)
    sampling = {"top_k": 5, "top_p": 0.5, "min_p": 0.1}
    body = {"input_prefix": "x = ", "session_id": "s", "document_id": "d", "t_max_predict_ms": 70}
    untimed_body = {"t_max_predict_ms": 0, "top_k": -1, "input_prefix": "y = "}
    for more in (sampling | {"temperature": 1.0}, sampling, untimed_body):
        assert client.post("/infill", json=body | more).status_code == 200
    drawn, greedy, untimed = (call.params for call in generator.calls)
    assert (drawn.session, drawn.user_id) == (Session("s", "d"), "s")
    assert (drawn.max_latency_ms, untimed.max_latency_ms) == (70, CompleteConfig().max_latency_ms)
    assert (drawn.top_k, drawn.top_p, drawn.min_p) == (5, 0.5, 0.1)
    assert (greedy.top_k, greedy.top_p, greedy.min_p) == (None, 1.0, 0.0)
    assert client.post("/infill", json={"input_prefix": "x", "session_id": "s"}).status_code == 200
    assert generator.calls[-1].params.session == Session("s")


def test_a_superseded_request_shows_nothing_and_says_why() -> None:
    class Superseded(FakeGenerator):
        async def stream(
            self, parts: PromptParts, params: GenerateParams, *, model_id: str | None = None
        ) -> AsyncGenerator[TextChunk, None]:
            yield TextChunk(text="half a li", num_tokens=2, finish_reason="superseded")

    reply = client_of(Superseded()).post("/infill", json={"input_prefix": "x = "}).json()
    assert (reply["content"], reply["stop_type"]) == ("", "none")
    assert reply["paceline"]["drop_reason"] == "superseded"
    assert reply["paceline"]["finish_reason"] == "superseded"


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
    assert reply["paceline"]["mean_logprob"] == -0.5


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
    assert params.max_tokens == CompleteConfig().multi_line_max_tokens


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
        ("response_fields", "content"), ("input_extra", "x"), ("top_k", "x"), ("top_p", 1.5),
        ("min_p", -0.1), ("t_max_predict_ms", "x"), ("session_id", 5), ("session_id", "s" * 257),
        ("document_id", "d"), ("stop", ["x"] * 33), ("stop", ["x" * 257]), ("response_fields", ["a"] * 65),
        ("response_fields", ["a" * 257]), ("input_extra", [{"text": "x"}] * 513),
    ],
)  # fmt: skip
def test_wrong_types_are_refused_by_name(field: str, value: object) -> None:
    response = client_of(FakeGenerator()).post("/infill", json={"input_prefix": "x", field: value})
    assert response.status_code == 400
    assert error_of(response)["param"].split(".")[0] == field


def test_as_many_as_allowed() -> None:
    body = {"input_prefix": "x", "stop": ["#" * 256] * 32, "input_extra": [{"text": "y"}] * 512}
    generator = FakeGenerator()
    reply = client_of(generator).post("/infill", json=body | {"response_fields": ["stop"] * 64})
    assert reply.json() == {"stop": True}
    assert len(generator.calls[0].params.stop) == 32


def test_empty_document_and_unknown_model() -> None:
    client = client_of(FakeGenerator())
    empty = client.post("/infill", json={})
    assert (empty.status_code, error_of(empty)["code"]) == (400, "empty_prompt")
    unknown = client.post("/infill", json={"input_prefix": "x", "model": "nope"})
    assert (unknown.status_code, error_of(unknown)["code"]) == (404, "model_not_found")
