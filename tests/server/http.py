"""A client of the whole HTTP app around a scripted generator."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

from fastapi.testclient import TestClient

from paceline.complete.config import CompleteConfig
from paceline.complete.service import Service
from paceline.generate.types import TextGenerator
from paceline.server.app import create_app


class Reply(Protocol):
    """A response of whichever HTTP library the test client is built on."""

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def text(self) -> str: ...

    def json(self) -> Any: ...


QUIET = CompleteConfig(is_prefetching=False)
"""Nothing is asked ahead, so that a scripted generator hears what was posted and no more."""


def client_of(generator: TextGenerator, config: CompleteConfig = QUIET) -> TestClient:
    """Requests go through every middleware; a bug in a route is a 500, as it is for users."""
    app = create_app(generator, Service(generator, config))
    return TestClient(app, base_url="http://127.0.0.1:8012", raise_server_exceptions=False)


def events_of(response: Reply) -> list[Any]:
    """The data of each server-sent event; `[DONE]` stays a string."""
    assert response.headers["content-type"].startswith("text/event-stream")
    *blocks, end = response.text.split("\n\n")
    assert end == ""
    assert all(block.startswith("data: ") and "\n" not in block for block in blocks)
    data = [block.removeprefix("data: ") for block in blocks]
    return [text if text == "[DONE]" else json.loads(text) for text in data]


def error_of(response: Reply) -> dict[str, Any]:
    """The error object, after the checks that hold for each."""
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"].endswith(".")
    assert "\n" not in error["message"]
    assert "Traceback" not in response.text
    return error
