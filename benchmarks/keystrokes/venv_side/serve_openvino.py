"""A small streaming HTTP server around OpenVINO GenAI's continuous batching. Runs in OpenVINO's own venv.

    python serve_openvino.py MODEL.gguf PORT JSON_OPTIONS

POST /v1/completions takes {"prompt": [ids], "max_tokens": n} and streams {"choices": [{"token_ids": [...]}]},
then [DONE]: greedy, ends of text ignored. One thread does all: between two steps of the pipeline it reads
and writes sockets, so a closed connection cancels its request before the next step.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import asyncio
import itertools
import json
import sys
from typing import Any

import numpy as np
import openvino
import openvino_genai as genai


class Request:
    """One stream: the pipeline's handle, and the connection that its tokens go to."""

    def __init__(self, body: dict[str, Any], transport: asyncio.Transport) -> None:
        self.prompt: list[int] = body["prompt"]
        self.max_tokens: int = body["max_tokens"]
        self.handle: Any = None
        self.num_sent = 0
        self.is_cancelled = False
        self._transport = transport

    def send(self, ids: list[int]) -> None:
        """Write one event at once."""
        self.num_sent += len(ids)
        event = json.dumps({"choices": [{"text": "", "token_ids": ids}]})
        self._transport.write(f"data: {event}\n\n".encode())

    def finish(self) -> None:
        """Write the end and close."""
        self._transport.write(b"data: [DONE]\n\n")
        self._transport.close()


class Engine:
    """Steps while there is work."""

    def __init__(self, path: str, options: dict[str, Any]) -> None:
        scheduler = genai.SchedulerConfig()
        for name, value in options.get("scheduler", {}).items():
            setattr(scheduler, name, value)
        self._lookup: dict[str, int] = options.get("prompt_lookup", {})
        properties = dict(options.get("properties", {}))
        if self._lookup:
            properties["prompt_lookup"] = True
        self._pipeline = genai.ContinuousBatchingPipeline(path, scheduler, "CPU", properties)
        self._new: list[Request] = []
        self._active: list[Request] = []
        self._wake = asyncio.Event()
        self._ids = itertools.count()

    def submit(self, request: Request) -> None:
        """Take part from the next step on."""
        self._new.append(request)
        self._wake.set()

    async def run(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(0)
            if not (self._new or self._active):
                self._wake.clear()
                await self._wake.wait()
            self._start()
            self._cancel()
            if self._pipeline.has_non_finished_requests():
                self._pipeline.step()
            self._active = [request for request in self._active if self._pass_on(request)]

    def _start(self) -> None:
        for request in self._new:
            if request.is_cancelled:
                continue
            config = genai.GenerationConfig()
            config.max_new_tokens = request.max_tokens
            config.ignore_eos = True
            config.do_sample = False
            for name, value in self._lookup.items():
                setattr(config, name, value)
            ids = openvino.Tensor(np.array([request.prompt], dtype=np.int64))
            request.handle = self._pipeline.add_request(next(self._ids), ids, config)
            self._active.append(request)
        self._new.clear()

    def _cancel(self) -> None:
        for request in self._active:
            if request.is_cancelled:
                request.handle.cancel()
        self._active = [request for request in self._active if not request.is_cancelled]

    def _pass_on(self, request: Request) -> bool:
        """Send what is new; is there more to come?"""
        is_running = request.handle.get_status() == genai.GenerationStatus.RUNNING
        while request.handle.can_read():
            for output in request.handle.read().values():
                request.send(list(output.generated_ids))
        if is_running and request.num_sent < request.max_tokens:
            return True
        request.finish()
        return False


class Connection(asyncio.Protocol):
    """One connection, one request; a peer that leaves cancels it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._received = b""
        self._request: Request | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found or self._request:
            return
        if head.startswith(b"GET"):
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            self._transport.close()
        elif len(body) >= content_length(head):
            self._request = Request(json.loads(body), self._transport)
            self._transport.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
            )
            self._engine.submit(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._request:
            self._request.is_cancelled = True


def content_length(head: bytes) -> int:
    """The length that these headers announce."""
    for line in head.decode().split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            return int(value)
    return 0


async def serve(path: str, port: int, options: dict[str, Any]) -> None:
    """Load, then listen on 127.0.0.1 for ever."""
    engine = Engine(path, options)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(engine), "127.0.0.1", port, backlog=512)
    async with server:
        await engine.run()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])))
