"""What every dialect is handed: one value, so that a new dialect is one file and one line in app.py."""

from __future__ import annotations

from typing import NamedTuple

from paceline.complete.service import Service
from paceline.generate.types import TextGenerator
from paceline.server.config import ServerConfig
from paceline.server.events import Events


class ServerContext(NamedTuple):
    """The parts behind the routes."""

    generator: TextGenerator
    """Raw model output, for protocols that promise it."""
    service: Service
    """The completion brain, for protocols that show ghost text."""
    events: Events
    config: ServerConfig
