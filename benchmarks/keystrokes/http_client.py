"""The smallest client that streams: one connection a request, so that closing it is the cancel.

Raw asyncio sockets, because the client shares the machine with the server. Understands what the four
engines send: server-sent events whose data is JSON, in the dialects of OpenAI and of llama.cpp.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, Literal

import msgspec

Outcome = Literal["done", "superseded", "cancelled", "timeout", "error"]
"""`superseded`: the engine itself ended it, because a newer keystroke of the same user had come."""


class Piece(msgspec.Struct, frozen=True):
    """What one event says."""

    token_ids: tuple[int, ...] = ()
    text: str = ""
    num_tokens: int | None = None
    """Of the whole answer, where the engine says so."""
    is_last: bool = False
    error: str = ""
    ending: str = ""
    """Why it ended, in the engine's words."""


class Answer(msgspec.Struct, kw_only=True):
    """What became of one request."""

    sent_at_s: float = 0.0
    first_ms: float | None = None
    latency_ms: float = 0.0
    """Until the last byte, or until the client gave up."""
    token_ids: list[int] = []
    text: str = ""
    num_tokens: int = 0
    """Tokens that reached the client."""
    num_missing: int = 0
    """Of an answer that is complete but shorter than asked for."""
    outcome: Outcome = "cancelled"
    error: str = ""
    ending: str = ""


class _Choice(msgspec.Struct):
    text: str = ""
    token_ids: list[int] | None = None
    finish_reason: str | None = None
    stop_reason: str | int | None = None


class _Usage(msgspec.Struct):
    completion_tokens: int | None = None


class _Event(msgspec.Struct):
    """Fields of either dialect; what is not named is skipped without being built."""

    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    content: str | None = None
    tokens: list[int] | None = None
    tokens_predicted: int | None = None
    stop: bool = False
    error: Any = None


_DECODE_EVENT = msgspec.json.Decoder(_Event).decode


def parse_event(data: bytes) -> Piece:
    """One event's data, of OpenAI's completions or of llama.cpp's `/completion`."""
    if data == b"[DONE]":
        return Piece(is_last=True)
    event = _DECODE_EVENT(data)
    if event.error:
        return Piece(is_last=True, error=str(event.error)[:300])
    if event.content is not None:
        ids = tuple(event.tokens or ())
        return Piece(ids, event.content, event.tokens_predicted, is_last=event.stop)
    num_tokens = event.usage.completion_tokens if event.usage else None
    for choice in event.choices or ():
        ending = str(choice.stop_reason or choice.finish_reason or "")
        return Piece(tuple(choice.token_ids or ()), choice.text, num_tokens, ending=ending)
    return Piece(num_tokens=num_tokens)


def split_events(buffered: bytearray) -> Iterator[bytes]:
    """Take whole events off the front; yield their data. An event of several data lines is not used here."""
    while (end := buffered.find(b"\n")) >= 0:
        line = bytes(buffered[:end]).strip()
        del buffered[: end + 1]
        if line.startswith(b"data:"):
            yield line[5:].strip()


async def read_chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The body's bytes, with or without chunked transfer."""
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    if status != 200:
        body = await reader.read(2000)
        raise ConnectionError(f"HTTP {status}: {body[:300]!r}")
    is_chunked = b"transfer-encoding: chunked" in head.lower()
    while True:
        if is_chunked:
            size = int(await reader.readline() or b"0", 16)
            if not size:
                return
            yield (await reader.readexactly(size + 2))[:-2]
        else:
            data = await reader.read(65536)
            if not data:
                return
            yield data


async def ask(port: int, path: str, body: dict[str, Any], *, timeout_s: float = 10.0) -> Answer:
    """Send, and read to the end."""
    return await Pending(port, path, body, timeout_s=timeout_s).wait()


class Pending:
    """A request under way that may be abandoned."""

    def __init__(
        self,
        port: int,
        path: str,
        body: dict[str, Any],
        *,
        timeout_s: float = 10.0,
        wanted_tokens: int | None = None,
    ) -> None:
        self.answer = Answer(sent_at_s=time.perf_counter())
        self._wanted_tokens = wanted_tokens
        self._task = asyncio.create_task(self._run(port, path, body, timeout_s))

    async def _run(self, port: int, path: str, body: dict[str, Any], timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await _exchange(port, path, body, self.answer)
        except TimeoutError:
            self.answer.outcome = "timeout"
        except asyncio.CancelledError:
            self.answer.outcome = "cancelled"
        except (OSError, EOFError, asyncio.LimitOverrunError, ValueError) as cause:
            self.answer.outcome = "error"
            self.answer.error = f"{type(cause).__name__}: {cause}"
        self.answer.latency_ms = (time.perf_counter() - self.answer.sent_at_s) * 1000
        self._judge_length()

    def _judge_length(self) -> None:
        """An engine that stops early does less work than the others: that is an error.

        Not so if the text that it was writing already had been typed meanwhile (type-through): what is
        left of it answers, if it is at least half of what was asked for. Such answers are counted.
        """
        answer, wanted = self.answer, self._wanted_tokens
        if answer.outcome != "done" or not wanted or answer.num_tokens == wanted:
            return
        if answer.ending == "superseded":
            answer.outcome = "superseded"
        elif answer.ending == "length" and wanted / 2 <= answer.num_tokens < wanted:
            answer.num_missing = wanted - answer.num_tokens
        else:
            answer.outcome = "error"
            answer.error = f"{answer.num_tokens} tokens, not {wanted}; ended by {answer.ending!r}"

    @property
    def is_over(self) -> bool:
        """Has it ended?"""
        return self._task.done()

    def cancel(self) -> None:
        """Close the connection, unless the answer is complete."""
        self._task.cancel()

    async def wait(self) -> Answer:
        """The answer, complete or not."""
        await asyncio.wait([self._task])
        return self.answer


async def _exchange(port: int, path: str, body: dict[str, Any], answer: Answer) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        payload = msgspec.json.encode(body)
        writer.write(
            f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            f"connection: close\r\ncontent-length: {len(payload)}\r\n\r\n".encode()
            + payload
        )
        buffered = bytearray()
        async for data in read_chunks(reader):
            buffered += data
            for event in split_events(buffered):
                if take(answer, parse_event(event)):
                    return
        raise ConnectionError("the stream ended before its last event")
    finally:
        writer.close()


def take(answer: Answer, piece: Piece) -> bool:
    """Add a piece; is the answer complete?"""
    if piece.error:
        answer.outcome, answer.error = "error", piece.error
        return True
    if (piece.token_ids or piece.text) and answer.first_ms is None:
        answer.first_ms = (time.perf_counter() - answer.sent_at_s) * 1000
    answer.token_ids += piece.token_ids
    answer.ending = piece.ending or answer.ending
    answer.text += piece.text
    if piece.num_tokens is not None:
        answer.num_tokens = piece.num_tokens
    else:
        answer.num_tokens += len(piece.token_ids) or bool(piece.text)
    if piece.is_last:
        answer.outcome = "done"
    return piece.is_last
