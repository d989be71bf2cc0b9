"""Connect, the protocol under Codeium's, as far as unary calls with JSON go (connectrpc.com/docs/protocol).

Errors are `{"code", "message"}` with the HTTP status of the code. Bodies in Protocol Buffers' binary form are
refused: say application/json.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from paceline.core.errors import PacelineError
from paceline.server.dialects.connect_codes import code_of_status
from paceline.server.errors import explain_validation, response_for

NOT_JSON = (
    "Send the call as JSON, with the header Content-Type: application/json; the binary form of Protocol Buffers "
    "is not read here."
)
IS_COMPRESSED = "Send the body without Content-Encoding: compressed bodies are not read here."


def connect_error(status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """One failure in Connect's form."""
    body = {"code": code_of_status(status), "message": message}
    return JSONResponse(body, status, headers)


def connect_response_for(error: PacelineError) -> JSONResponse:
    """Translate an expected failure; Retry-After and the like stay."""
    common = response_for(error)
    kept = {
        name: value
        for name, value in common.headers.items()
        if name not in ("content-length", "content-type")
    }
    return connect_error(common.status_code, str(error), kept)


class ConnectRoute(APIRoute):
    """A route whose every failure has Connect's form."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler of FastAPI, and around it what Connect asks for."""
        handle = super().get_route_handler()

        async def handle_call(request: Request) -> Response:
            media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if media_type != "application/json":
                return connect_error(415, NOT_JSON, {"Accept-Post": "application/json"})
            if request.headers.get("content-encoding", "identity") not in ("identity", ""):
                return connect_error(501, IS_COMPRESSED)
            try:
                return await handle(request)
            except RequestValidationError as error:
                return connect_error(400, explain_validation(error.errors())[0])
            except PacelineError as error:
                return connect_response_for(error)
            except HTTPException as error:
                headers = dict(error.headers or {})
                return connect_error(error.status_code, str(error.detail), headers)

        return handle_call
