"""The smallest HTTP client that keeps its connection: the clients share the machine with the server.

Closing the connection is the cancel, as editors do it; the next request opens another.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import msgspec


class Link:
    """One connection of one editor."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, body: object) -> tuple[int, bytes]:
        """Return status and body. If the caller is cancelled, the connection closes."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        is_whole = False
        try:
            payload = msgspec.json.encode(body)
            head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            writer.write(f"{head}content-length: {len(payload)}\r\n\r\n".encode() + payload)
            status, reply, is_kept = await _read_reply(reader)
            is_whole = is_kept
            return status, reply
        finally:
            if not is_whole:
                self.close()

    def close(self) -> None:
        """Leave, whatever is under way."""
        if self._streams is not None:
            with suppress(OSError):
                self._streams[1].close()
            self._streams = None


async def _read_reply(reader: asyncio.StreamReader) -> tuple[int, bytes, bool]:
    """(status, body, does the connection stay)."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    status = int(head.split(b" ", 2)[1])
    is_kept = b"\r\nconnection: close" not in head
    if b"\r\ntransfer-encoding: chunked" in head:
        parts: list[bytes] = []
        while size := int(await reader.readline(), 16):
            parts.append((await reader.readexactly(size + 2))[:-2])
        await reader.readexactly(2)
        return status, b"".join(parts), is_kept
    length = int(head.split(b"\r\ncontent-length:", 1)[1].split(b"\r\n", 1)[0])
    return status, await reader.readexactly(length), is_kept
