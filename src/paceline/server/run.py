"""Bind a socket and serve an app on it until a signal says stop."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import socket
import ssl
import sys
from pathlib import Path
from types import FrameType
from typing import NamedTuple, NoReturn

import msgspec
import uvicorn
from fastapi import FastAPI

from paceline.core.errors import ConfigError, PortInUseError
from paceline.server.auth.authority import Authority
from paceline.server.config import ServerConfig
from paceline.server.middleware import is_loopback
from paceline.server.streaming import FAREWELL_S
from paceline.server.transport import guarded_http, guarded_websockets

SHUTDOWN_S = 2
"""Running requests get this long to finish after Ctrl+C; then they are told that the server stops."""
UNWIND_S = 2 * FAREWELL_S
"""So long, at most, do they take to say it: the engine's work is cancelled first."""
SWITCH_INTERVAL_S = 0.0005
"""The event loop and the engine's thread share Python's lock: one that wants it waits for this long, at
most, while the other computes. Python's own 5 ms is half of a short completion."""


SPARE_FILES = 500
"""Open files besides connections: libraries, model files, the token file."""


class Tls(NamedTuple):
    """Files in PEM form."""

    certfile: Path
    """The certificate and, after it, those that lead to its root."""
    keyfile: Path


def bind(host: str, port: int, authority: Authority | None = None) -> socket.socket:
    """Listen on an address; clients that connect wait until `serve` is called.

    Args:
        authority: must know a usable token, unless the address is loopback.

    Raises:
        ConfigError: others could use the server without a token, or the address cannot be used.
        PortInUseError: another process listens there.
    """
    if not is_loopback(host) and not (authority and authority.has_usable_tokens()):
        raise ConfigError(
            f"{host!r} is not a loopback address: without access tokens anybody on the network could "
            "use this server; make one with `paceline token create`, or use --host 127.0.0.1 and, "
            "from elsewhere, an SSH tunnel."
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
    it has left).
    """

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Wait for cancelled requests: the event loop's end would cancel them a second time."""
        await super().shutdown(sockets)
        if self.server_state.tasks and not self.force_exit:
            await asyncio.wait(tuple(self.server_state.tasks), timeout=UNWIND_S)

    def is_worth_logging(self, record: logging.LogRecord) -> bool:
        """For uvicorn's log: a reply that ends early says nothing new once the server stops."""
        return not (self.should_exit and str(record.msg).startswith("ASGI callable returned"))


def serve(app: FastAPI, listener: socket.socket, *, tls: Tls | None = None) -> None:
    """Serve `app`, which has its doors, until a signal; running requests may finish. Never returns before.

    On an address that is not loopback every request must show a token, whatever the config says: those from
    this machine, too.

    uvloop and httptools are used if they are installed: 0.1 ms of CPU less for a request of 0.4 ms.

    Raises:
        ConfigError: a file of `tls` cannot be used.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("paceline").setLevel(logging.INFO)
    config: ServerConfig = app.state.server_config
    if not is_loopback(listener.getsockname()[0]):
        app.state.is_token_required = True
    server = _Server(_uvicorn_config(app, config, tls))
    _note_start(app, listener, tls)
    log = logging.getLogger("uvicorn.error")
    log.addFilter(server.is_worth_logging)
    try:
        server.run(sockets=[listener])
    finally:
        log.removeFilter(server.is_worth_logging)


def _uvicorn_config(app: FastAPI, config: ServerConfig, tls: Tls | None) -> uvicorn.Config:
    limits = config.limits
    num_files = allow_open_files(limits.max_connections + SPARE_FILES)
    max_connections = min(limits.max_connections, max(1, num_files - SPARE_FILES))
    limits = msgspec.structs.replace(limits, max_connections=max_connections)
    context = load_tls(tls) if tls else None
    return uvicorn.Config(
        app,
        http=guarded_http(limits),
        ws=guarded_websockets(limits) or "none",
        ws_max_size=limits.max_message_bytes,
        ws_per_message_deflate=False,  # 40 KiB for each idle connection, and messages are short
        ws_ping_interval=limits.ping_interval_s,
        ws_ping_timeout=limits.ping_timeout_s,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # else whoever connects from loopback could name another scheme and client
        timeout_graceful_shutdown=SHUTDOWN_S,
        ssl_context_factory=(lambda config, make_default: context) if context else None,
    )


def load_tls(tls: Tls) -> ssl.SSLContext:
    """A server's context: TLS 1.2 or newer, HTTP/1.1.

    Raises:
        ConfigError: a file is missing or no PEM, the key is not the certificate's, or it has a password.
    """

    def refuse_password() -> str:
        raise ConfigError("The key file has a password; give --tls-key a file without one.")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    for file in tls:
        if not file.is_file():
            raise ConfigError(
                f"There is no file {str(file)!r}; give --tls-cert and --tls-key PEM files."
            )
    try:
        context.load_cert_chain(tls.certfile, tls.keyfile, password=refuse_password)
    except (ssl.SSLError, OSError) as cause:
        said = cause.reason if isinstance(cause, ssl.SSLError) else cause.strerror
        reason = (said or "not PEM").lower()
        raise ConfigError(
            f"The TLS files cannot be used ({reason.replace('_', ' ')}); give --tls-cert a PEM certificate "
            "and --tls-key its key."
        ) from cause
    return context


def allow_open_files(num_files: int) -> int:
    """Raise this process' soft limit of open files towards `num_files`, as far as the system lets it; return how
    many of them there may be.

    Shells often give 1,024; a server that has used them up cannot even refuse.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return num_files
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= num_files:
        return num_files
    wanted = num_files if hard == resource.RLIM_INFINITY else min(num_files, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def _note_start(app: FastAPI, listener: socket.socket, tls: Tls | None) -> None:
    """For the audit log: where, and with which doors open."""
    authority: Authority | None = app.state.authority
    config: ServerConfig = app.state.server_config
    if authority is None:
        return
    host, port = listener.getsockname()[:2]
    authority.audit.append(
        "server_start",
        host=host,
        port=port,
        is_tls=tls is not None,
        is_token_required=app.state.is_token_required,
        allowed_hosts=config.allowed_hosts,
        allowed_origins=config.allowed_origins,
    )
