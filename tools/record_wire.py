"""Write down what a real client and the server say to each other, as a fixture for tests/wire.

    python tools/record_wire.py http OUT.json --server http://127.0.0.1:8012 --client "llama.vim a1c8e6e, Vim 9.0"
    python tools/record_wire.py stdio OUT.json --client "Neovim 0.12" -- paceline lsp

`http` prints the address of a proxy on loopback and writes OUT.json when it is interrupted. `stdio` is to be
started by an editor in place of its language server. Tokens, host name, folders and user name are taken out;
type only text of our own while it records.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import getpass
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, cast

import httpx
import uvicorn
from starlette.types import Receive, Scope, Send

HEADERS_OF_INTEREST = (
    "accept",
    "authorization",
    "connect-protocol-version",
    "content-type",
    "user-agent",
    "x-paceline-session",
)
SECRET_NAMES = frozenset(
    {"api_key", "apikey", "authorization", "firebase_id_token", "token", "x-paceline-session"}
)
MACHINE_NAMES = {"processid": 1, "parentprocessid": 1}
"""Fields whose value is taken out whatever it is."""
HOP_BY_HOP = frozenset({"connection", "content-length", "keep-alive", "transfer-encoding"})
NO_LIMIT = httpx.Timeout(None)


class Scrubber:
    """Takes out of JSON what names a person or a machine."""

    def __init__(self, folders: Iterable[Path] = ()) -> None:
        """`folders` are called /home/user/project; where they are in the home folder they must come first."""
        found = [(str(folder), "/home/user/project") for folder in folders]
        found += [(str(Path.home()), "/home/user"), (tempfile.gettempdir(), "/home/user/temporary")]
        self._texts = [(old, new) for old, new in found if len(old) > 1]
        names = {socket.gethostname(), getpass.getuser()} - {"localhost", "user"}
        self._names = re.compile("|".join(rf"\b{re.escape(name)}\b" for name in sorted(names)))

    def scrub(self, value: Any) -> Any:
        """A copy without secrets and names."""
        if isinstance(value, dict):
            return {key: self._field(key, item) for key, item in cast("Any", value).items()}
        if isinstance(value, list):
            return [self.scrub(item) for item in cast("Any", value)]
        if not isinstance(value, str):
            return value
        for old, new in self._texts:
            value = value.replace(old, new)
        return self._names.sub("name", re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:8012", value))

    def _field(self, key: str, value: Any) -> Any:
        name = key.lower()
        if name in SECRET_NAMES and isinstance(value, str):
            return "Bearer secret" if value.startswith("Bearer") else "secret"
        return MACHINE_NAMES[name] if name in MACHINE_NAMES and value else self.scrub(value)


class Recorder:
    """An ASGI app that passes every request on to `server` and keeps both sides."""

    def __init__(self, server: str) -> None:
        self._server = server.rstrip("/")
        self.exchanges: list[dict[str, Any]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "http":
            return
        headers = [(name.decode(), value.decode("latin-1")) for name, value in scope["headers"]]
        path = scope["path"] + (f"?{query.decode()}" if (query := scope["query_string"]) else "")
        body = await _read_body(receive)
        request = {
            "method": scope["method"],
            "path": path,
            "headers": _interesting(headers),
            "body": _as_json(body),
        }
        exchange: dict[str, Any] = {"request": request, "reply": None}
        self.exchanges.append(exchange)
        kept = [(name, value) for name, value in headers if name not in {*HOP_BY_HOP, "host"}]
        async with (
            httpx.AsyncClient(timeout=NO_LIMIT, trust_env=False) as client,
            client.stream(
                scope["method"], self._server + path, headers=kept, content=body
            ) as reply,
        ):
            exchange["reply"] = await _pass_back(reply, send)


async def _read_body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


async def _pass_back(reply: httpx.Response, send: Send) -> dict[str, Any]:
    kept = [(name, value) for name, value in reply.headers.items() if name not in HOP_BY_HOP]
    raw = [(name.encode(), value.encode("latin-1")) for name, value in kept]
    await send({"type": "http.response.start", "status": reply.status_code, "headers": raw})
    parts: list[bytes] = []
    async for part in reply.aiter_raw():
        parts.append(part)
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
    body = _as_json(b"".join(parts))
    return {"status": reply.status_code, "headers": _interesting(kept), "body": body}


def _interesting(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name: value for name, value in headers if name.lower() in HEADERS_OF_INTEREST}


def _as_json(body: bytes) -> Any:
    """The JSON of a body; its text, if it is none."""
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")


def save(path: Path, client: str, key: str, items: list[Any], scrubber: Scrubber) -> None:
    """Write a fixture: who spoke, and what was said."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fixture = {"client": client, key: scrubber.scrub(items)}
    path.write_text(json.dumps(fixture, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


class _Messages:
    """Cuts a byte stream of LSP's base protocol into messages."""

    def __init__(self, sender: str, kept: list[dict[str, Any]]) -> None:
        self._sender, self._kept, self._rest = sender, kept, b""

    def feed(self, data: bytes) -> None:
        """Keep every message that is whole now."""
        self._rest += data
        while (end := self._rest.find(b"\r\n\r\n")) >= 0:
            found = re.search(rb"Content-Length: (\d+)", self._rest[:end], re.IGNORECASE)
            assert found is not None, "a header without Content-Length"
            stop = end + 4 + int(found[1])
            if len(self._rest) < stop:
                return
            message = json.loads(self._rest[end + 4 : stop])
            self._kept.append({"from": self._sender, "message": message})
            self._rest = self._rest[stop:]


def record_stdio(out: Path, client: str, command: list[str], scrubber: Scrubber) -> int:
    """Stand between an editor and its language server; return the server's exit code."""
    kept: list[dict[str, Any]] = []
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert server.stdin is not None
    assert server.stdout is not None
    inward = threading.Thread(
        target=_copy, args=(sys.stdin.buffer, server.stdin, _Messages("client", kept)), daemon=True
    )
    inward.start()
    _copy(server.stdout, sys.stdout.buffer, _Messages("server", kept))
    code = server.wait()
    save(out, client, "messages", kept, scrubber)
    return code


def _copy(source: IO[bytes], target: IO[bytes], messages: _Messages) -> None:
    while data := os.read(source.fileno(), 65_536):
        messages.feed(data)
        target.write(data)
        target.flush()
    target.close()


def record_http(out: Path, client: str, server: str, scrubber: Scrubber) -> None:
    """Be the server until interrupted."""
    recorder = Recorder(server)
    config = uvicorn.Config(recorder, port=0, log_level="warning", lifespan="off", ws="none")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))
    save(out, client, "exchanges", recorder.exchanges, scrubber)


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Record a client and the server.")
    parser.add_argument("kind", choices=["http", "stdio"])
    parser.add_argument("out", type=Path)
    parser.add_argument("--client", required=True, help="name and version, for the fixture")
    parser.add_argument("--server", default="http://127.0.0.1:8012", help="for http")
    parser.add_argument("--folder", type=Path, action="append", default=[], help="to be scrubbed")
    options, command = sys.argv[1:], list[str]()
    if "--" in options:  # argparse takes no list of words after options
        at = options.index("--")
        options, command = options[:at], options[at + 1 :]
    arguments = parser.parse_args(options)
    scrubber = Scrubber(arguments.folder)
    if arguments.kind == "stdio":
        return record_stdio(arguments.out, arguments.client, command, scrubber)
    record_http(arguments.out, arguments.client, arguments.server, scrubber)
    return 0


if __name__ == "__main__":
    sys.exit(main())
