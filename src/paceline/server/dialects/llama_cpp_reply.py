"""What is made of a completion for llama.cpp's clients: its reply, the end by indentation, the fields asked for."""

from __future__ import annotations

import json
from typing import Any

from msgspec.structs import replace

from paceline.complete.request import Completion, as_insertion
from paceline.generate.types import FinishReason
from paceline.server.dialects.engines_endings import ending_by_indent
from paceline.server.dialects.llama_cpp_types import (
    GenerationSettings,
    InfillReply,
    InfillRequest,
    PacelineNote,
    Timings,
)

STOP_TYPES: dict[FinishReason, str] = {
    "stop": "eos",
    "length": "limit",
    "deadline": "limit",
    "cancelled": "none",
    "superseded": "none",
}
"""llama.cpp's words; `none` is its word for an answer that did not come to an end."""


def to_replies(
    completion: Completion, body: InfillRequest, context_tokens: int
) -> list[InfillReply]:
    """The completion and its alternatives; those that come to the same are one. At least one."""
    choices = [
        replace(completion, text=each.text, num_replaced_chars=each.num_replaced_chars)
        for each in completion.alternatives
    ] or [completion]
    found: list[InfillReply] = []
    for choice in choices:
        reply = _to_reply(choice, body, context_tokens)
        if not found or (reply.content and all(reply.content != one.content for one in found)):
            found.append(reply.model_copy(update={"index": len(found)}))
    return found


def _to_reply(completion: Completion, body: InfillRequest, context_tokens: int) -> InfillReply:
    """One completion, cut to what can be inserted before the text after the cursor."""
    whole = as_insertion(completion, body.input_suffix)
    text = whole
    if body.n_indent is not None and body.n_indent > 0:
        text = whole[: ending_by_indent(body.n_indent).find(whole, is_final=True).num_chars]
    reason = completion.drop.reason if completion.drop else None
    if completion.text and not text:
        reason = "indent" if whole else "replaces"
    probability, mean_logprob = completion.probability, completion.mean_logprob
    return InfillReply(
        content=text,
        id_slot=to_slot(body.id_slot),
        model=completion.model_id,
        tokens_predicted=completion.num_tokens,
        tokens_evaluated=completion.prompt_tokens,
        tokens_cached=completion.cached_tokens,
        generation_settings=GenerationSettings(n_ctx=context_tokens),
        stop_type=STOP_TYPES[completion.finish_reason] if text == whole else "limit",
        timings=to_timings(
            prompt_tokens=completion.prompt_tokens,
            cached_tokens=completion.cached_tokens,
            num_tokens=completion.num_tokens,
            ttft_ms=completion.ttft_ms,
            latency_ms=completion.latency_ms,
        ),
        paceline=PacelineNote(
            request_id=completion.request_id,
            drop_reason=reason,
            mode=completion.mode,
            source=completion.source,
            probability=None if probability is None else round(probability, 4),
            latency_ms=round(completion.latency_ms, 3),
            finish_reason=completion.finish_reason,
            mean_logprob=None if mean_logprob is None else round(mean_logprob, 4),
        ),
    )


def to_timings(
    *, prompt_tokens: int, cached_tokens: int, num_tokens: int, ttft_ms: float, latency_ms: float
) -> Timings:
    """llama.cpp's figures; the prompt is over when the first text comes."""
    predicted_ms = max(latency_ms - ttft_ms, 0.0)
    num_computed = prompt_tokens - cached_tokens
    return Timings(
        cache_n=cached_tokens,
        prompt_n=num_computed,
        prompt_ms=round(ttft_ms, 3),
        prompt_per_token_ms=_share(ttft_ms, num_computed),
        prompt_per_second=_share(num_computed * 1000, ttft_ms),
        predicted_n=num_tokens,
        predicted_ms=round(predicted_ms, 3),
        predicted_per_token_ms=_share(predicted_ms, num_tokens),
        predicted_per_second=_share(num_tokens * 1000, predicted_ms),
    )


def _share(amount: float, of: float) -> float:
    return round(amount / of, 3) if of > 0 else 0.0


def to_slot(id_slot: int | None) -> int:
    """The slot that the client chose; -1 and less leave it to the server."""
    return id_slot if id_slot is not None and id_slot > 0 else 0


def select_fields(reply: dict[str, Any], paths: list[str] | None) -> dict[str, Any]:
    """Keep the named fields; `a/b` becomes a field of that very name. None, or none, keeps everything."""
    if not paths:
        return reply
    found = ((path, _find(reply, path.split("/"))) for path in paths)
    return {path: values[0] for path, values in found if values}


def _find(value: Any, keys: list[str]) -> list[Any]:
    """The value at the end of `keys` in a list, or an empty list if there is none."""
    if not keys:
        return [value]
    is_there = isinstance(value, dict) and keys[0] in value
    return _find(value[keys[0]], keys[1:]) if is_there else []


def compact(reply: dict[str, Any], fields: list[str] | None) -> str:
    """As JSON in one line, without a space after colons, which llama.vim's pattern does not expect."""
    return json.dumps(select_fields(reply, fields), ensure_ascii=False, separators=(",", ":"))
