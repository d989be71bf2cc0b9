"""Serves the playground: one page and the files beside it, read once from the package.

Knows nothing of models: the page itself asks the server's `/infill` and `/v1/models`.
The script is built from `clients/playground`; the built file is in git, so serving needs no Node.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files
from pathlib import PurePosixPath

import msgspec
from fastapi import APIRouter, HTTPException, Request, Response

CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}

HEADERS = {
    # 'unsafe-inline' is for style sheets alone: CodeMirror adds its rules to the page as it starts.
    "Content-Security-Policy": (
        "default-src 'self'; style-src 'self' 'unsafe-inline'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Always ask again; the answer is a short 304 until the package changes.
    "Cache-Control": "no-cache",
}


class StaticFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file as it is sent."""

    content: bytes
    content_type: str
    etag: str
    """Quoted, as the header holds it; a hash of the content."""


def read_static_files() -> dict[str, StaticFile]:
    """Read the files of the package's `static` folder, by name. Folders in it are not served."""
    found: dict[str, StaticFile] = {}
    for entry in files("paceline.server.playground").joinpath("static").iterdir():
        if not entry.is_file():
            continue
        content = entry.read_bytes()
        found[entry.name] = StaticFile(
            content=content,
            content_type=CONTENT_TYPES[PurePosixPath(entry.name).suffix],
            etag=f'"{hashlib.sha256(content).hexdigest()[:32]}"',
        )
    return found


def is_unchanged(if_none_match: str, etag: str) -> bool:
    """Whether the browser's `If-None-Match` header names `etag` (RFC 9110, section 13.1.2)."""
    known = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in known or "*" in known


def respond(request: Request, file: StaticFile) -> Response:
    """Send `file`, or 304 if the browser has it already."""
    headers = {**HEADERS, "ETag": file.etag}
    if is_unchanged(request.headers.get("If-None-Match", ""), file.etag):
        return Response(status_code=304, headers=headers)
    return Response(content=file.content, media_type=file.content_type, headers=headers)


def create_playground_router() -> APIRouter:
    """Return the routes `/` and `/static/{name}`.

    Only files read here can be served, by exact name, so no request can reach another path.
    An unknown name raises `HTTPException` 404; its `detail` is a sentence for the user.
    """
    static_files = read_static_files()
    index = static_files.pop("index.html")
    router = APIRouter(include_in_schema=False)

    async def read_index(request: Request) -> Response:
        return respond(request, index)

    async def read_static(name: str, request: Request) -> Response:
        if name not in static_files:
            raise HTTPException(404, f"The playground has no file named {name!r}.")
        return respond(request, static_files[name])

    router.add_api_route("/", read_index, methods=["GET", "HEAD"])
    router.add_api_route("/static/{name}", read_static, methods=["GET", "HEAD"])
    return router
