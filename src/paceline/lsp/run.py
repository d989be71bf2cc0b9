"""`paceline lsp`: one client on stdin and stdout, or several on a loopback port."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from paceline.core.errors import PortInUseError
from paceline.lsp.completer import Completer
from paceline.lsp.server import PacelineServer
from paceline.lsp.transport import PipeWriter, reader_of, serve_connection, take_stdio

OpenCompleter = Callable[[], AbstractAsyncContextManager[Completer]]
HOST = "127.0.0.1"
"""The only address: who can connect can read what the editor has open."""
STOPPED = 1
"""Exit code where a signal came before the client said `shutdown` and `exit`."""
MAX_FRAME_HEADER_BYTES = 2**16


def run_stdio(open_completer: OpenCompleter) -> int:
    """Serve the client that started this process; return the exit code."""
    descriptor, own_stdout = take_stdio()
    return asyncio.run(_serve_stdio(open_completer, descriptor, PipeWriter(own_stdout)))


def run_tcp(open_completer: OpenCompleter, port: int) -> int:
    """Serve whoever connects, until SIGTERM or Ctrl+C; return the exit code.

    Raises:
        PortInUseError: another process listens there.
    """
    return asyncio.run(_serve_tcp(open_completer, port))


async def _serve_stdio(open_completer: OpenCompleter, descriptor: int, writer: PipeWriter) -> int:
    _silence()
    async with open_completer() as completer:
        serving = asyncio.ensure_future(
            serve_connection(PacelineServer(completer), reader_of(descriptor), writer)
        )
        _on_signals(serving.cancel)
        await asyncio.wait((serving,))
        return STOPPED if serving.cancelled() else serving.result()


async def _serve_tcp(open_completer: OpenCompleter, port: int) -> int:
    _silence()
    is_over = asyncio.Event()
    _on_signals(is_over.set)
    async with open_completer() as completer:

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await serve_connection(PacelineServer(completer), reader, writer)
            finally:
                writer.close()

        try:
            listener = await asyncio.start_server(serve, HOST, port, limit=MAX_FRAME_HEADER_BYTES)
        except OSError as error:
            raise PortInUseError(host=HOST, port=port) from error
        async with listener:
            port = listener.sockets[0].getsockname()[1]
            print(f"Listening on {HOST}:{port}", file=sys.stderr, flush=True)  # noqa: T201
            await is_over.wait()
    return 0


def _on_signals(end: Callable[[], object]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(number, end)


def _silence() -> None:
    """pygls logs whole messages, which hold code."""
    logger = logging.getLogger("pygls")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
