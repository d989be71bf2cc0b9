"""What the LSP server asks: a running server over HTTP, or a brain in its own process."""

from __future__ import annotations

from typing import Protocol

from paceline.artifacts.events import Event
from paceline.complete.wire import WireCompletion, WireRequest


class Completer(Protocol):
    """Anything that answers completion requests."""

    @property
    def is_local(self) -> bool:
        """Does it run on this machine, so that it may know absolute paths?"""
        ...

    async def complete(self, request: WireRequest) -> WireCompletion:
        """Answer. Cancelling the task that waits ends the work within one step.

        Raises:
            PacelineError: it cannot be reached, or refuses; the message is for the user.
        """
        ...

    def record(self, event: Event) -> None:
        """Say what became of a completion. Never waits and never raises."""
        ...

    async def flush(self) -> None:
        """Wait a short while for events that are on their way."""
        ...
