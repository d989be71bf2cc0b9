"""One kind of server after the other: what it is asked, and what is read of its own bytes."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.core.errors import InputError
from paceline.core.types import Snippet
from paceline.generate.remote.framing import Framer
from paceline.generate.remote.llama_cpp import SlotTable
from paceline.generate.remote.types import Ask, Rendered
from paceline.generate.types import GenerateParams, PromptParts, Session
from tests.generate.remote import DIALECTS, PARTS, TwoTexts, dialect_of, generator_of, read, text_of
from tests.generate.upstreams import (
    PIECES,
    Reply,
    Upstream,
    json_reply,
    llama_cpp_stream,
    mistral_stream,
    ollama_stream,
    openai_chunk,
    plain_stream,
    sse,
    vllm_stream,
)

STREAMS = {
    "openai": plain_stream,
    "vllm": vllm_stream,
    "sglang": vllm_stream,
    "llama.cpp": llama_cpp_stream,
    "ollama": ollama_stream,
}
TEXT = "".join(PIECES)


@pytest.mark.parametrize("kind", DIALECTS)
def test_text_counts_and_logprobs(kind: str) -> None:
    async def main() -> None:
        upstream = Upstream({DIALECTS[kind]: Reply(STREAMS[kind]())})
        async with upstream.running() as url:
            renderer = TwoTexts()
            generator = generator_of(url, kind, renderer=renderer)
            chunks = await read(generator, GenerateParams(max_tokens=64, num_top_logprobs=1))
            await generator.aclose()
        assert text_of(chunks) == TEXT
        assert sum(chunk.num_tokens for chunk in chunks) == len(PIECES)
        assert chunks[-1].finish_reason == ("length" if kind in ("vllm", "sglang") else "stop")
        if kind == "openai":  # this one tells neither
            assert [chunk.marks for chunk in chunks] == [()] * len(chunks)
            assert max(chunk.prompt_tokens for chunk in chunks) == len(PARTS.prefix), "estimated"
            assert renderer.learned == []
            return
        assert [chunk.marks for chunk in chunks[:-1]] == [((0, -0.5),)] * len(PIECES)
        assert math.isclose(sum(chunk.logprob for chunk in chunks), -0.5 * len(PIECES))
        assert [t.text for chunk in chunks for t in chunk.tokens] == list(PIECES)
        assert max(chunk.prompt_tokens for chunk in chunks) == 77
        assert renderer.learned == [77]
        assert chunks[-1].cached_tokens == (0 if kind == "ollama" else 64)

    asyncio.run(main())


@pytest.mark.parametrize("kind", DIALECTS)
@given(cuts=st.lists(st.integers(1, 4000), max_size=12))
@settings(max_examples=20, deadline=None)
def test_any_cut_of_the_bytes_gives_the_same_events(kind: str, cuts: list[int]) -> None:
    """Also inside UTF-8 characters, line ends and JSON."""
    stream = b"".join(STREAMS[kind]())
    dialect = dialect_of(kind)
    whole = _pieces(kind, [stream])
    bounds = sorted({0, len(stream), *(cut % len(stream) for cut in cuts)})
    parts = [stream[a:b] for a, b in pairwise(bounds)]
    assert _pieces(kind, parts) == whole
    assert "".join(piece.text for piece in whole) == TEXT
    if dialect.framing == "sse":
        assert _pieces(kind, [stream.replace(b"\n", b"\r\n")]) == whole


def test_every_single_cut_of_a_stream() -> None:
    kind = "vllm"
    stream = b": hello\nevent: x\n" + b"".join(vllm_stream(("é", "🙂")))
    whole = _pieces(kind, [stream])
    for at in range(1, len(stream)):
        assert _pieces(kind, [stream[:at], stream[at:]]) == whole


def _pieces(kind: str, parts: Sequence[bytes]) -> list[Any]:
    dialect = dialect_of(kind)
    framer = Framer(dialect.framing)
    found = [dialect.read(data) for part in parts for data in framer.feed(part)]
    return found + [dialect.read(data) for data in framer.finish()]


def call(kind: str, params: GenerateParams, **more: Any) -> tuple[str, dict[str, Any]]:
    rendered = more.pop("rendered", Rendered(prompt="a", suffix="b"))
    made = next(dialect_of(kind).calls(Ask(model="m", rendered=rendered, params=params, **more)))
    return made.path, made.body


DRAWN = GenerateParams(
    max_tokens=9, temperature=0.5, top_k=7, top_p=0.9, min_p=0.1, seed=3, stop=("x",),
    is_end_ignored=True, num_top_logprobs=2,
)  # fmt: skip


def test_what_vllm_is_asked() -> None:
    path, body = call("vllm", DRAWN, rendered=Rendered(prompt="<PRE>a<MID>"))
    assert path == "/v1/completions"
    assert body == {
        "model": "m", "prompt": "<PRE>a<MID>", "max_tokens": 9, "temperature": 0.5, "stream": True,
        "stop": ["x"], "top_p": 0.9, "seed": 3, "top_k": 7, "min_p": 0.1, "ignore_eos": True, "logprobs": 2,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
        "skip_special_tokens": False, "add_special_tokens": False,
    }  # fmt: skip
    greedy = call("vllm", GenerateParams(max_tokens=9, top_k=7, top_p=0.9, min_p=0.1))[1]
    assert greedy.keys().isdisjoint({"top_k", "top_p", "min_p", "seed", "ignore_eos", "stop"})
    assert greedy["suffix"] == "b"


@pytest.mark.parametrize("kind", ["openai", "vllm", "sglang"])
def test_no_more_stop_strings_than_servers_take(kind: str) -> None:
    body = call(kind, GenerateParams(stop=("a", "b", "c", "d", "e")))[1]
    assert body["stop"] == ["a", "b", "c", "d"], (
        "OpenAI and vLLM take four; the rest is looked for here"
    )


def test_what_an_openai_style_server_is_asked() -> None:
    body = call("openai", GenerateParams())[1]
    assert body["suffix"] == "b"
    assert body.keys().isdisjoint({"skip_special_tokens", "add_special_tokens"})


def test_what_llama_cpp_is_asked() -> None:
    snippets = (Snippet(path="b.py", text="y = 1"),)
    rendered = Rendered(prompt="a", suffix="b", snippets=snippets)
    path, body = call("llama.cpp", DRAWN, rendered=rendered, left_ms=250.5, session_key="s")
    assert path == "/infill"
    assert body.pop("response_fields")
    assert body == {
        "model": "m", "input_prefix": "a", "input_suffix": "b", "prompt": "",
        "input_extra": [{"filename": "b.py", "text": "y = 1"}], "stream": True, "cache_prompt": True,
        "n_predict": 9, "temperature": 0.5, "top_k": 7, "top_p": 0.9, "min_p": 0.1, "seed": 3,
        "n_probs": 2, "stop": ["x"], "ignore_eos": True, "t_max_predict_ms": 250, "id_slot": 0,
    }  # fmt: skip
    path, body = call("llama.cpp", GenerateParams(), rendered=Rendered(prompt="<PRE>a<MID>"))
    assert (path, body["prompt"]) == ("/completion", "<PRE>a<MID>")
    assert body.keys().isdisjoint({"id_slot", "t_max_predict_ms", "top_k", "input_prefix"})


def test_what_ollama_is_asked() -> None:
    path, body = call("ollama", DRAWN)
    assert path == "/api/generate"
    assert (body["prompt"], body["suffix"], body["keep_alive"]) == ("a", "b", "30m")
    assert "raw" not in body
    assert body["options"] == {
        "num_predict": 9, "temperature": 0.5, "top_k": 7, "top_p": 0.9, "min_p": 0.1, "seed": 3,
        "stop": ["x"], "num_ctx": 1024,
    }  # fmt: skip
    raw = call("ollama", GenerateParams(), rendered=Rendered(prompt="<PRE>a<MID>"))[1]
    assert (raw["raw"], raw["prompt"]) == (True, "<PRE>a<MID>")
    assert "suffix" not in raw
    with pytest.raises(InputError, match="no prompts of ids"):
        call("ollama", GenerateParams(), prompt_ids=(1, 2))


@pytest.mark.parametrize("kind", ["openai", "vllm", "llama.cpp"])
def test_prompts_of_ids_are_passed_on(kind: str) -> None:
    body = call(kind, GenerateParams(), prompt_ids=(1, 2), rendered=Rendered(prompt=""))[1]
    assert body["prompt"] == [1, 2]


def test_a_document_keeps_its_slot() -> None:
    table = SlotTable(2)
    assert [table.slot_of(key) for key in ("a", "b", "a", "b")] == [0, 1, 0, 1]
    assert table.slot_of("c") == 0, "a's: it was used least recently"
    assert table.slot_of("b") == 1
    assert table.slot_of("") is None
    assert SlotTable(1).slot_of("a") is None, "with one slot there is nothing to choose"


def test_a_session_asks_for_its_slot() -> None:
    async def main() -> list[int]:
        upstream = Upstream({"/infill": Reply(llama_cpp_stream())})
        async with upstream.running() as url:
            generator = generator_of(url, "llama.cpp")
            for name in ("a", "b", "a"):
                await read(generator, GenerateParams(session=Session(name)))
            await generator.aclose()
        return [posted.body["id_slot"] for posted in upstream.posted]

    assert asyncio.run(main()) == [0, 1, 0]


def test_mistral_s_deltas_are_text() -> None:
    assert "".join(p.text for p in _pieces("openai", mistral_stream())) == TEXT
    usage = _pieces("openai", mistral_stream())[-2]
    assert (usage.completion_tokens, usage.prompt_tokens, usage.end) == (6, 77, "stop")


def test_llama_cpp_s_logprobs_under_openai_s_route() -> None:
    entry = {"id": 1, "token": "a", "bytes": [97], "logprob": -0.25, "top_logprobs": []}
    (piece,) = _pieces(
        "openai", [sse(openai_chunk({"text": "a", "logprobs": {"content": [entry]}}))]
    )
    assert [(t.text, t.logprob) for t in piece.tokens] == [("a", -0.25)]


def test_minus_infinity_is_a_number() -> None:
    """JSON has none; servers write null, or -9999."""
    logprobs = {"tokens": ["a"], "token_logprobs": [None], "top_logprobs": [{"a": None, "b": -1.0}]}
    (piece,) = _pieces("vllm", [sse(openai_chunk({"text": "a", "logprobs": logprobs}))])
    assert piece.tokens[0].logprob == -1e4
    assert [name for name, _ in piece.tokens[0].alternatives] == ["b", "a"]


@pytest.mark.parametrize("refused", [{"logprobs"}, {"logprobs", "stream_options", "seed"}])
def test_what_a_server_refuses_is_left_out_and_stays_out(refused: set[str]) -> None:
    def strict(posted: Any) -> Reply:
        unknown = refused & posted.body.keys()
        detail = [
            {"loc": ["body", name], "msg": "Extra inputs are not permitted"} for name in unknown
        ]
        return json_reply({"detail": detail}, 422) if unknown else Reply(plain_stream())

    async def main() -> list[set[str]]:
        upstream = Upstream({"/v1/completions": strict})
        async with upstream.running() as url:
            generator = generator_of(url, "openai")
            for _ in range(2):
                assert text_of(await read(generator, GenerateParams(seed=1))) == TEXT
            await generator.aclose()
        return [refused & posted.body.keys() for posted in upstream.posted]

    *tries, first, second = asyncio.run(main())
    assert first == second == set()
    assert len(tries) == (1 if refused == {"logprobs"} else 2)


def test_a_refusal_for_another_reason_costs_nothing_later() -> None:
    async def main() -> tuple[str, list[bool]]:
        upstream = Upstream({"/v1/completions": json_reply({"error": {"message": "no"}}, 400)})
        async with upstream.running() as url:
            generator = generator_of(url, "openai")
            with pytest.raises(Exception, match="status 400") as caught:
                await read(generator, GenerateParams())
            upstream.routes["/v1/completions"] = Reply(plain_stream())
            await read(generator, GenerateParams())
            await generator.aclose()
        return str(caught.value), ["logprobs" in posted.body for posted in upstream.posted]

    message, has_logprobs = asyncio.run(main())
    assert message == "The upstream server answered with status 400 (no)."
    assert has_logprobs == [True, False, False, True]


def test_a_prompt_that_is_too_long_is_cut_shorter_and_asked_again() -> None:
    def narrow(posted: Any) -> Reply:
        if len(posted.body["prompt"]) <= 500:
            return Reply(vllm_stream())
        message = (
            "This model's maximum context length is 512 tokens. However, you requested 1001 tokens."
        )
        return json_reply(
            {"error": {"message": message, "type": "BadRequestError", "code": 400}}, 400
        )

    async def main() -> tuple[list[int], str]:
        upstream = Upstream({"/v1/completions": narrow})
        long = PromptParts(prefix="x" * 2000, suffix="")
        async with upstream.running() as url:
            generator = generator_of(url)
            await read(generator, GenerateParams(), long)
            whole = PromptParts(prefix="x" * 2000, suffix="", is_truncatable=False)
            with pytest.raises(InputError, match="The prompt has 2000 tokens") as caught:
                await read(generator, GenerateParams(), whole)
            await generator.aclose()
        return [len(posted.body["prompt"]) for posted in upstream.posted], str(caught.value)

    sizes, _ = asyncio.run(main())
    assert sizes == [959, 671, 469, 2000]


def test_requests_that_are_refused_together_leave_out_no_more_than_one_alone() -> None:
    def strict(posted: Any) -> Reply:
        return json_reply({}, 422) if "logprobs" in posted.body else Reply(plain_stream())

    async def main() -> list[set[str]]:
        upstream = Upstream({"/v1/completions": strict})
        async with upstream.running() as url:
            generator = generator_of(url, "openai")
            answers = await asyncio.gather(*(read(generator, GenerateParams()) for _ in range(4)))
            assert [text_of(chunks) for chunks in answers] == [TEXT] * 4
            await read(generator, GenerateParams())
            await generator.aclose()
        return [{"logprobs", "stream_options"} & posted.body.keys() for posted in upstream.posted]

    asked = asyncio.run(main())
    assert asked[-1] == {"stream_options"}
    assert len(asked) == 9


SHAPES = (
    [],
    [[-0.1]],
    {"tokens": "a"},
    {"content": 3},
    {"tokens": [1], "token_logprobs": [0]},
    "x",
)


@pytest.mark.parametrize("shape", SHAPES)
def test_log_probabilities_of_another_shape_are_none(shape: object) -> None:
    own = {
        "openai": sse(openai_chunk({"text": "a", "logprobs": shape})),
        "llama.cpp": sse({"content": "a", "completion_probabilities": shape}),
        "ollama": sse({"response": "a", "done": False, "logprobs": shape})[6:],
    }
    for kind, event in own.items():
        (piece,) = _pieces(kind, [event])
        assert (piece.text, piece.tokens) == ("a", ())
