"""`GET /v1/requests` and `/v1/requests/{id}/trace`: why this was shown, or why nothing was.

Names, numbers and reasons; text and paths only where the server was started to keep them.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Query
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from paceline.complete.service import Service
from paceline.complete.trace import RequestTrace
from paceline.server.errors import ErrorBody

MAX_LISTED = 200


def create_requests_router(service: Service) -> APIRouter:
    """Return the routes; they read what `service` remembers."""
    router = APIRouter(tags=["traces"], responses={"4XX": {"model": ErrorBody}})

    async def list_requests(
        limit: Annotated[int, Query(ge=1, le=MAX_LISTED, description="At most so many.")] = 20,
    ) -> Response:
        """The newest requests, newest first: id, mode, outcome, latency."""
        rows = [_summary(trace) for trace in service.traces.newest(limit)]
        return _json({"requests": rows})

    async def read_trace(
        request_id: Annotated[str, Path(max_length=128, description="As the reply named it.")],
    ) -> Response:
        """The whole story of one request."""
        trace = service.traces.get(request_id)
        if trace is None:
            raise HTTPException(
                404,
                f"No trace of request {request_id!r}: only the newest "
                f"{service.config.max_traces} are kept, in memory; GET /v1/requests lists them.",
            )
        return _json(msgspec.to_builtins(trace) | {"own_ms": round(trace.own_ms(), 3)})

    router.add_api_route("/v1/requests", list_requests, response_class=Response)
    router.add_api_route("/v1/requests/{request_id}/trace", read_trace, response_class=Response)
    return router


def _summary(trace: RequestTrace) -> dict[str, Any]:
    return {
        "request_id": trace.request_id,
        "at_s": trace.at_s,
        "language": trace.language,
        "trigger": trace.trigger,
        "is_ahead": trace.is_ahead,
        "mode": trace.mode,
        "source": trace.source,
        "outcome": trace.outcome,
        "drop_reason": trace.drop_reason,
        "latency_ms": round(trace.latency_ms, 3),
    }


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
