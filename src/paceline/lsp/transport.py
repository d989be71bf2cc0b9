"""Messages over pipes and sockets: frames in, frames out, until the client leaves."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys
import threading
from typing import BinaryIO, Protocol

from paceline.lsp.server import PacelineServer

MAX_MESSAGE_BYTES = 256 * 2**20
"""Of one message. A larger one is skipped: no document of that size is completed anyway."""
MAX_HEADERS = 16
CHUNK_BYTES = 2**16
_HEADER = re.compile(rb"(?i)content-(length|type): *([^\r\n]*)\r\n")


class Writer(Protocol):
    """Where frames go."""

    def write(self, data: bytes) -> None:
        """Take all of `data`."""
        ...

    def close(self) -> None:
        """Nothing more comes."""
        ...


class FrameError(Exception):
    """What came is no frame, so nothing after it can be understood either."""


async def serve_connection(
    server: PacelineServer, reader: asyncio.StreamReader, writer: Writer
) -> int:
    """Handle messages until the client says `exit` or leaves; return the exit code for that.

    It is 0 if the client said `shutdown` before. The handler of each message has begun before the next is read,
    so it sees the documents as they were.
    """
    protocol = server.rpc
    protocol.set_writer(writer)
    try:
        with contextlib.suppress(
            FrameError, asyncio.IncompleteReadError, ConnectionError, ValueError
        ):
            while protocol.exit_code is None:
                if not await _serve_message(server, reader):
                    break
                await asyncio.sleep(0)
    finally:
        server.end()
    if protocol.exit_code is not None:
        return protocol.exit_code
    return 0 if protocol.is_shut_down else 1


async def _serve_message(server: PacelineServer, reader: asyncio.StreamReader) -> bool:
    """Handle the next message, whatever it is; False if none comes."""
    size = await _read_size(reader)
    if size is None:
        return False
    if size > MAX_MESSAGE_BYTES:
        await _skip(reader, size)
        server.log(f"A message of more than {MAX_MESSAGE_BYTES // 2**20} MiB was skipped.")
        return True
    try:
        message = json.loads(await reader.readexactly(size))
    except (ValueError, RecursionError):  # ValueError: also a number of 5,000 digits
        server.rpc.refuse_json()
    else:
        server.rpc.receive(message)
    return True


async def _read_size(reader: asyncio.StreamReader) -> int | None:
    """The Content-Length of the next message; None at the end.

    Raises:
        FrameError: a header that LSP does not have. A web page that posts to this port sends such.
    """
    size: int | None = None
    for _ in range(MAX_HEADERS):
        line = await reader.readline()
        if not line:
            return None
        if line == b"\r\n" and size is not None:
            return size
        found = _HEADER.fullmatch(line)
        if found is None:
            raise FrameError
        if found[1].lower() == b"length":
            if not found[2].isdigit():
                raise FrameError
            size = int(found[2])
    raise FrameError


async def _skip(reader: asyncio.StreamReader, size: int) -> None:
    while size > 0:
        chunk = await reader.read(min(size, CHUNK_BYTES))
        if not chunk:
            return
        size -= len(chunk)


class PipeWriter:
    """Writes to a file descriptor, and nothing once its reader has left."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, data: bytes) -> None:
        """As Writer.write."""
        with contextlib.suppress(OSError, ValueError):
            self._file.write(data)
            self._file.flush()

    def close(self) -> None:
        """As Writer.close."""
        with contextlib.suppress(OSError):
            self._file.close()


def take_stdio() -> tuple[int, BinaryIO]:
    """Stdin's descriptor and a file for stdout, which nothing else can reach from now on.

    Whatever is printed goes to stderr: a stray line would end the connection.
    """
    own = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return sys.stdin.fileno(), own


def reader_of(descriptor: int) -> asyncio.StreamReader:
    """What comes from `descriptor`, be it a pipe, a terminal or a file. Read by a thread that ends with it."""
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()

    def pump() -> None:
        with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: the loop is closed
            while chunk := os.read(descriptor, CHUNK_BYTES):
                loop.call_soon_threadsafe(reader.feed_data, chunk)
            loop.call_soon_threadsafe(reader.feed_eof)

    threading.Thread(target=pump, name="lsp-stdin", daemon=True).start()
    return reader
