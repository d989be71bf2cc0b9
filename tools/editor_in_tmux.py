"""A terminal program under remote control: keys in, screen out. Needs tmux; has its own, nobody else's.

with Terminal(["vim", "a.py"], folder=folder) as vim:
    vim.type("ix = ")
    vim.wait_for(lambda screen: "x = " in screen, "the typed text")
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

WAIT_S = 60.0
"""Longest wait for a state of the screen; both cores may be busy."""
POLL_S = 0.05


class Terminal:
    """One program in one tmux session."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        env: Mapping[str, str] | None = None,
        columns: int = 78,
        rows: int = 18,
    ) -> None:
        self._own = tempfile.TemporaryDirectory(prefix="tmux")
        self._socket = str(Path(self._own.name) / "socket")
        set_env = [
            part for name, value in (env or {}).items() for part in ("-e", f"{name}={value}")
        ]
        size = ["-x", str(columns), "-y", str(rows)]
        start = ["new-session", "-d", *size, "-c", str(folder), *set_env]
        keep = ["set-option", "-g", "remain-on-exit", "on"]  # so that its last words can be read
        self._tmux("-f", "/dev/null", "start-server", ";", *keep, ";", *start, "--", *command)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the program and its tmux."""
        if error is not None:
            error.add_note(f"The screen was:\n{self.screen()}")
        self._tmux("kill-server")
        self._own.cleanup()

    def type(self, text: str) -> None:
        """Press the keys of `text`."""
        self._tmux("send-keys", "-l", "--", text)

    def press(self, *keys: str) -> None:
        """Press keys by tmux' names: Tab, Escape, Enter, C-a."""
        self._tmux("send-keys", *keys)

    def screen(self) -> str:
        """What is seen, one line per row, without trailing spaces; its last one, once the program ended."""
        lines = self._ask("capture-pane", "-p").split("\n")
        return "\n".join(line.rstrip() for line in lines).rstrip("\n")

    def picture(self) -> str:
        """The screen with `|` before the cursor: what stands after it in its line is ghost text or suffix."""
        place = self._ask("display-message", "-p", "#{cursor_x} #{cursor_y}")
        column, row = (int(number) for number in place.split())
        lines = self.screen().split("\n")
        lines += [""] * (row + 1 - len(lines))
        lines[row] = f"{lines[row][:column]:<{column}}|{lines[row][column:]}"
        return "\n".join(lines)

    def wait_for(self, is_seen: Callable[[str], bool], what: str) -> str:
        """Return the screen once `is_seen` is true of it.

        Raises:
            TimeoutError: that did not happen in WAIT_S.
        """
        deadline_s = time.monotonic() + WAIT_S
        while True:
            screen = self.screen()
            if is_seen(screen):
                return screen
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"Waited {WAIT_S:.0f} s in vain for {what}.")
            time.sleep(POLL_S)

    def _ask(self, *args: str) -> str:
        command = ["tmux", "-S", self._socket, *args]
        result = subprocess.run(command, capture_output=True, text=True, check=False, env=_env())
        return result.stdout

    def _tmux(self, *args: str) -> None:
        subprocess.run(["tmux", "-S", self._socket, *args], check=True, env=_env())


def _env() -> dict[str, str]:
    """This process' own, but for a terminal that every machine knows, and no tmux around."""
    kept = {name: value for name, value in os.environ.items() if name != "TMUX"}
    return kept | {"TERM": "xterm-256color", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
