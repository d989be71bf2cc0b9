"""A client of the whole app behind its doors."""

from __future__ import annotations

from typing import Any

from fastapi.testclient import TestClient

from paceline.complete.service import Service
from paceline.server.app import create_app
from paceline.server.auth.authority import Authority
from paceline.server.config import ServerConfig
from tests.fakes import FakeGenerator
from tests.server.http import QUIET


def client_with(
    authority: Authority | None, generator: FakeGenerator | None = None, **config: Any
) -> TestClient:
    """A client of the whole app behind its doors."""
    generator = generator or FakeGenerator()
    app = create_app(
        generator,
        Service(generator, QUIET),
        config=ServerConfig(**config),
        authority=authority,
    )
    return TestClient(app, base_url="http://127.0.0.1:8012", raise_server_exceptions=False)
