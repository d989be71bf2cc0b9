"""Find the token that a request shows, in each of the places where clients put it.

    Authorization: Bearer TOKEN                 most editors
    Authorization: Basic base64(NAME:TOKEN)     browsers; the name is not looked at
    Authorization: Basic TOKEN-SESSION          Codeium's browser clients: not base64
    X-API-Key: TOKEN

Never a query string: those end up in logs and histories.
"""

from __future__ import annotations

import base64
import binascii
import re

from starlette.datastructures import Headers

from paceline.server.auth.tokens import TOKEN_CHARS, TOKEN_PATTERN

TOKEN_PREFIX = "pl_"


def shown_token(headers: Headers) -> str | None:
    """The token shown, of whatever form; None if there is none, or an empty one."""
    for value in headers.getlist("authorization"):
        scheme, _, credentials = value.strip().partition(" ")
        token = credentials.strip()
        if scheme.lower() == "basic":
            token = _of_basic(token)
        if token:
            return token
    return headers.get("x-api-key", "").strip() or None


def is_of_our_form(token: str) -> bool:
    """Was this meant to be one of our tokens? Many clients send a placeholder where none is needed."""
    return token.startswith(TOKEN_PREFIX)


def _of_basic(credentials: str) -> str:
    """The token in Basic credentials; what cannot be read stands for itself, and is no token."""
    head, tail = credentials[:TOKEN_CHARS], credentials[TOKEN_CHARS:]
    if TOKEN_PATTERN.fullmatch(head) and (not tail or tail.startswith("-")):
        return head  # `pl_` is not base64: no pair of name and password looks like it
    compact = re.sub(r"\s", "", credentials)
    try:
        name, colon, password = base64.b64decode(compact, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return credentials
    return password if colon else name
