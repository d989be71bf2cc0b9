"""May the text of a file enter a prompt? Asked for every snippet, whatever source it comes from."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from paceline.hygiene.paths import PathRules, plain_path
from paceline.hygiene.secrets import find_secrets

OUTSIDE = "outside_workspace"
MAX_AGE_S = 1.0
"""So long after an ignore file has changed its old rules may still be in force."""


class Admission:
    """The rules for one workspace. An answer is kept for a moment, since each keystroke asks for the same files."""

    def __init__(
        self, rules: PathRules, root: str, *, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._rules, self.root, self._now_s = rules, root, now_s
        self._known: dict[tuple[str, bool], str] = {}
        self._until_s = 0.0

    def start_call(self) -> None:
        """Forget answers that are too old: an ignore file may have been edited."""
        if self._now_s() >= self._until_s:
            self._known.clear()
            self._until_s = self._now_s() + MAX_AGE_S

    def reason_against(self, path: str, *, is_sent: bool) -> str:
        """Why text of `path` stays out; empty if it may enter.

        Args:
            is_sent: the client sent the text itself. Then the file may lie outside of the workspace (a
                library's source that the user looks at), but neither its name nor that of what it links
                to may be a secret's.
        """
        if not path:
            return ""
        key = (path, is_sent)
        if key not in self._known:
            self._known[key] = self._judge(path, is_sent=is_sent)
        return self._known[key]

    def _judge(self, path: str, *, is_sent: bool) -> str:
        reason = self._rules.reason_against(path, self.root)
        if reason != OUTSIDE or not is_sent:
            return reason
        try:
            target = str(Path(self.root, plain_path(path)).resolve())
        except (OSError, ValueError, RuntimeError):
            target = path
        return self._rules.reason_against(path) or self._rules.reason_against(target)


@lru_cache(maxsize=512)
def has_secret(text: str) -> bool:
    """Does a snippet hold a key or password, whatever its file is called?"""
    return bool(find_secrets(text))
