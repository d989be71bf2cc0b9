"""What the upstream's failures become here: one sentence each, with nothing in it of what a client sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, cast

import msgspec

from paceline.core.errors import OverloadedError, UpstreamError

MAX_REASON_CHARS = 160
"""Longer reasons are usually dumps."""
MAX_ECHO_CHARS = 16
"""A reason that shares more characters in a row with the prompt is not passed on: it repeats code."""
DEFAULT_RETRY_S = 1
MAX_RETRY_S = 3600
TOKEN_VARIABLE = "PACELINE_UPSTREAM_TOKEN"

_TOO_LONG = re.compile(
    r"context[ _](length|size|window)|exceed_context|context_length|maximum model length|prompt.{0,20}too long",
    re.IGNORECASE,
)
_BUSY = (429, 503)
_DENIED = (401, 403)
_UNKNOWN_FIELD = (400, 422)


class UpstreamBusyError(OverloadedError):
    """The upstream server is full, or still loading its model (HTTP 429 + its Retry-After)."""

    exit_code = UpstreamError.exit_code

    def __init__(self, *, retry_after_s: int) -> None:
        super().__init__(queued=0, retry_after_ms=1000 * retry_after_s)
        self.args = (f"The upstream server is busy; retry after {self.retry_after_s} s.",)


class UpstreamRefusedError(UpstreamError):
    """The upstream server answered with a status that is no success."""

    def __init__(self, status: int, reason: str) -> None:
        self.status, self.reason = status, reason
        advice = f"; set {TOKEN_VARIABLE}" if status in _DENIED else ""
        told = f" ({reason})" if reason else ""
        super().__init__(f"The upstream server answered with status {status}{told}{advice}.")

    @property
    def is_too_long(self) -> bool:
        """Did the prompt not fit its window?"""
        return self.status < 501 and _TOO_LONG.search(self.reason) is not None

    @property
    def may_be_a_field(self) -> bool:
        """Is it the status that servers have for fields they do not know?"""
        return self.status in _UNKNOWN_FIELD and not self.is_too_long


def error_of(
    status: int, headers: Mapping[str, str], body: bytes, *, prompt: str = ""
) -> UpstreamError | UpstreamBusyError:
    """What a reply that is no success becomes."""
    if status in _BUSY:
        return UpstreamBusyError(retry_after_s=retry_after_s(headers.get("retry-after", "")))
    return UpstreamRefusedError(status, sanitized(_reason_in(body), prompt))


def error_in_stream(error: object, *, prompt: str = "") -> UpstreamError | UpstreamBusyError:
    """What an error that comes as an event becomes: a sentence, or an object with `message` and `code`."""
    fields = cast("dict[str, Any]", error) if isinstance(error, dict) else {}
    code = fields.get("code")
    if code in _BUSY:
        return UpstreamBusyError(retry_after_s=DEFAULT_RETRY_S)
    told = fields.get("message", "") if isinstance(error, dict) else error
    if type(code) is int and 400 <= code < 600:
        return UpstreamRefusedError(code, sanitized(_as_text(told), prompt))
    reason = sanitized(_as_text(told), prompt)
    return UpstreamError(
        f"The upstream server failed while it answered{f' ({reason})' if reason else ''}."
    )


def malformed(what: str) -> UpstreamError:
    """The answer cannot be read."""
    return UpstreamError(
        f"The upstream server sent {what}; check that --kind names what it really is."
    )


def retry_after_s(value: str, now: datetime | None = None) -> int:
    """Seconds that a Retry-After header asks for, as number or date; a default for anything else."""
    try:
        seconds = int(value)
    except ValueError:
        try:
            until = parsedate_to_datetime(value)
        except ValueError:
            return DEFAULT_RETRY_S
        if until.tzinfo is None:
            until = until.replace(tzinfo=UTC)
        seconds = round((until - (now or datetime.now(UTC))).total_seconds())
    return min(max(seconds, DEFAULT_RETRY_S), MAX_RETRY_S)


def sanitized(reason: str, prompt: str = "") -> str:
    """One short line of printable text; empty if it repeats a part of `prompt`."""
    line = " ".join("".join(c if c.isprintable() else " " for c in reason).split())
    line = line[:MAX_REASON_CHARS].rstrip(" .")
    flat = " ".join(prompt.split())
    for start in range(len(line) - MAX_ECHO_CHARS):
        if line[start : start + MAX_ECHO_CHARS + 1] in flat:
            return ""
    return line


def _reason_in(body: bytes) -> str:
    """The sentence in the forms that OpenAI's, llama.cpp's, Ollama's and FastAPI's errors have."""
    try:
        fields: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""  # a proxy's page, not the server's word
    if not isinstance(fields, dict):
        return ""
    found = cast("dict[str, Any]", fields)
    error: Any = found.get("error", found.get("detail", found.get("message", "")))
    if isinstance(error, dict):
        inner = cast("dict[str, Any]", error)
        kind = _as_text(inner.get("type") or inner.get("code"))
        message = _as_text(inner.get("message"))
        return f"{message} {kind}" if _TOO_LONG.search(kind) else message
    return _as_text(error)


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else ""
