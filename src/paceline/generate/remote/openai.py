"""OpenAI's `/v1/completions`, as vLLM, SGLang, LM Studio, llama.cpp, Mistral and others have it.

The prompt holds the model's own sentinels, or, where the server fills in the middle itself, comes with a
`suffix`. What only some servers know is asked for first and left out once the server refuses it.

Sources: OpenAI's API reference (legacy completions); vLLM's and SGLang's OpenAI-compatible server docs
(extra parameters); Mistral's API reference, FIM completion; DeepSeek's, FIM completion (beta).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from paceline.generate.remote.decoding import (
    NOTHING,
    TokenEntry,
    decode_event,
    details_of,
    logprob_of,
    read_or_none,
)
from paceline.generate.remote.types import Ask, Call, Framing, Piece
from paceline.generate.types import TokenDetail

Flavour = Literal["openai", "vllm", "sglang"]

MAX_STOPS = 4
"""OpenAI and vLLM (0.32) take no more; the rest is looked for here."""

_ALL, _NO_LOGPROBS, _BARE = 0, 1, 2


class _Delta(msgspec.Struct):
    content: str | None = None


class _Logprobs(msgspec.Struct):
    tokens: list[str] | None = None
    token_logprobs: list[float | None] | None = None
    top_logprobs: list[dict[str, float | None] | None] | None = None
    content: list[TokenEntry] | None = None
    """llama.cpp's form, which is that of chat completions."""


class _Choice(msgspec.Struct):
    text: str | None = None
    delta: _Delta | None = None
    """Mistral's place for the text."""
    logprobs: msgspec.Raw = NOTHING
    finish_reason: str | None = None


class _PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None


class _Event(msgspec.Struct):
    choices: list[_Choice]
    usage: _Usage | None = None


_EVENT = msgspec.json.Decoder(_Event)
_LOGPROBS: msgspec.json.Decoder[_Logprobs | None] = msgspec.json.Decoder(_Logprobs | None)


class OpenAiDialect:
    """One server of this kind."""

    framing: Framing = "sse"

    def __init__(self, path: str = "/v1/completions", *, flavour: Flavour = "openai") -> None:
        self._path, self._flavour = path, flavour
        self._level = _ALL

    def calls(self, ask: Ask) -> Iterator[Call]:
        """See Dialect. First without log-probabilities, then with nothing that is not OpenAI's, Mistral's and
        DeepSeek's."""
        for level in range(self._level, _BARE + 1):
            yield self._call(ask, level)

    def settle(self, call: Call) -> None:
        """See Dialect. Requests that were under way together teach the same."""
        self._level = max(self._level, call.num_left_out)

    def _call(self, ask: Ask, level: int) -> Call:
        """Greedy requests carry no settings of sampling."""
        params, rendered = ask.params, ask.rendered
        body: dict[str, Any] = {
            "model": ask.model,
            "prompt": rendered.prompt if ask.prompt_ids is None else list(ask.prompt_ids),
            "max_tokens": params.max_tokens,
            "temperature": params.temperature,
            "stream": True,
        }
        if rendered.suffix is not None and ask.prompt_ids is None:
            body["suffix"] = rendered.suffix
        if params.stop:
            body["stop"] = list(params.stop[:MAX_STOPS])
        if params.temperature > 0 and params.top_p < 1:
            body["top_p"] = params.top_p
        if level < _BARE:
            body |= self._extras(ask)
        if level < _NO_LOGPROBS:
            body["logprobs"] = max(params.num_top_logprobs or 0, 1)
        return Call(path=self._path, body=body, num_left_out=level)

    def _extras(self, ask: Ask) -> dict[str, Any]:
        """What OpenAI itself does not know, or few of those who claim to be like it."""
        params = ask.params
        extras: dict[str, Any] = {"stream_options": {"include_usage": True}}
        if params.seed is not None:
            extras["seed"] = params.seed
        if params.temperature > 0 and params.top_k is not None:
            extras["top_k"] = params.top_k
        if params.temperature > 0 and params.min_p > 0:
            extras["min_p"] = params.min_p
        if params.is_end_ignored:
            extras["ignore_eos"] = True
        if self._flavour == "openai":
            return extras
        extras["skip_special_tokens"] = False  # so that stop strings meet the names of sentinels
        if self._flavour == "vllm":
            extras["stream_options"] = {"include_usage": True, "continuous_usage_stats": True}
            extras["add_special_tokens"] = False  # the text has them where they belong
        return extras

    def read(self, data: bytes) -> Piece:
        """See Dialect."""
        if data.strip() == b"[DONE]":
            return Piece(is_last=True)
        event = decode_event(_EVENT, data)
        usage, choice = event.usage, event.choices[0] if event.choices else _Choice()
        details = usage.prompt_tokens_details if usage else None
        delta = choice.delta.content if choice.delta else None
        return Piece(
            text=choice.text or delta or "",
            tokens=_tokens(choice.logprobs),
            completion_tokens=usage.completion_tokens if usage else None,
            prompt_tokens=(usage.prompt_tokens or 0) if usage else 0,
            cached_tokens=(details.cached_tokens or 0) if details else 0,
            end=_end(choice.finish_reason),
        )


def _end(reason: str | None) -> Literal["stop", "length"] | None:
    """Servers have more words (`model_length`, `eos`, `eos_token`), but they mean one of these."""
    if reason is None or reason == "":
        return None
    return "length" if "length" in reason else "stop"


def _tokens(raw: msgspec.Raw) -> tuple[TokenDetail, ...]:
    logprobs = read_or_none(_LOGPROBS, raw)
    if logprobs is None:
        return ()
    if logprobs.content is not None:
        return details_of(logprobs.content)
    texts, values = logprobs.tokens or [], logprobs.token_logprobs or []
    if not texts or len(texts) != len(values):
        return ()
    tops = logprobs.top_logprobs or []
    tops = tops if len(tops) == len(texts) else [None] * len(texts)
    return tuple(
        TokenDetail(text, logprob_of(value), _alternatives(top, text))
        for text, value, top in zip(texts, values, tops, strict=True)
    )


def _alternatives(top: dict[str, float | None] | None, text: str) -> tuple[tuple[str, float], ...]:
    ranked = [(token, logprob_of(value)) for token, value in (top or {}).items()]
    return tuple(sorted(ranked, key=lambda item: (-item[1], item[0] != text)))
