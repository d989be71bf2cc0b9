"""Who asks: what every route may know of the client, once the middleware has looked at its token.

Without tokens (loopback) everybody is the same anonymous caller, who may do everything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol, cast

import msgspec
from starlette.requests import HTTPConnection

from paceline.generate.types import Session

Scope = Literal["complete", "events", "admin"]
ALL_SCOPES: frozenset[Scope] = frozenset(("complete", "events", "admin"))


class Meter(Protocol):
    """The quotas of one token."""

    def begin(self) -> None:
        """Count one more running request.

        Raises:
            QuotaError: too many a minute, too many at once, or this month's tokens are used up (429).
            UnauthorizedError: the token was revoked or has expired since it was shown (401).
        """
        ...

    def end(self, num_tokens: int) -> None:
        """That request is over and used so many tokens, of prompt (not cached) and answer together."""
        ...


class Unmetered:
    """No limits."""

    def begin(self) -> None:
        """Always allowed."""

    def end(self, num_tokens: int) -> None:
        """Not counted."""


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """One user behind one token."""

    user_id: str = ""
    """Empty: nobody in particular (no tokens)."""
    token_id: str = ""
    scopes: frozenset[Scope] = ALL_SCOPES
    meter: Meter = Unmetered()

    def tenant(self, name: str) -> str:
        """`name`, which a client made up, as it is among all users: two never share one.

        What stands before a NUL is the user (`complete.request.owner_of`): without a token nobody names one.
        """
        return f"{self.user_id}\0{name}" if self.user_id else name.replace("\0", " ")

    def session(self, session: Session | None) -> Session | None:
        """A session of this user alone."""
        if session is None:
            return None
        return Session(self.tenant(session.session_id), session.document_id.replace("\0", " "))


ANONYMOUS = Caller()


def caller_of(connection: HTTPConnection) -> Caller:
    """The caller of a request or WebSocket."""
    found = connection.scope.get("state", {}).get("caller")
    return found if isinstance(found, Caller) else ANONYMOUS


def identify(connection: HTTPConnection, token: str) -> Caller:
    """The caller of a request whose protocol carries the token in its body (Codeium's `metadata.api_key`).

    A token in a header counts for more. Where none is demanded, what is no token of ours is ignored: such
    clients always send something. Quotas are counted as for tokens in headers.

    Raises:
        UnauthorizedError: a token is demanded, and this one is unknown, expired or revoked.
        ForbiddenError: it may not do this.
        QuotaError: its quotas are used up.
    """
    found = connection.scope.get("state", {}).get("identify")
    return caller_of(connection) if found is None else cast("Callable[[str], Caller]", found)(token)


def note_usage(connection: HTTPConnection, *, prompt_tokens: int, num_tokens: int) -> None:
    """Say what a request cost: for the log line and the quota. `prompt_tokens`: those that were computed."""
    connection.state.num_tokens = num_tokens
    connection.state.num_prompt_tokens = prompt_tokens
