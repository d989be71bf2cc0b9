"""May the text of a file enter a prompt? Asked for every snippet, whatever source it comes from."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from paceline.hygiene.paths import PathRules, plain_path
from paceline.hygiene.secrets import find_secrets

OUTSIDE = "outside_workspace"


class Admission:
    """The rules for one call; each path is asked once."""

    def __init__(self, rules: PathRules, root: str) -> None:
        self._rules, self._root = rules, root
        self._known: dict[tuple[str, bool], str] = {}

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
        reason = self._rules.reason_against(path, self._root)
        if reason != OUTSIDE or not is_sent:
            return reason
        try:
            target = str(Path(self._root, plain_path(path)).resolve())
        except (OSError, ValueError, RuntimeError):
            target = path
        return self._rules.reason_against(path) or self._rules.reason_against(target)


@lru_cache(maxsize=512)
def has_secret(text: str) -> bool:
    """Does a snippet hold a key or password, whatever its file is called?"""
    return bool(find_secrets(text))
