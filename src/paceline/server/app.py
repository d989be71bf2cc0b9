"""The HTTP app: dialects, health, documentation and playground around one generator and one service.

Knows no fleet, no engine and no model: `cli.wiring` hands it what it serves.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Literal

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse
from pydantic import BaseModel

from paceline import __version__
from paceline.complete.request import CompleteRequest
from paceline.complete.service import Service
from paceline.complete.wire import WireCompletion, WireRequest
from paceline.core.errors import OverloadedError, UpstreamError
from paceline.core.types import Cursor, Document
from paceline.generate.types import TextGenerator
from paceline.server.auth.authority import Authority
from paceline.server.config import ServerConfig
from paceline.server.context import ServerContext
from paceline.server.debug import create_debug_router
from paceline.server.dialects.codeium import create_codeium_router
from paceline.server.dialects.engines import create_engines_router
from paceline.server.dialects.events import create_events_router
from paceline.server.dialects.llama_cpp import create_llama_router
from paceline.server.dialects.native import EXAMPLE, create_native_router
from paceline.server.dialects.openai import create_openai_router
from paceline.server.dialects.tabby import create_tabby_router
from paceline.server.dialects.websocket import create_websocket_router
from paceline.server.docs_page import render_docs
from paceline.server.doors import install_doors
from paceline.server.errors import install_error_handlers
from paceline.server.events import Events, EventsInMemory, EventStore
from paceline.server.metrics import create_metrics_router
from paceline.server.openapi import add_types
from paceline.server.playground.page import create_playground_router
from paceline.server.requests import create_requests_router

DESCRIPTION = (
    "Code completion on this machine. Editors that speak llama.cpp's /infill or OpenAI's "
    "/v1/completions work unchanged. Fields marked * must be sent."
)

DOCS_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}

DIALECTS: tuple[Callable[[ServerContext], APIRouter], ...] = (
    create_native_router,
    create_websocket_router,
    create_events_router,
    create_openai_router,
    create_llama_router,
    create_tabby_router,
    create_codeium_router,
    create_engines_router,
)
"""In the order of the documentation; the first route that takes a path and method has it."""

WARM_CURSOR = Cursor(document=Document(path="", text="import os\n"), offset=10)
"""The first pass through a model is slow; nobody should wait for it."""


class Health(BaseModel):
    """The server answers, and with which model."""

    status: Literal["ok"] = "ok"
    model: str
    version: str = __version__


def create_app(
    generator: TextGenerator,
    service: Service,
    *,
    config: ServerConfig | None = None,
    store: EventStore | None = None,
    authority: Authority | None = None,
) -> FastAPI:
    """Build the app. It owns neither `generator`, `store` nor `authority`; what `service` asks ahead ends with it.

    Args:
        store: keeps what became of completions; None forgets it.
        authority: knows the tokens; without one, only this machine is served.
    """
    default_model_id = generator.models[0].model_id
    config = config or ServerConfig()
    events = Events(store or EventsInMemory(), service)
    server = ServerContext(generator, service, events, config)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        with suppress(UpstreamError, OverloadedError):  # a server behind this one may be back later
            await service.warm(CompleteRequest(cursor=WARM_CURSOR))
        yield
        await service.close()
        await events.close()

    app = FastAPI(
        title="Paceline",
        lifespan=lifespan,
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
    )

    @app.get("/health", tags=["server"])
    async def health() -> Health:
        """Is the server up? Editors ask this before anything else."""
        return Health(model=default_model_id)

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        page = render_docs(app.openapi(), str(request.base_url).rstrip("/"))
        return HTMLResponse(page, headers=DOCS_HEADERS)

    for create_router in DIALECTS:
        app.include_router(create_router(server))
    app.include_router(create_requests_router(service))
    app.include_router(create_metrics_router(generator))
    app.include_router(create_debug_router(generator))
    app.include_router(create_playground_router())
    add_types(app, (WireRequest, WireCompletion), {"WireRequest": EXAMPLE})
    install_error_handlers(app)
    install_doors(app, config, authority)
    return app
