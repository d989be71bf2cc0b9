"""Places and moments in which nothing is asked. Each has a name, which is the drop reason.

Two kinds. `decline`: the brain will not complete here, whoever asks (unless the user insists, where that
can help). `skip`: nobody pressed a key for it, and a completion is hardly ever wanted.
"""

from __future__ import annotations

from collections.abc import Sequence

from paceline.complete.lines import MAX_LINE_CHARS
from paceline.complete.rhythm import Pace
from paceline.complete.scene import Scene
from paceline.core.types import Cursor
from paceline.hygiene.paths import PathRules

BINARY_WINDOW_CHARS = 2_048
OFF_LIMITS = frozenset({"secret_file", "ignored_glob", "git_ignored", "binary"})
"""Reasons against a path for which its text never reaches a model."""


def reason_to_decline(
    scene: Scene,
    rules: PathRules,
    *,
    workspace_root: str,
    trained_languages: Sequence[str],
    is_insisting: bool,
) -> str:
    """Why this document is not completed; empty if it is.

    secret_file, ignored_glob, git_ignored: its path is off limits. binary: it is no text. language: the
    model was not trained on it, and the user neither asked by hand nor insists.
    """
    document = scene.cursor.document
    if document.path:
        reason = rules.reason_against(document.path, workspace_root)
        if reason in OFF_LIMITS:
            return reason
    if _has_nul_near(scene.cursor):
        return "binary"
    is_named = bool(document.path or document.language)
    is_known = scene.language.name in trained_languages or not trained_languages or not is_named
    if not is_known and not is_insisting and scene.trigger == "automatic":
        return "language"
    return ""


def reason_to_skip(scene: Scene, pace: Pace) -> str:
    """Why nothing is asked for an automatic request here and now; empty if it is.

    deleting: the last change only took text away. mid_word: the cursor stands inside a word.
    long_line: the line is data, not code.
    """
    if scene.trigger != "automatic":
        return ""
    if pace.is_deleting:
        return "deleting"
    before, after = scene.line_before[-1:], scene.line_after[:1]
    if _is_word(before) and _is_word(after):
        return "mid_word"
    if len(scene.line_before) + len(scene.line_after) >= MAX_LINE_CHARS:
        return "long_line"
    return ""


def _has_nul_near(cursor: Cursor) -> bool:
    start = max(cursor.offset - BINARY_WINDOW_CHARS, 0)
    return "\0" in cursor.document.text[start : cursor.offset + BINARY_WINDOW_CHARS]


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"
