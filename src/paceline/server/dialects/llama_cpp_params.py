"""From llama.cpp's requests to what is asked of the brain or the generator."""

from __future__ import annotations

from paceline.complete.request import CompleteRequest
from paceline.core.types import Cursor, Document, Snippet
from paceline.generate.types import GenerateParams, ModelInfo
from paceline.server.caller import Caller
from paceline.server.dialects.engines_endings import ending_by_indent
from paceline.server.dialects.llama_cpp_types import (
    ExtraText,
    InfillRequest,
    LoraScale,
    RawRequest,
    Sampled,
)
from paceline.server.fields import to_session, to_top_k

WARM_LATENCY_MS = 10_000.0
"""A prompt of the longest window is computed within that on two slow cores; nobody waits for it."""
MAX_LATENCY_MS = 600_000.0
"""No editor waits longer; it also keeps the sum of two limits finite."""
RAW_MAX_TOKENS = 128
"""Where a raw request names no limit: llama.cpp would write until the model ends, or for ever."""
SAMPLERS = ("top_k", "top_p", "min_p")


def to_request(
    body: InfillRequest, caller: Caller, models: tuple[ModelInfo, ...]
) -> CompleteRequest:
    """Translate `/infill`; the document is what the client sent around its cursor."""
    prefix = body.input_prefix + body.prompt
    document = Document(
        path=body.filename or "", text=prefix + body.input_suffix, language=body.language or ""
    )
    is_limited = body.n_predict is not None and body.n_predict > 0
    top_k, top_p, min_p = _sampling(body)
    return CompleteRequest(
        cursor=Cursor(document=document, offset=len(prefix)),
        trigger=body.trigger or "automatic",
        may_be_ahead=body.trigger != "invoked" and body.session_id is None,
        mode=body.mode,
        multi_line_threshold=body.multi_line_threshold,
        show_threshold=body.show_threshold,
        snippets=_snippets(body.input_extra),
        model_id=to_model(body, models),
        max_tokens=body.n_predict if is_limited else None,
        max_latency_ms=_limit_ms(body),
        temperature=body.temperature or 0.0,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        stop=_stop(body),
        seed=_seed(body),
        num_alternatives=body.n_cmpl or 1,
        session=caller.session(to_session(body.session_id, body.document_id)),
        user_id=caller.tenant(body.session_id or ""),
    )


def to_params(body: RawRequest, caller: Caller, context_tokens: int) -> GenerateParams:
    """Translate `/completion`. Warming runs where nothing else waits, and supersedes nothing."""
    is_warming = body.n_predict == 0
    top_k, top_p, min_p = _sampling(body)
    n_predict = body.n_predict if body.n_predict and body.n_predict > 0 else RAW_MAX_TOKENS
    is_indented = body.n_indent is not None and body.n_indent > 0
    is_timed = body.t_max_predict_ms is not None and body.t_max_predict_ms > 0
    limit_ms = min(body.t_max_predict_ms or 0.0, MAX_LATENCY_MS) if is_timed else None
    session = caller.session(to_session(body.session_id, body.document_id))
    return GenerateParams(
        max_tokens=1 if is_warming else min(n_predict, context_tokens // 2),
        temperature=body.temperature or 0.0,
        stop=_stop(body),
        seed=_seed(body),
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        is_end_ignored=bool(body.ignore_eos),
        max_latency_ms=WARM_LATENCY_MS if is_warming else limit_ms,
        stop_when=ending_by_indent(body.n_indent or 0).is_over if is_indented else None,
        stop_kind=f"n_indent {body.n_indent}" if is_indented else "",
        session=None if is_warming else session,
        lane="batch" if is_warming else "interactive",
        user_id=caller.tenant(body.session_id or ""),
    )


def to_model(body: Sampled, models: tuple[ModelInfo, ...]) -> str | None:
    """The model that a request names, itself or by the number of an adapter of the default one."""
    if body.model or not body.lora:
        return body.model or None
    base = models[0].model_id
    adapters = [each.model_id for each in models if each.model_id.startswith(f"{base}:")]
    chosen: LoraScale = max(body.lora, key=lambda lora: lora.scale)
    is_served = 0 <= chosen.id < len(adapters) and chosen.scale > 0
    return adapters[chosen.id] if is_served else None


def _sampling(body: InfillRequest | RawRequest) -> tuple[int | None, float, float]:
    """top_k, top_p and min_p, as far as they are to be read."""
    if not body.temperature:
        return None, 1.0, 0.0
    names = body.samplers if isinstance(body.samplers, list) else SAMPLERS
    return (
        to_top_k(body.top_k) if "top_k" in names else None,
        body.top_p if body.top_p is not None and "top_p" in names else 1.0,
        body.min_p if body.min_p is not None and "min_p" in names else 0.0,
    )


def _stop(body: Sampled) -> tuple[str, ...]:
    return tuple(text for text in body.stop or () if text)


def _seed(body: Sampled) -> int | None:
    return None if body.seed is None or body.seed < 0 else body.seed


def _snippets(extras: list[ExtraText]) -> tuple[Snippet, ...]:
    """Best first: the newest, if every piece says when it was picked; else in the client's order."""
    given = [extra for extra in extras if extra.text]
    if all(extra.time is not None for extra in given):
        given.sort(key=lambda extra: extra.time, reverse=True)
    return tuple(Snippet(path=extra.filename, text=extra.text) for extra in given)


def _limit_ms(body: InfillRequest) -> float | None:
    """How long the whole request may take; None leaves it to the server."""
    if body.n_predict == 0:
        return WARM_LATENCY_MS
    if not body.t_max_predict_ms or body.t_max_predict_ms < 0:
        return None
    return min(body.t_max_predict_ms + max(body.t_max_prompt_ms or 0.0, 0.0), MAX_LATENCY_MS)
