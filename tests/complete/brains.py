"""One editor and its brain, without a gate and without anything asked ahead."""

from __future__ import annotations

import asyncio

from paceline.complete.confidence import ConfidenceConfig
from paceline.complete.config import CompleteConfig
from paceline.complete.request import CompleteRequest, Completion
from paceline.complete.service import Service
from paceline.generate.types import Session
from tests.complete.cursors import at

SURE = ConfidenceConfig(is_enabled=False)
QUIET = CompleteConfig(is_gated=False, is_prefetching=False, confidence=SURE)
SESSION = Session("editor", "a.py")


def ask(marked: str, **changes: object) -> CompleteRequest:
    return CompleteRequest(cursor=at(marked), session=SESSION, **changes)  # type: ignore[arg-type]


def run(service: Service, *requests: CompleteRequest) -> list[Completion]:
    """Ask one after another, as one user would."""

    async def all_of_them() -> list[Completion]:
        found = [await service.complete(request) for request in requests]
        await service.idle()
        return found

    return asyncio.run(all_of_them())
