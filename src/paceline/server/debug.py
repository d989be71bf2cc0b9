"""`GET /debug/trace`: the last seconds of work, to be opened in Perfetto or chrome://tracing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from fastapi.responses import Response, StreamingResponse
from starlette.exceptions import HTTPException

from paceline.generate.observe import Observed
from paceline.generate.types import TextGenerator
from paceline.server.errors import ErrorBody

MAX_SECONDS = 60.0
EVENTS_PER_CHUNK = 500
"""Encoded at a time: a fraction of a millisecond in which the engine's thread waits."""


def create_debug_router(generator: TextGenerator) -> APIRouter:
    """Return the route `/debug/trace`; it is 404 for a generator that keeps no trace."""
    router = APIRouter(tags=["server"], responses={"4XX": {"model": ErrorBody}})

    def read_trace(
        seconds: Annotated[
            float, Query(gt=0, le=MAX_SECONDS, description="How far back, in seconds.")
        ] = 10.0,
    ) -> Response:
        """Which request did what in which step, as a Chrome trace. Ids and counts only, no text."""
        if not isinstance(generator, Observed):
            raise HTTPException(404, "This generator keeps no trace; serve a local model.")
        return StreamingResponse(
            encode_in_chunks(generator.trace(seconds)), media_type="application/json"
        )

    router.add_api_route("/debug/trace", read_trace, response_class=Response)
    return router


def encode_in_chunks(trace: dict[str, Any]) -> Iterator[bytes]:
    """JSON of a trace, piece by piece: encoding it at once would hold the interpreter for too long."""
    events: list[Any] = trace["traceEvents"]
    rest = {key: value for key, value in trace.items() if key != "traceEvents"}
    yield b'{"traceEvents":['
    for start in range(0, len(events), EVENTS_PER_CHUNK):
        chunk = msgspec.json.encode(events[start : start + EVENTS_PER_CHUNK])
        yield (b"," if start else b"") + chunk[1:-1]
    tail = msgspec.json.encode(rest)[1:-1]
    yield b"]" + (b"," + tail if tail else b"") + b"}"
