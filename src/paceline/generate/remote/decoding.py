"""JSON events to typed ones, and the forms of log-probabilities that several servers share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from paceline.generate.remote.errors import error_in_stream, malformed
from paceline.generate.types import TokenDetail

MIN_LOGPROB = -1e4
"""Stands for a probability of zero, which no JSON has a number for."""

NOTHING = msgspec.Raw(b"null")

_Event = TypeVar("_Event")


class _Failure(msgspec.Struct):
    error: Any = None


_FAILURE = msgspec.json.Decoder(_Failure)


class AlternativeEntry(msgspec.Struct):
    """One of the most probable tokens, as OpenAI's chat, llama.cpp and Ollama write it."""

    token: str = ""
    logprob: float | None = None


class TokenEntry(AlternativeEntry):
    """One token of the answer, in the same form."""

    top_logprobs: list[AlternativeEntry] = []


_ENTRIES: msgspec.json.Decoder[list[TokenEntry] | None] = msgspec.json.Decoder(
    list[TokenEntry] | None
)


def decode_event(decoder: msgspec.json.Decoder[_Event], data: bytes) -> _Event:
    """One event, typed.

    Raises:
        UpstreamError: it is no JSON object of that form, or tells of a failure.
    """
    try:
        failure = _FAILURE.decode(data)
        if failure.error is None:
            return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise malformed("an event that cannot be read") from None
    raise error_in_stream(failure.error)


def read_or_none(decoder: msgspec.json.Decoder[_Event], raw: msgspec.Raw) -> _Event | None:
    """Log-probabilities as servers have them; None if these have another shape. The text is good without."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError:
        return None


def details_in(raw: msgspec.Raw) -> tuple[TokenDetail, ...]:
    """As details_of, of what an event holds."""
    return details_of(read_or_none(_ENTRIES, raw))


def logprob_of(value: float | None) -> float:
    """A number that can be added; servers write null for minus infinity."""
    return max(value, MIN_LOGPROB) if value is not None and math.isfinite(value) else MIN_LOGPROB


def details_of(entries: Sequence[TokenEntry] | None) -> tuple[TokenDetail, ...]:
    """Tokens with their log-probabilities; none if any of them lacks one."""
    if not entries or any(entry.logprob is None for entry in entries):
        return ()
    return tuple(
        TokenDetail(
            entry.token,
            logprob_of(entry.logprob),
            tuple((one.token, logprob_of(one.logprob)) for one in entry.top_logprobs),
        )
        for entry in entries
    )
