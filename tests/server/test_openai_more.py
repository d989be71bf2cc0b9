"""OpenAI's dialect: several prompts, echo, best_of, embeddings, rendered prompts, users."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.core.types import Snippet
from paceline.generate.types import GenerateParams, PromptParts, TextChunk
from paceline.server.caller import Caller
from paceline.server.dialects.openai_plan import to_plan
from paceline.server.dialects.openai_sentinels import Middle, read_middle
from paceline.server.dialects.openai_types import CompletionRequest
from tests.fakes import Call, FakeGenerator
from tests.server.http import client_of, error_of, events_of

PATH = "/v1/completions"


class Telling(FakeGenerator):
    """Says its prompt and the number of the call; each answer is more probable than the one before."""

    async def stream(
        self, parts: PromptParts, params: GenerateParams, *, model_id: str | None = None
    ) -> AsyncGenerator[TextChunk, None]:
        number = len(self.calls)
        self.calls.append(Call(parts=parts, params=params, model_id="fake"))
        text = f"{parts.prefix}{number}"
        yield TextChunk(text=text, num_tokens=2, logprob=number - 20.0, prompt_tokens=3)
        yield TextChunk(text="", prompt_tokens=3, cached_tokens=1, finish_reason="stop")


def complete(body: dict[str, Any]) -> dict[str, Any]:
    return client_of(Telling()).post(PATH, json=body).json()


def test_choices_of_several_prompts_come_prompt_by_prompt() -> None:
    reply = complete({"prompt": ["a", "b"], "n": 2})
    assert [(choice["index"], choice["text"]) for choice in reply["choices"]] == [
        (0, "a0"), (1, "a1"), (2, "b2"), (3, "b3"),
    ]  # fmt: skip
    assert reply["usage"] == {"prompt_tokens": 6, "completion_tokens": 8, "total_tokens": 14}


def test_prompts_may_be_lists_of_ids() -> None:
    generator = FakeGenerator()
    client_of(generator).post(PATH, json={"prompt": [[1, 2], [3]]})
    assert [call.parts.prompt_ids for call in generator.calls] == [(1, 2), (3,)]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"prompt": ["a"] * 16, "n": 3}, "n"),
        ({"prompt": ["a"] * 16, "best_of": 3}, "best_of"),
        ({"prompt": "a", "n": 2, "best_of": 1}, "best_of"),
        ({"prompt": "a", "best_of": 2, "stream": True}, "best_of"),
        ({"prompt": [1, 2], "echo": True}, "echo"),
        ({"prompt": "a", "echo": True, "logprobs": 0}, "echo"),
    ],
)
def test_what_cannot_be_combined_is_refused_by_name(body: dict[str, Any], field: str) -> None:
    response = client_of(FakeGenerator()).post(PATH, json=body)
    assert (response.status_code, error_of(response)["param"]) == (400, field)


@pytest.mark.parametrize("is_streamed", [True, False])
def test_echo_begins_with_the_prompt(is_streamed: bool) -> None:
    body = {"prompt": ["a", "b"], "suffix": "z", "echo": True, "stream": is_streamed}
    response = client_of(Telling()).post(PATH, json=body)
    replies = events_of(response)[:-1] if is_streamed else [response.json()]
    texts = ["", ""]
    for choice in (choice for reply in replies for choice in reply["choices"]):
        texts[choice["index"]] += choice["text"]
    assert texts == ["aa0", "bb1"]


def test_the_best_of_many_are_returned_and_all_are_counted() -> None:
    reply = complete({"prompt": ["a", "b"], "best_of": 3, "n": 2, "seed": 5})
    assert [(choice["index"], choice["text"]) for choice in reply["choices"]] == [
        (0, "a2"), (1, "a1"), (2, "b5"), (3, "b4"),
    ]  # fmt: skip
    assert reply["usage"]["completion_tokens"] == 12


def test_an_answer_without_a_token_is_never_the_best() -> None:
    class Silent(FakeGenerator):
        async def stream(
            self, parts: PromptParts, params: GenerateParams, *, model_id: str | None = None
        ) -> AsyncGenerator[TextChunk, None]:
            self.calls.append(Call(parts=parts, params=params, model_id="fake"))
            if len(self.calls) == 2:
                yield TextChunk(text="x", num_tokens=1, logprob=-50.0)
            yield TextChunk(text="", finish_reason="stop")

    reply = client_of(Silent()).post(PATH, json={"prompt": "a", "best_of": 3}).json()
    assert [choice["text"] for choice in reply["choices"]] == ["x"]


def test_two_users_share_no_session_and_choices_do_not_supersede_each_other() -> None:
    fields = {"prompt": ["a", "b"], "n": 2, "session_id": "s", "document_id": "d", "user": "u"}
    body = CompletionRequest.model_validate(fields | {"seed": 7})
    plans = [to_plan(body, Caller(user_id=name)) for name in ("ann", "bob")]
    sessions = [params.session for plan in plans for params in plan.params]
    assert len(set(sessions)) == 8
    assert [params.user_id for params in plans[0].params] == ["ann\0u"] * 4
    assert [params.seed for params in plans[0].params] == [7, 8, 7, 8]


@pytest.mark.parametrize("given_input", ["a", ["a", "b"], [1, 2], [[1], [2]]])
def test_embeddings_are_not_there_yet(given_input: object) -> None:
    body = {"input": given_input, "model": "text-embedding-3-small", "encoding_format": "float"}
    response = client_of(FakeGenerator()).post("/v1/embeddings", json=body)
    assert (response.status_code, error_of(response)["code"]) == (501, "no_encoder")


@pytest.mark.parametrize(
    ("field", "value"),
    [("input", None), ("input", []), ("input", ["a"] * 2049), ("dimensions", 0), ("user", 5),
     ("encoding_format", "xml")],
)  # fmt: skip
def test_wrong_embeddings_are_refused_as_such(field: str, value: object) -> None:
    response = client_of(FakeGenerator()).post("/v1/embeddings", json={"input": "a", field: value})
    assert (response.status_code, error_of(response)["param"]) == (400, field)


QWEN = "<|fim_prefix|>{p}<|fim_suffix|>{s}<|fim_middle|>"


@pytest.mark.parametrize(
    ("prompt", "middle"),
    [
        (QWEN.format(p="a", s="b"), Middle("a", "b")),
        (QWEN.format(p="", s=""), Middle("", "")),
        ("<fim_prefix>a<fim_suffix>b<fim_middle>", Middle("a", "b")),
        ("<fim_suffix>b<fim_prefix>a<fim_middle>\n", Middle("a", "b")),
        ("<｜begin▁of▁sentence｜><｜fim▁begin｜>a<｜fim▁hole｜>b<｜fim▁end｜>", Middle("a", "b")),
        ("<PRE> a <SUF>b <MID>", Middle("a", "b")),
        ("[SUFFIX]b[PREFIX]a", Middle("a", "b")),
        ("Context:\n\nx = 1\n" + QWEN.format(p="a", s="b"),
         Middle("a", "b", (Snippet(path="", text="Context:\n\nx = 1\n"),))),
        ("<|repo_name|>shop\n<|file_sep|>c.py\nx = 1\n<|file_sep|>a.py\n" + QWEN.format(p="a", s="b"),
         Middle("a", "b", (Snippet(path="c.py", text="x = 1\n"),), "a.py", "shop")),
        ("a", None), (QWEN, Middle("{p}", "{s}")), ("[SUFFIX]b", None), ("<fim_prefix>a<fim_middle>", None),
        (QWEN.format(p="a<|fim_suffix|>", s="b"), None), (QWEN.format(p="a", s="b") + "x", None),
        ("<|fim_prefix|>a<|fim_suffix|>b<fim_middle>", None),
        (QWEN.format(p='P = "<|fim_prefix|>"; M = "<|fim_middle|>"', s="b"),
         Middle('P = "<|fim_prefix|>"; M = "<|fim_middle|>"', "b")),
        ('P = "<|fim_prefix|>"\nS = "<|fim_suffix|>"\nM = "<|fim_middle|>', None),
        ("x = 1\n" + QWEN.format(p="a", s="b"), None), ("a<fim_middle>", None),
    ],
)  # fmt: skip
def test_a_rendered_prompt_is_taken_apart(prompt: str, middle: Middle | None) -> None:
    assert read_middle(prompt) == middle


@given(st.text("ab\n<|", max_size=9), st.text("ab\n<|", max_size=9))
@settings(max_examples=50)
def test_taking_apart_undoes_rendering(prefix: str, suffix: str) -> None:
    assert read_middle(QWEN.format(p=prefix, s=suffix)) == Middle(prefix, suffix)


def test_a_rendered_prompt_fills_the_middle() -> None:
    generator = FakeGenerator()
    prompt = QWEN.format(p="x = ", s="\n")
    client = client_of(generator)
    echoed = client.post(PATH, json={"prompt": prompt, "echo": True}).json()
    assert echoed["choices"][0]["text"] == f"{prompt}return 1\n"
    client.post(PATH, json={"prompt": prompt, "suffix": ""})
    client.post(PATH, json={"prompt": prompt, "max_tokens": 4096, "stop": ["<|endoftext|>"] * 12})
    assert generator.calls.pop().params.max_tokens == 512
    rendered, plain = (call.parts for call in generator.calls)
    assert rendered == PromptParts(prefix="x = ", suffix="\n")
    assert (plain.prefix, plain.suffix) == (prompt, "")
