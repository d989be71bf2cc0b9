"""Bytes from the wire to the data of events, however the network cuts them.

Server-sent events as servers of models send them: lines end with LF or CRLF. Only `data` is read, and
llama.cpp's old `error:` lines; everything else that the standard has means nothing here.

Source: WHATWG HTML, server-sent events, §9.2.6.
"""

from __future__ import annotations

from collections.abc import Iterator

from paceline.generate.remote.errors import malformed
from paceline.generate.remote.types import Framing

MAX_EVENT_BYTES = 8_000_000
"""llama.cpp's last event may repeat the whole prompt; more than this no answer needs."""


class Framer:
    """Splits one answer. Feed it the bytes in order; `finish` at their end."""

    def __init__(self, framing: Framing) -> None:
        self._is_sse = framing == "sse"
        self._rest = bytearray()
        self._data: list[bytes] = []

    def feed(self, raw: bytes) -> Iterator[bytes]:
        """Yield the data of each event that is complete now.

        Raises:
            UpstreamError: an event is too long.
        """
        searched = len(self._rest)
        self._rest += raw
        start = 0
        while (end := self._rest.find(b"\n", max(searched, start))) >= 0:
            yield from self._line(bytes(self._rest[start:end]).removesuffix(b"\r"))
            start = end + 1
        del self._rest[:start]
        if len(self._rest) + sum(map(len, self._data)) > MAX_EVENT_BYTES:
            raise malformed(f"an event of more than {MAX_EVENT_BYTES // 1_000_000} MB")

    def finish(self) -> Iterator[bytes]:
        """Yield the event whose end the server left out, if there is one."""
        if self._rest:
            yield from self._line(bytes(self._rest).removesuffix(b"\r"))
            self._rest.clear()
        yield from self._line(b"")

    def _line(self, line: bytes) -> Iterator[bytes]:
        if not self._is_sse:
            if line.strip():
                yield line
            return
        if not line:
            if self._data:
                yield b"\n".join(self._data)
                self._data.clear()
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"error":
            self._data.append(b'{"error":' + value + b"}")
