"""Names of failures in the Connect protocol (connectrpc.com/docs/protocol). Apart, so that it is light to import."""

from __future__ import annotations

CODES = {
    400: "invalid_argument",
    401: "unauthenticated",
    403: "permission_denied",
    404: "not_found",
    408: "deadline_exceeded",
    413: "resource_exhausted",
    415: "unknown",
    429: "resource_exhausted",
    499: "canceled",
    501: "unimplemented",
    502: "unavailable",
    503: "unavailable",
    504: "deadline_exceeded",
}


def code_of_status(status: int) -> str:
    """The name that goes with an HTTP status."""
    return CODES.get(status, "internal")
