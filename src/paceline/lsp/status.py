"""What the user is told besides completions: a status, a message where something fails, a log.

A failure is shown once, when it begins; the end of it only in the status. Never code, never a path.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol

Kind = Literal["Normal", "Error", "Inactive"]
"""As in Copilot's server; Inactive: switched off by the user."""


SHOW_AGAIN_MS = 60_000
"""A server that is busy now and then, or restarts, is no reason for a message each time."""


class StatusNote(NamedTuple):
    """The parameters of `didChangeStatus`."""

    busy: bool
    message: str
    kind: Kind


class Display(Protocol):
    """Where it is told."""

    def status(self, note: StatusNote) -> None:
        """For a status line."""
        ...

    def show(self, message: str) -> None:
        """A message that the user sees."""
        ...

    def log(self, message: str) -> None:
        """A line of the client's log."""
        ...


class Status:
    """One editor's status. `is_chatty`: is every change of it sent, busy and idle too?"""

    def __init__(self, display: Display, *, now_ms: Callable[[], float]) -> None:
        self._display, self._now_ms = display, now_ms
        self._num_running = 0
        self._kind: Kind = "Normal"
        self._message = self._topic = ""
        self._shown_ms: dict[str, float] = {}
        """When a failure of a topic was shown."""
        self._sent = StatusNote(False, "", "Normal")
        self.is_chatty = False

    def begin(self) -> None:
        """One more request is being answered."""
        self._num_running += 1
        self._tell()

    def end(self) -> None:
        """One less."""
        self._num_running -= 1
        self._tell()

    def fail(self, message: str, *, topic: str) -> None:
        """Requests fail, for this reason; it is told unless they failed before for one of the same topic.

        It is shown, too, unless one of that topic was within SHOW_AGAIN_MS. Whoever wants no completions hears
        nothing.
        """
        if self._kind == "Inactive":
            return
        is_new = self._kind != "Error" or topic != self._topic
        self._kind, self._message, self._topic = "Error", message, topic
        if is_new:
            now_ms = self._now_ms()
            if now_ms - self._shown_ms.get(topic, -SHOW_AGAIN_MS) >= SHOW_AGAIN_MS:
                self._shown_ms[topic] = now_ms
                self._display.show(message)
            self._display.log(message)
        self._tell()

    def succeed(self) -> None:
        """A request was answered."""
        if self._kind == "Error":
            self._display.log("Completions work again.")
            self._kind, self._message = "Normal", ""
        self._tell()

    def enable(self, is_enabled: bool) -> None:
        """The user wants completions, or none."""
        if is_enabled != (self._kind != "Inactive"):
            self._kind, self._message = ("Normal" if is_enabled else "Inactive"), ""
        self._tell()

    def _tell(self) -> None:
        note = StatusNote(self._num_running > 0, self._message, self._kind)
        if not self.is_chatty:
            note = note._replace(busy=False)
        if note != self._sent:
            self._sent = note
            self._display.status(note)
