"""OpenAI's dialect: what is asked of the generator, and what comes back, streaming and not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from paceline.core.errors import OverloadedError
from paceline.generate.types import (
    FinishReason,
    GenerateParams,
    PromptParts,
    Session,
    TextChunk,
)
from tests.fakes import Call, FakeGenerator
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
        {
            "text": "return 1\n", "index": 0, "logprobs": None, "finish_reason": "stop",
            "stop_reason": None,
        }
    ]  # fmt: skip
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
        ({"prompt": [0, 7]}, PromptParts(prefix="", is_truncatable=False, prompt_ids=(0, 7))),
        ({"prompt": [[7]]}, PromptParts(prefix="", is_truncatable=False, prompt_ids=(7,))),
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


def test_sampling_session_and_lane_arrive() -> None:
    generator = FakeGenerator()
    client = client_of(generator)
    body = {"prompt": "a", "top_k": 5, "top_p": 0.5, "min_p": 0.1, "ignore_eos": True}
    body |= {"session_id": "s", "document_id": "d", "lane": "batch", "user": "u"}
    for more in ({}, {"top_k": -1, "user": None, "document_id": None, "lane": None}):
        assert client.post("/v1/completions", json=body | more).status_code == 200
    full, sparse = (call.params for call in generator.calls)
    assert (full.top_k, full.top_p, full.min_p, full.is_end_ignored) == (5, 0.5, 0.1, True)
    assert (full.session, full.lane, full.user_id) == (Session("s", "d"), "batch", "u")
    assert (sparse.top_k, sparse.lane, sparse.user_id) == (None, "interactive", "s")
    assert sparse.session == Session("s")


def test_ids_have_their_sentinels_already() -> None:
    body = {"prompt": [1, 2], "suffix": "b"}
    response = client_of(FakeGenerator()).post("/v1/completions", json=body)
    assert (response.status_code, error_of(response)["param"]) == (400, "suffix")
    many = client_of(FakeGenerator()).post("/v1/completions", json={"prompt": [1] * 2000})
    assert error_of(many)["code"] == "context_length_exceeded"


class Numbered(FakeGenerator):
    """Stream k writes k a few times, one chunk per turn of the loop; counts what runs at once."""

    num_running = most_running = 0

    async def stream(
        self, parts: PromptParts, params: GenerateParams, *, model_id: str | None = None
    ) -> AsyncGenerator[TextChunk, None]:
        index = len(self.calls)
        self.calls.append(Call(parts=parts, params=params, model_id="fake"))
        self.num_running += 1
        for _ in range(3):
            await asyncio.sleep(0)
            self.most_running = max(self.most_running, self.num_running)
            yield TextChunk(text=str(index), num_tokens=1, prompt_tokens=2)
        self.num_running -= 1
        yield TextChunk(text="", prompt_tokens=2, finish_reason="stop")


def test_choices_are_computed_together_and_keep_apart() -> None:
    generator = Numbered()
    body = {"prompt": "ab", "n": 3, "seed": 5, "session_id": "s", "document_id": "d"}
    reply = client_of(generator).post("/v1/completions", json=body).json()
    assert [(choice["index"], choice["text"]) for choice in reply["choices"]] == [
        (0, "000"), (1, "111"), (2, "222")
    ]  # fmt: skip
    assert reply["usage"] == {"prompt_tokens": 2, "completion_tokens": 9, "total_tokens": 11}
    assert generator.most_running == 3
    assert [call.params.seed for call in generator.calls] == [5, 6, 7]
    sessions = [call.params.session for call in generator.calls]
    assert sessions[0] == Session("s", "d")
    assert len(set(sessions)) == 3  # they must not supersede each other


def test_choices_interleave_in_a_stream() -> None:
    body = {"prompt": "ab", "n": 2, "stream": True}
    *chunks, done = events_of(client_of(Numbered()).post("/v1/completions", json=body))
    assert done == "[DONE]"
    choices = [chunk["choices"][0] for chunk in chunks]
    for index in (0, 1):
        mine = [choice for choice in choices if choice["index"] == index]
        assert "".join(choice["text"] for choice in mine) == str(index) * 3
        assert [choice["finish_reason"] for choice in mine] == [None, None, None, "stop"]
    assert [choice["index"] for choice in choices] != sorted(choice["index"] for choice in choices)


def test_one_failing_choice_fails_the_request_and_ends_the_others() -> None:
    class Full(Numbered):
        async def stream(
            self, parts: PromptParts, params: GenerateParams, *, model_id: str | None = None
        ) -> AsyncGenerator[TextChunk, None]:
            if len(self.calls) == 1:
                raise OverloadedError(queued=9, retry_after_ms=500)
            try:
                async for chunk in super().stream(parts, params, model_id=model_id):
                    yield chunk
            finally:
                ended.append(len(self.calls))

    ended: list[int] = []
    generator = Full()
    response = client_of(generator).post("/v1/completions", json={"prompt": "a", "n": 2})
    assert response.status_code == 429
    assert ended == [1]
    error = client_of(generator).post("/v1/completions", json={"prompt": "a", "n": 2, "best_of": 1})
    assert error_of(error)["param"] == "best_of"


@pytest.mark.parametrize("is_streamed", [True, False])
def test_logprobs_have_openai_s_form(is_streamed: bool) -> None:
    body = {"prompt": "a", "logprobs": 2, "stream": is_streamed}
    response = client_of(FakeGenerator(["ret", "urn", "!"])).post("/v1/completions", json=body)
    replies = events_of(response)[:-1] if is_streamed else [response.json()]
    found = [reply["choices"][0]["logprobs"] for reply in replies]
    parts = [part for part in found if part is not None]
    whole = {key: [item for part in parts for item in part[key]] for key in parts[0]}
    assert whole["tokens"] == ["ret", "urn", "!"]
    assert whole["token_logprobs"] == [-0.5] * 3
    assert whole["text_offset"] == [0, 3, 6]
    assert whole["top_logprobs"][0] == {"alt1": -2.0, "alt2": -3.0, "ret": -0.5}


@pytest.mark.parametrize("reason", ["superseded", "deadline", "cancelled"])
def test_an_end_that_openai_has_no_word_for_is_told_beside(reason: FinishReason) -> None:
    class Ended(FakeGenerator):
        async def stream(
            self, parts: PromptParts, params: GenerateParams, *, model_id: str | None = None
        ) -> AsyncGenerator[TextChunk, None]:
            yield TextChunk(text="x", num_tokens=1, finish_reason=reason)

    reply = client_of(Ended()).post("/v1/completions", json={"prompt": "a"}).json()
    (choice,) = reply["choices"]
    assert (choice["finish_reason"], choice["stop_reason"]) == ("length", reason)


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
        ("n", 0), ("n", 9), ("best_of", 0), ("best_of", 9), ("echo", "x"), ("logprobs", 6), ("logprobs", -1),
        ("logit_bias", {"5": 1}), ("presence_penalty", 0.5), ("frequency_penalty", -1),
        ("top_p", 0), ("top_p", 1.1), ("top_k", -2), ("top_k", 2**31), ("min_p", 1.1), ("min_p", -1),
        ("ignore_eos", "x"), ("lane", "slow"), ("user", 5), ("user", "u" * 257), ("session_id", []),
        ("document_id", "d"), ("prompt", [-1]), ("prompt", [True]), ("prompt", [[]]),
        ("prompt", ["a"] * 17), ("prompt", [1, "a"]), ("prompt", [1.5]), ("prompt", None),
        ("max_tokens", 0), ("max_tokens", "many"), ("temperature", 3), ("temperature", -0.1),
        ("prompt", 5), ("prompt", ["a", 5]), ("prompt", []), ("suffix", 1),
        ("stop", ["a"] * 33), ("stop", 1), ("stop", "x" * 257), ("stop", ["a", "x" * 257]),
        ("prompt", [1] * 300 + [1.5]), ("prompt", [1] * 300 + [-1]), ("stream", "perhaps"),
        ("seed", 2**64),
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


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [([], "list is empty"), ([[]], "ids is empty"), (["a"] * 17, "at most 16")],
)
def test_what_is_wrong_with_a_list_is_said(prompt: list[Any], reason: str) -> None:
    response = client_of(FakeGenerator()).post("/v1/completions", json={"prompt": prompt})
    assert reason in error_of(response)["message"]


def test_more_ids_than_fit_are_refused_without_looking_at_them() -> None:
    body = {"prompt": [1] * 1024 + ["not an id"]}
    response = client_of(FakeGenerator()).post("/v1/completions", json=body)
    assert error_of(response)["code"] == "context_length_exceeded"


def test_a_hopeless_prompt_is_refused_before_any_work() -> None:
    generator = FakeGenerator()
    body = {"prompt": "x" * 400_000, "suffix": "y" * 15_000_000}
    response = client_of(generator).post("/v1/completions", json=body)
    assert response.status_code == 400
    assert error_of(response)["code"] == "context_length_exceeded"
    assert "1024 tokens" in error_of(response)["message"]
    assert generator.calls == []
