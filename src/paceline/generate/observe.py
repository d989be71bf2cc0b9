"""What a generator may offer beside text: figures and a trace of its work. Numbers only, never a prompt."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Observed(Protocol):
    """A generator that counts what it does. The server asks with `isinstance`; it needs nothing else."""

    def metrics_text(self) -> str:
        """Figures since the start, in Prometheus' text format; each family once, over all models.

        Callable from any thread.
        """
        ...

    def trace(self, seconds: float) -> dict[str, Any]:
        """The last `seconds` of work in Chrome's trace format: JSON with the list `traceEvents`.

        Callable from any thread; it may take a second.
        """
        ...
