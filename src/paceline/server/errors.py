"""Every failure as `{"error": {"message", "type", "param", "code"}}`, in one place.

The form is OpenAI's, which llama.cpp's clients read too. The message is one sentence and never
repeats what the client sent: that may be somebody's code.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from paceline.core.errors import (
    FieldError,
    InputError,
    OverloadedError,
    PacelineError,
    PromptTooLongError,
    UnknownModelError,
)

OPENAI_CODES: dict[type[PacelineError], str] = {
    UnknownModelError: "model_not_found",
    PromptTooLongError: "context_length_exceeded",
    FieldError: "invalid_request",
    InputError: "invalid_request",
}
"""Codes that OpenAI's clients know; every other class is its own name."""

HTTP_SENTENCES = {
    "Not Found": "There is nothing at this path; /docs lists what there is.",
    "Method Not Allowed": "This path does not take that method; /docs lists what it takes.",
    "There was an error parsing the body": "The body cannot be read; send JSON in UTF-8.",
}
"""What the framework says, and what we say instead."""

RESTART_S = 1
"""What Retry-After says when the server stops: whoever starts it again needs longer than that."""

CLIENT_GONE_STATUS = 499
"""For the log only: nobody is left to read it."""


class ErrorDetail(BaseModel):
    """What is wrong and what to do."""

    message: str = Field(description="One sentence for a person.")
    type: str = Field(
        description="`invalid_request_error` if the request must change, else `server_error`: "
        "then the same request may succeed later."
    )
    param: str | None = Field(None, description="The field that is wrong, if one is.")
    code: str | None = Field(None, description="A name for programs, such as `model_not_found`.")


class ErrorBody(BaseModel):
    """The body of every reply that is not a success."""

    error: ErrorDetail


class ClientGoneError(Exception):
    """The client closed the connection before the answer was ready."""


def error_response(
    status: int,
    message: str,
    *,
    code: str | None = None,
    param: str | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """One failure in the common form."""
    is_theirs = status < 500 and status != OverloadedError.http_status
    kind = "invalid_request_error" if is_theirs else "server_error"
    detail = ErrorDetail(message=message, type=kind, param=param, code=code)
    return JSONResponse(ErrorBody(error=detail).model_dump(), status, headers)


def response_for(error: PacelineError) -> JSONResponse:
    """Translate an expected failure: its class decides status and code.

    Overload is 429 with Retry-After in whole seconds (RFC 9110, section 10.2.3); OpenAI's clients
    wait for that long and ask again by themselves.
    """
    headers: dict[str, str] = {}
    if isinstance(error, OverloadedError):
        headers["Retry-After"] = str(error.retry_after_s)
    param = error.field if isinstance(error, FieldError) else None
    code = code_of(error)
    return error_response(error.http_status, str(error), code=code, param=param, headers=headers)


def stopping_response() -> JSONResponse:
    """What a request gets that the end of the server cuts off."""
    return error_response(
        503,
        "The server is stopping before the answer is ready; send the request again once it runs.",
        code="stopping",
        headers={"Retry-After": str(RESTART_S)},
    )


def code_of(error: PacelineError) -> str:
    """The error's name for programs: OpenAI's where it has one, else the class name in snake case."""
    name = type(error).__name__.removesuffix("Error")
    return OPENAI_CODES.get(type(error)) or re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def explain_validation(errors: Sequence[Any]) -> tuple[str, str | None]:
    """Return (sentence, field) for the first of pydantic's errors."""
    first = cast("dict[str, Any]", errors[0])
    place = [part for part in first["loc"][1:] if not _is_union_tag(part)]
    if first["type"] == "json_invalid":
        reason = str(first["ctx"]["error"])
        return f"The body is not valid JSON: {reason} at character {place[0]}.", None
    if not place:
        return "Send a JSON object as body, with the header Content-Type: application/json.", None
    field = ".".join(str(part) for part in place)
    reason = str(first["msg"]).removeprefix("Value error, ")
    return f"Field {field!r}: {reason.rstrip('.')}.", field


def _is_union_tag(part: object) -> bool:
    """Pydantic adds the name of the tried type to the place of an error in a union."""
    return isinstance(part, str) and (part in ("str", "int", "float", "bool") or "[" in part)


def install_error_handlers(app: FastAPI) -> None:
    """Make `app` answer every failure in the common form."""

    async def on_expected(request: Request, error: Exception) -> Response:
        assert isinstance(error, PacelineError)
        return response_for(error)

    async def on_invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        message, field = explain_validation(error.errors())
        return error_response(400, message, param=field, code="invalid_request")

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        message = HTTP_SENTENCES.get(str(error.detail), str(error.detail))
        return error_response(error.status_code, message, headers=dict(error.headers or {}))

    async def on_gone(request: Request, error: Exception) -> Response:
        return Response(status_code=CLIENT_GONE_STATUS)

    async def on_bug(request: Request, error: Exception) -> Response:
        return error_response(  # uvicorn logs the traceback
            500, "Something went wrong inside the server; its log says what.", code="internal"
        )

    app.add_exception_handler(PacelineError, on_expected)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(ClientGoneError, on_gone)
    app.add_exception_handler(Exception, on_bug)
