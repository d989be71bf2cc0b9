"""Bind a loopback socket and serve an app on it until a signal says stop."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import socket
import sys
from types import FrameType
from typing import NoReturn

import uvicorn
from fastapi import FastAPI

from paceline.core.errors import ConfigError, PortInUseError
from paceline.server.middleware import is_loopback
from paceline.server.streaming import FAREWELL_S

SHUTDOWN_S = 2
"""Running requests get this long to finish after Ctrl+C; then they are told that the server stops."""
UNWIND_S = 2 * FAREWELL_S
"""So long, at most, do they take to say it: the engine's work is cancelled first."""
SWITCH_INTERVAL_S = 0.0005
"""The event loop and the engine's thread share Python's lock: one that wants it waits for this long, at
most, while the other computes. Python's own 5 ms is half of a short completion."""


def bind(host: str, port: int) -> socket.socket:
    """Listen on a loopback address; clients that connect wait until `serve` is called.

    Raises:
        ConfigError: the host is not loopback, or the address cannot be used.
        PortInUseError: another process listens there.
    """
    if not is_loopback(host):
        raise ConfigError(
            f"{host!r} is not a loopback address: without access tokens anybody on the network could "
            "use this server; use --host 127.0.0.1 and, from elsewhere, an SSH tunnel."
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named protocol: asyncio switches off Nagle's delay only on sockets that say they are TCP.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError as cause:
        listener.close()
        if cause.errno == errno.EADDRINUSE:
            raise PortInUseError(host=host, port=port) from cause
        reason = (cause.strerror or str(cause)).lower()
        raise ConfigError(f"Cannot listen on {host}:{port}: {reason}; choose another.") from cause
    return listener


def stop_cleanly_on_signals() -> None:
    """Make Ctrl+C and SIGTERM end this process with exit code 0, also while a model is loading."""

    def stop(signum: int, frame: FrameType | None) -> NoReturn:
        sys.exit(0)

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)


class _Server(uvicorn.Server):
    """Uvicorn's server, but requests that its end cancels still get their answer, and it logs one line
    for all of them.

    Not told apart, as uvicorn offers no means: a client that closed its side for writing only (to uvicorn
    it has left), and one that never reads (it keeps its connection; there is no timeout for writing).
    """

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Wait for cancelled requests: the event loop's end would cancel them a second time."""
        await super().shutdown(sockets)
        if self.server_state.tasks and not self.force_exit:
            await asyncio.wait(tuple(self.server_state.tasks), timeout=UNWIND_S)

    def is_worth_logging(self, record: logging.LogRecord) -> bool:
        """For uvicorn's log: a reply that ends early says nothing new once the server stops."""
        return not (self.should_exit and str(record.msg).startswith("ASGI callable returned"))


def serve(app: FastAPI, listener: socket.socket) -> None:
    """Serve `app` until a signal; running requests may finish. Never returns before.

    uvloop and httptools are used if they are installed: 0.1 ms of CPU less for a request of 0.4 ms.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("paceline").setLevel(logging.INFO)
    config = uvicorn.Config(
        app, log_config=None, access_log=False, timeout_graceful_shutdown=SHUTDOWN_S
    )
    server = _Server(config)
    log = logging.getLogger("uvicorn.error")
    log.addFilter(server.is_worth_logging)
    try:
        server.run(sockets=[listener])
    finally:
        log.removeFilter(server.is_worth_logging)
