"""The unmodified `openai` package against the real server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.e2e.conftest import TINY_CONTEXT_TOKENS, TINY_MODEL_ID
from tests.e2e.server_process import running_server

pytestmark = pytest.mark.e2e

PROMPT = "def area(width, height):\n    return "
ASK: dict[str, Any] = {"model": TINY_MODEL_ID, "prompt": PROMPT, "max_tokens": 24, "seed": 1}


@pytest.fixture(scope="module")
def url(tiny_model: Path) -> Iterator[str]:
    """The address of a server of the tiny model."""
    with running_server("--model", str(tiny_model)) as address:
        yield f"{address}/v1"


@pytest.fixture
def client(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[openai.OpenAI]:
    """A client as its documentation says, without retries so that each test is one request."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client:
        yield client


@pytest.mark.parametrize("suffix", [None, "\n\nprint(area(2, 3))\n"])
def test_streaming_and_not_are_the_same_text(client: openai.OpenAI, suffix: str | None) -> None:
    whole = client.completions.create(**ASK, suffix=suffix)
    assert whole.object == "text_completion"
    assert whole.model == TINY_MODEL_ID
    assert whole.choices[0].text
    assert whole.choices[0].finish_reason in ("stop", "length")
    assert whole.usage is not None
    assert whole.usage.prompt_tokens > 0
    assert whole.usage.completion_tokens <= 24
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    chunks = list(
        client.completions.create(
            **ASK, suffix=suffix, stream=True, stream_options={"include_usage": True}
        )
    )
    assert "".join(chunk.choices[0].text for chunk in chunks[:-1]) == whole.choices[0].text
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage


def test_a_suffix_changes_the_prompt(client: openai.OpenAI) -> None:
    plain, infill = (client.completions.create(**ASK, suffix=suffix) for suffix in (None, "\n"))
    assert plain.usage is not None
    assert infill.usage is not None
    assert infill.usage.prompt_tokens > plain.usage.prompt_tokens


def test_stop_ends_the_text_before_it(client: openai.OpenAI) -> None:
    text = client.completions.create(**ASK).choices[0].text
    stop = text[len(text) // 2]
    cut = client.completions.create(**ASK, stop=[stop]).choices[0]
    assert cut.text == text[: text.index(stop)]
    assert cut.finish_reason == "stop"


def test_echo_begins_each_choice_with_the_prompt(client: openai.OpenAI) -> None:
    plain = client.completions.create(**ASK).choices[0]
    echoed = client.completions.create(**ASK, echo=True).choices[0]
    assert echoed.text == PROMPT + plain.text


def test_several_choices_are_drawn_with_seeds_of_their_own(client: openai.OpenAI) -> None:
    choices = client.completions.create(**ASK, n=3).choices
    assert [choice.index for choice in choices] == [0, 1, 2]
    assert len({choice.text for choice in choices}) == 3
    alone = client.completions.create(**{**ASK, "seed": ASK["seed"] + 1}).choices[0]
    assert choices[1].text == alone.text


def test_logprobs_of_every_token(client: openai.OpenAI) -> None:
    reply = client.completions.create(**ASK, logprobs=2)
    found = reply.choices[0].logprobs
    assert found is not None
    assert reply.usage is not None
    tokens, logprobs, tops = (
        found.tokens or [],
        found.token_logprobs or [],
        found.top_logprobs or [],
    )
    assert len(tokens) == len(logprobs) == len(tops) == reply.usage.completion_tokens > 0
    for token, logprob, top in zip(tokens, logprobs, tops, strict=True):
        assert logprob <= 0
        assert token in top
    offsets = found.text_offset or []
    assert offsets[0] == 0
    assert offsets == sorted(offsets)


def test_a_stream_that_is_closed_leaves_the_server_to_others(client: openai.OpenAI) -> None:
    """Four times as many as the engine has slots: were one kept, the last request would wait long."""
    for _ in range(32):
        endless = {**ASK, "max_tokens": 200, "extra_body": {"ignore_eos": True}}
        with client.completions.create(**endless, stream=True) as stream:
            assert next(iter(stream)).object == "text_completion"
    assert client.completions.create(**ASK).choices[0].text


def test_embeddings_say_that_there_is_no_encoder(client: openai.OpenAI) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        client.embeddings.create(model=TINY_MODEL_ID, input="def area(")
    assert caught.value.status_code == 501


def test_models(client: openai.OpenAI) -> None:
    (model,) = client.models.list().data
    assert model.id == TINY_MODEL_ID
    assert client.models.retrieve(TINY_MODEL_ID).id == TINY_MODEL_ID


def test_what_cannot_be_answered(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="Unknown model 'nope'"):
        client.completions.create(model="nope", prompt="x")
    with pytest.raises(openai.BadRequestError, match="prompt is empty"):
        client.completions.create(model=TINY_MODEL_ID, prompt="")
    for suffix in (None, "y"):
        with pytest.raises(openai.BadRequestError, match=str(TINY_CONTEXT_TOKENS)) as caught:
            client.completions.create(model=TINY_MODEL_ID, prompt="x = 1\n" * 500, suffix=suffix)
        assert caught.value.code == "context_length_exceeded"


def test_many_at_once(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    async def ask_all() -> list[str]:
        async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
            asks = (client.completions.create(**{**ASK, "seed": seed}) for seed in range(24))
            return [reply.choices[0].text for reply in await asyncio.gather(*asks)]

    texts = asyncio.run(ask_all())
    assert len(set(texts)) > 12
