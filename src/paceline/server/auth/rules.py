"""Which path needs which scope. Paths not named here need `complete`, so a new route is never open by mistake."""

from __future__ import annotations

from paceline.server.caller import Scope

OPEN_PATHS = frozenset(("/health",))
"""Editors and load balancers ask it before they have a token; it tells the model's name and our version."""

SCOPES: tuple[tuple[str, Scope], ...] = (
    ("/v1/events", "events"),
    ("/metrics", "admin"),
    ("/debug", "admin"),
    ("/v1/requests", "admin"),
)
"""The first that is the path or a folder above it. Metrics and traces tell of all users together."""

TOKEN_IN_BODY = "/exa."
"""Codeium's protocol: its clients send the token in the body, so the route asks (caller.identify)."""

METERED_CALLS = ("GetCompletions",)
"""Of Codeium's protocol: all others cost nothing (it has dozens, one of them every 5 s), and a cancel that is
refused would cost more than one that is not."""

PAGES = ("/docs", "/static")
"""With `/`, what a person opens in a browser: only these make it ask for a password."""


def scope_of(path: str) -> Scope | None:
    """The scope that a token must have for `path`; None if no token is needed."""
    if path in OPEN_PATHS:
        return None
    for folder, scope in SCOPES:
        if is_under(path, folder):
            return scope
    return "complete"


def is_metered(method: str, path: str) -> bool:
    """Does a request count against quotas? All that may compute do: POST, except where known to be cheap."""
    if method != "POST" or scope_of(path) != "complete":
        return False
    return not path.startswith(TOKEN_IN_BODY) or path.rpartition("/")[2] in METERED_CALLS


def is_page(method: str, path: str) -> bool:
    """Does a browser show this to a person?"""
    return method in ("GET", "HEAD") and (
        path == "/" or any(is_under(path, page) for page in PAGES)
    )


def is_under(path: str, folder: str) -> bool:
    """Is `path` the folder itself or in it?"""
    return path == folder or path.startswith(f"{folder}/")
