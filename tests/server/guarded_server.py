"""A small server with short limits, as a process: `python -m tests.server.guarded_server LIMITS` prints its port.

LIMITS is the JSON of TransportLimits; a certificate and a key may follow.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec
from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import PlainTextResponse, StreamingResponse

from paceline.server import run
from paceline.server.auth.authority import Authority
from paceline.server.config import ServerConfig, TransportLimits
from paceline.server.doors import install_doors
from paceline.server.errors import install_error_handlers

MEGABYTE = b"x" * 1_000_000


def create_guarded_app(limits: TransportLimits, authority: Authority | None = None) -> FastAPI:
    """Echo, an endless stream, a socket that sends its text back."""
    app = FastAPI()
    install_error_handlers(app)
    app.state.num_streams = 0

    async def echo(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(len(await request.body())))

    async def streams() -> dict[str, int]:
        return {"open": app.state.num_streams}

    async def stream() -> StreamingResponse:
        async def endless():
            app.state.num_streams += 1
            try:
                while True:
                    yield MEGABYTE
                    await asyncio.sleep(0)
            finally:
                app.state.num_streams -= 1

        return StreamingResponse(endless())

    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(text)

    app.add_api_route("/echo", echo, methods=["POST", "GET"])
    app.add_api_route("/streams", streams)
    app.add_api_route("/stream", stream)
    app.add_api_websocket_route("/socket", socket)
    install_doors(app, ServerConfig(limits=limits), authority)
    return app


def main() -> None:
    """Serve until a signal."""
    limits = msgspec.json.decode(sys.argv[1], type=TransportLimits)
    run.SHUTDOWN_S = 0  # type: ignore[assignment]
    run.stop_cleanly_on_signals()
    with run.bind("127.0.0.1", 0) as listener:
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        tls = run.Tls(Path(sys.argv[2]), Path(sys.argv[3])) if sys.argv[2:] else None
        run.serve(create_guarded_app(limits), listener, tls=tls)


if __name__ == "__main__":
    main()
