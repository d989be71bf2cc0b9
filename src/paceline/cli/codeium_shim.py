"""`paceline codeium-shim`: stands where Codeium's plugins expect their language server, and asks Paceline.

Plugins start their server as `BIN --api_server_url URL --manager_dir FOLDER ...`, look in FOLDER for an empty file
whose name is the port, and call that port. `paceline-codeium-shim` (the same, as a program of its own) is that BIN.
Which server it asks, the first of:

1. the environment variable PACELINE_SERVER;
2. `--api_server_url`, unless it is Codeium's own (plugins always send it; theirs is not asked);
3. http://127.0.0.1:8012.

All other options are ignored. It ends when its parent ends, when no call came for SILENCE_S (plugins send a
heartbeat every few seconds, but not while their editor is suspended) or none at all, or when it is told to.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Generator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn
from urllib.parse import urlsplit

import typer

from paceline.core.errors import ConfigError, PacelineError, PortInUseError

if TYPE_CHECKING:
    import uvicorn

    from paceline.cli.codeium_shim_app import ShimApp

DEFAULT_SERVER = "http://127.0.0.1:8012"
CODEIUM_HOSTS = ("codeium.com", "windsurf.com", "exafunction.com")
"""Theirs, with all names below."""
PORT_WITHOUT_FOLDER = 42100
"""Where codeium.vim calls when it names no folder (its remote chat)."""
SILENCE_S = 1_800.0
FIRST_CALL_S = 120.0
"""Who has not called by then never will."""
CODEIUM_VERSION = "1.20.9"
"""Whose calls are answered, as Codeium counts: neocodeium asks and then waits for the answer."""
LOOK_EVERY_S = 1.0
ANY_OPTIONS = {"ignore_unknown_options": True, "allow_extra_args": True}
"""Plugins send more than ten others."""


def main() -> None:
    """The program `paceline-codeium-shim`."""
    try:
        app = typer.Typer(add_completion=False)
        app.command(context_settings=ANY_OPTIONS)(codeium_shim)
        app()
    except PacelineError as error:
        sys.stderr.write(f"Error: {error}\n")
        sys.exit(error.exit_code)


def register(app: typer.Typer) -> None:
    """Add the command to `paceline`."""
    app.command("codeium-shim", context_settings=ANY_OPTIONS)(codeium_shim)


def codeium_shim(
    api_server_url: Annotated[
        str, typer.Option("--api_server_url", help="Server to ask, unless it is Codeium's.")
    ] = "",
    manager_dir: Annotated[
        str, typer.Option("--manager_dir", help="Folder in which to announce the port.")
    ] = "",
    server_port: Annotated[
        int, typer.Option("--server_port", help="Port; 0 takes a free one.", min=0, max=65535)
    ] = 0,
    is_version_asked: Annotated[
        bool, typer.Option("--version", help="Print the version of Codeium's server and end.")
    ] = False,
) -> None:
    """Let codeium.vim, codeium.nvim, neocodeium and codeium.el ask this machine's Paceline server.

    Give the plugin the program `paceline-codeium-shim` as its language server. Other options are ignored.
    """
    if is_version_asked:
        typer.echo(CODEIUM_VERSION)
        return
    run_shim(api_server_url, manager_dir, server_port)


def server_to_ask(api_server_url: str, named: str | None) -> str:
    """The URL of the Paceline server; `named` is that of PACELINE_SERVER.

    Raises:
        ConfigError: it is no http(s) URL.
    """
    chosen, origin = named, "PACELINE_SERVER"
    if not chosen and api_server_url and not _is_codeiums(api_server_url):
        chosen, origin = api_server_url, "--api_server_url"
    chosen = chosen or DEFAULT_SERVER
    try:
        parts = urlsplit(chosen)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable:
        raise ConfigError(f"{origin} must be an address such as {DEFAULT_SERVER}.")
    return chosen.rstrip("/")


def _is_codeiums(url: str) -> bool:
    try:
        host = (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return False
    return any(host == name or host.endswith(f".{name}") for name in CODEIUM_HOSTS)


@contextlib.contextmanager
def announced(folder: str, port: int) -> Generator[None]:
    """Keep an empty file named `port` in `folder`, which is made if need be; none if `folder` is empty.

    Raises:
        ConfigError: the folder cannot be used.
    """
    if not folder:
        yield
        return
    path = Path(folder) / str(port)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()  # empty from the first moment on; one left from before becomes new
    except OSError as cause:
        reason = (cause.strerror or str(cause)).lower()
        raise ConfigError(
            f"--manager_dir cannot be used: {reason}; name another folder."
        ) from cause
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()


def run_shim(api_server_url: str, manager_dir: str, port: int) -> None:
    """Serve until told to stop, or until nobody is left to serve.

    Raises:
        ConfigError: no server can be asked there, or the folder cannot be used.
        PortInUseError: somebody listens on the port.
    """
    parent_id = os.getppid()  # before anybody can know that we are here, and leave
    server_url = server_to_ask(api_server_url, os.environ.get("PACELINE_SERVER"))
    _end_cleanly_on_signals()
    chosen = port or (0 if manager_dir else PORT_WITHOUT_FOLDER)
    with _listen(chosen) as listener, announced(manager_dir, listener.getsockname()[1]):
        asyncio.run(_serve(server_url, listener, parent_id))


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(128)
    except (OSError, OverflowError) as cause:
        listener.close()
        raise PortInUseError(host="127.0.0.1", port=port) from cause
    return listener


async def _serve(server_url: str, listener: socket.socket, parent_id: int) -> None:
    import uvicorn

    from paceline.cli.codeium_shim_app import ShimApp

    app = ShimApp(server_url)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            lifespan="off",
            log_config=None,
            access_log=False,
            ws="none",
            timeout_graceful_shutdown=1,
        )
    )
    watch = asyncio.create_task(_end_when_alone(app, server, parent_id))
    try:
        await server.serve(sockets=[listener])
    finally:
        watch.cancel()
        await app.close()


async def _end_when_alone(app: ShimApp, server: uvicorn.Server, parent_id: int) -> None:
    while os.getppid() == parent_id and not _is_silent(app):  # noqa: ASYNC110  no event tells it
        await asyncio.sleep(LOOK_EVERY_S)
    server.should_exit = True


def _is_silent(app: ShimApp) -> bool:
    return app.silent_s() > (SILENCE_S if app.num_calls else FIRST_CALL_S)


def _end_cleanly_on_signals() -> None:
    def end(number: int, frame: FrameType | None) -> NoReturn:
        sys.exit(0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)


if __name__ == "__main__":
    main()
