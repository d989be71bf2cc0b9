"""OpenAI's dialect: what is asked of the generator, and what comes back, streaming and not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from paceline.generate.types import PromptParts
from tests.fakes import FakeGenerator
from tests.server.http import client_of, error_of, events_of


def test_reply_has_every_field_that_clients_need() -> None:
    response = client_of(FakeGenerator()).post(
        "/v1/completions", json={"model": "fake", "prompt": "def f"}
    )
    assert response.status_code == 200
    reply = response.json()
    assert reply["object"] == "text_completion"
    assert reply["id"].startswith("cmpl-")
    assert isinstance(reply["created"], int)
    assert reply["model"] == "fake"
    assert reply["choices"] == [
        {"text": "return 1\n", "index": 0, "logprobs": None, "finish_reason": "stop"}
    ]
    assert reply["usage"] == {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}


@pytest.mark.parametrize(
    ("fields", "parts"),
    [
        ({"prompt": "a"}, PromptParts(prefix="a", is_truncatable=False)),
        ({"prompt": ["a"]}, PromptParts(prefix="a", is_truncatable=False)),
        ({"prompt": "a", "suffix": None}, PromptParts(prefix="a", is_truncatable=False)),
        ({"prompt": "a", "suffix": ""}, PromptParts(prefix="a", suffix="", is_truncatable=False)),
        ({"prompt": "", "suffix": "b"}, PromptParts(prefix="", suffix="b", is_truncatable=False)),
        # Half a surrogate pair and a NUL are text, too.
        ({"prompt": "\ud83d\0"}, PromptParts(prefix="�\0", is_truncatable=False)),
        ({"prompt": "😀"}, PromptParts(prefix="😀", is_truncatable=False)),
    ],
)
def test_suffix_decides_between_plain_and_fill_in(
    fields: dict[str, Any], parts: PromptParts
) -> None:
    generator = FakeGenerator()
    response = client_of(generator).post(
        "/v1/completions", content=json.dumps(fields), headers={"content-type": "application/json"}
    )
    assert response.status_code == 200
    assert generator.calls[0].parts == parts


def test_defaults_are_openai_s_and_each_field_arrives() -> None:
    generator = FakeGenerator()
    client = client_of(generator)
    nulls = {"max_tokens": None, "temperature": None, "stop": None, "n": None, "model": ""}
    for body in ({"prompt": "a"}, {"prompt": "a", **nulls}):
        assert client.post("/v1/completions", json=body).status_code == 200
    body = {"prompt": "a", "max_tokens": 2, "temperature": 0, "stop": ["\n", ""], "seed": 7}
    reply = client.post("/v1/completions", json=body | {"top_p": 0.5, "user": "x", "other": 1})
    assert reply.json()["choices"][0]["finish_reason"] == "length"
    first, second, third = (call.params for call in generator.calls)
    assert first == second
    assert (first.max_tokens, first.temperature, first.stop, first.seed) == (16, 1.0, (), None)
    assert (third.max_tokens, third.temperature, third.stop, third.seed) == (2, 0.0, ("\n",), 7)


def test_stream_is_events_and_done() -> None:
    response = client_of(FakeGenerator()).post(
        "/v1/completions", json={"prompt": "a", "stream": True}
    )
    *chunks, done = events_of(response)
    assert done == "[DONE]"
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == "return 1\n"
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, None, "stop"]
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert all("usage" not in chunk for chunk in chunks)


def test_stream_ends_with_usage_if_asked() -> None:
    body = {"prompt": "abc", "stream": True, "stream_options": {"include_usage": True}}
    *chunks, last, done = events_of(client_of(FakeGenerator()).post("/v1/completions", json=body))
    assert done == "[DONE]"
    assert all(chunk["usage"] is None for chunk in chunks)
    assert last["choices"] == []
    assert last["usage"] == {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}


def test_streaming_a_bad_request_still_has_its_status() -> None:
    response = client_of(FakeGenerator()).post(
        "/v1/completions", json={"prompt": "", "stream": True}
    )
    assert response.status_code == 400
    assert error_of(response)["code"] == "empty_prompt"


def test_models_are_listed_and_found() -> None:
    client = client_of(FakeGenerator(models=("a", "b")))
    reply = client.get("/v1/models").json()
    assert reply["object"] == "list"
    assert [entry["id"] for entry in reply["data"]] == ["a", "b"]
    assert client.get("/v1/models/b").json()["object"] == "model"
    missing = client.get("/v1/models/c")
    assert missing.status_code == 404
    assert error_of(missing)["code"] == "model_not_found"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 2), ("best_of", 3), ("echo", True), ("logprobs", 0), ("logit_bias", {"5": 1}),
        ("presence_penalty", 0.5), ("frequency_penalty", -1), ("top_p", 0.9),
        ("max_tokens", 0), ("max_tokens", "many"), ("temperature", 3), ("temperature", -0.1),
        ("prompt", 5), ("prompt", ["a", "b"]), ("prompt", []), ("suffix", 1),
        ("stop", list("abcde")), ("stop", 1), ("stream", "perhaps"), ("seed", 2**64),
        ("stream_options", "usage"), ("model", 1),
    ],
)  # fmt: skip
def test_what_is_not_supported_is_refused_by_name(field: str, value: object) -> None:
    generator = FakeGenerator()
    response = client_of(generator).post("/v1/completions", json={"prompt": "a", field: value})
    assert response.status_code == 400
    error = error_of(response)
    assert error["param"].split(".")[0] == field
    assert error["message"].startswith(f"Field '{error['param']}':")
    assert generator.calls == []


def test_a_hopeless_prompt_is_refused_before_any_work() -> None:
    generator = FakeGenerator()
    body = {"prompt": "x" * 400_000, "suffix": "y" * 15_000_000}
    response = client_of(generator).post("/v1/completions", json=body)
    assert response.status_code == 400
    assert error_of(response)["code"] == "context_length_exceeded"
    assert "1024 tokens" in error_of(response)["message"]
    assert generator.calls == []
