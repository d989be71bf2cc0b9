"""Types edits of a document as a person at an editor would: the keystrokes of a real change.

    for each edit, top to bottom:  jump ─> take away what goes ─> type what comes

While an edit is typed, the document is

    text before + typed text [+ excess indentation] | characters that the editor closed + text after

Those characters are a part of the typed text's own future (`_Typing.closed` holds their offsets in it),
so passing them later keeps the two consistent: the text at the end is the one asked for, always.
Where an editor would close a bracket that the real text does not close within the same edit, ours
does not: people take such closers away at once.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import msgspec

from paceline.core.errors import ConfigError
from paceline.core.types import Document
from paceline.traces.editor import Editor, editor_of, leading_space, pairs_of
from paceline.traces.edits import Edit
from paceline.traces.hand import Hand
from paceline.traces.rhythm import RhythmConfig
from paceline.traces.types import Trace

MAX_BACKSPACED_CHARS = 8
"""Longer text is selected and deleted by one key; ours."""
MIN_COPIED_LINES = 3
"""Text of so many lines that the document already has elsewhere is pasted; ours."""


class RetypeConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How edits are typed."""

    burst_weights: tuple[float, ...] = (0.8, 0.15, 0.05)
    """Odds of 1, 2, ... characters in one change: keys rolled over."""
    mistake_share: float = 0.06
    """Share of changes that are typed wrong first and taken back (Dhakal et al. 2018: 6 %)."""
    auto_close_share: float = 0.5
    """Share of traces whose editor closes brackets and quotes; 1 is all."""
    has_auto_indent: bool = True
    """Enter brings the indentation that the editor guesses; else the indentation that is wanted."""
    rhythm: RhythmConfig = RhythmConfig()

    def __post_init__(self) -> None:
        if not self.burst_weights or min(self.burst_weights) < 0 or not sum(self.burst_weights):
            raise ConfigError("burst_weights needs odds of which one is above 0.")
        if not 0 <= self.mistake_share < 1:
            raise ConfigError("mistake_share must be at least 0 and below 1.")
        if not 0 <= self.auto_close_share <= 1:
            raise ConfigError("auto_close_share must be from 0 to 1.")


def type_edits(
    document: Document, edits: Sequence[Edit], seed: int, config: RetypeConfig = RetypeConfig()
) -> Trace:
    """Return the keystrokes that make `edits` (in order of offset) of `document`, top to bottom.

    `final_text(trace) == apply_edits(document.text, edits)`. Same arguments, same trace.
    """
    rng = random.Random(f"{seed}:{document.path}")
    has_auto_close = rng.random() < config.auto_close_share
    editor = editor_of(document.path, document.text, has_auto_close=has_auto_close)
    hand = Hand(config.rhythm, config.mistake_share, rng)
    text, num_grown = document.text, 0
    for edit in edits:
        offset = edit.offset + num_grown
        end = offset + len(edit.deleted)
        if not edit.inserted.strip() or _is_copied(edit, document.text):
            hand.jump(offset)
            _replace_at_once(hand, edit, offset)
        else:
            _take_away(hand, edit, offset)
            around = (text[text.rfind("\n", 0, offset) + 1 : offset], text[end : end + 1])
            _Typing(edit.inserted, offset, around, editor, config, rng, hand).run()
        text = text[:offset] + edit.inserted + text[end:]
        num_grown += len(edit.inserted) - len(edit.deleted)
    return Trace(document=document, keystrokes=tuple(hand.keystrokes))


def _is_copied(edit: Edit, text: str) -> bool:
    """Was it moved or copied within the document?"""
    return edit.inserted.count("\n") >= MIN_COPIED_LINES - 1 and edit.inserted.strip() in text


def _replace_at_once(hand: Hand, edit: Edit, offset: int) -> None:
    """Delete, paste or indent a selection with one key."""
    hand.press(
        "paste" if edit.inserted else "delete",
        offset,
        before=" ",
        after="x",
        inserted=edit.inserted,
        num_deleted_chars=len(edit.deleted),
    )


def _take_away(hand: Hand, edit: Edit, offset: int) -> None:
    """Go to the edit and delete what it replaces."""
    num_chars = len(edit.deleted)
    if num_chars <= MAX_BACKSPACED_CHARS and "\n" not in edit.deleted:
        hand.jump(offset + num_chars)
        for at in reversed(range(offset, offset + num_chars)):
            hand.press("backspace", at, before=" ", after="x", num_deleted_chars=1)
    else:
        hand.jump(offset)
        hand.press("delete", offset, before=" ", after="x", num_deleted_chars=num_chars)


class _Typing:
    """Types the text of one edit."""

    def __init__(
        self,
        text: str,
        offset: int,
        around: tuple[str, str],
        editor: Editor,
        config: RetypeConfig,
        rng: random.Random,
        hand: Hand,
    ) -> None:
        """
        Args:
            around: the cursor's line before it, and the character after it or nothing.
        """
        self._text, self._offset = text, offset
        self._line_before, self._after = around
        self._editor, self._config, self._rng, self._hand = editor, config, rng, hand
        self._pairs = pairs_of(text) if editor.has_auto_close else {}
        self._num_typed = 0
        self._excess = ""
        """Indentation before the cursor that the editor added and the text does not have."""
        self._closed: list[int] = []
        """Offsets within the text of what the editor has put after the cursor; ascending."""

    def run(self) -> None:
        """Type all of it."""
        while self._num_typed < len(self._text):
            at = self._num_typed
            is_closed = self._closed[:1] == [at]
            if self._excess and (is_closed or self._text[at] != "\n"):
                self._drop_excess()
            elif is_closed:
                self._type_over()
            elif self._text[at] == "\n":
                self._break_line()
            elif self._is_auto_closed(at):
                self._open()
            else:
                self._type(self._piece())
        if self._excess:
            self._drop_excess()

    @property
    def _cursor(self) -> int:
        return self._offset + self._num_typed

    @property
    def _line(self) -> str:
        """The text before the cursor on its line, without excess."""
        start = self._text.rfind("\n", 0, self._num_typed) + 1
        typed = self._text[start : self._num_typed]
        return typed if start else self._line_before + typed

    def _last(self) -> str:
        return self._text[self._num_typed - 1] if self._num_typed else self._line_before[-1:] or " "

    def _drop_excess(self) -> None:
        num_chars, self._excess = len(self._excess), ""
        self._hand.press(
            "backspace", self._cursor, before=" ", after="x", num_deleted_chars=num_chars
        )

    def _type_over(self) -> None:
        """Pass a closer, or the line break and indentation before one."""
        size = 1
        if self._text[self._num_typed] == "\n":
            size += len(leading_space(self._text[self._num_typed + 1 :]))
        passed = self._text[self._num_typed : self._num_typed + size]
        self._hand.press(
            "typeover",
            self._cursor,
            before=self._last(),
            after=passed[0],
            inserted=passed,
            num_deleted_chars=size,
        )
        del self._closed[:size]
        self._num_typed += size

    def _break_line(self) -> None:
        """Press Enter. The indentation is the editor's guess; what it lacks or has too much follows."""
        line = self._line
        given = wanted = leading_space(self._text[self._num_typed + 1 :])
        if self._config.has_auto_indent:
            given = self._editor.indent_after(line + self._excess)
        closer = self._closer_line(leading_space(line))
        self._hand.press(
            "newline",
            self._cursor,
            before=self._last(),
            after="\n",
            inserted="\n" + given + closer,
            num_deleted_chars=len(self._excess),
            num_chars_after=len(closer),
        )
        if closer:
            self._closed[:0] = range(self._closed[0] - len(closer), self._closed[0])
        common = _num_common(given, wanted)
        self._num_typed += 1 + common
        self._excess = given[common:]
        self._hand.think()

    def _closer_line(self, own: str) -> str:
        """What Enter puts between the cursor and a closer right after it, if the text has just that."""
        at = self._num_typed
        if not self._closed or not at or self._pairs.get(at - 1) != self._closed[0]:
            return ""
        expected = "\n" + own
        start = self._closed[0] - len(expected)
        return expected if start > at and self._text.startswith(expected, start) else ""

    def _is_auto_closed(self, at: int) -> bool:
        """Does the editor add a closer when the character at `at` is typed next?"""
        if at not in self._pairs:
            return False
        after = self._text[self._closed[0]] if self._closed else self._after
        before = self._text[at - 1] if at else self._line_before[-1:]
        return self._editor.closes(self._text[at], before, after)

    def _open(self) -> None:
        at = self._num_typed
        closer = self._pairs[at]
        self._hand.press(
            "insert",
            self._cursor,
            before=self._last(),
            after=self._text[at],
            inserted=self._text[at] + self._text[closer],
            num_chars_after=1,
        )
        self._closed.insert(0, closer)
        self._num_typed += 1

    def _piece(self) -> str:
        """What the next keys put in at once: a level of indentation, or some characters."""
        at = self._num_typed
        space = leading_space(self._text[at:])
        if space and not self._line.strip():
            return space
        weights = self._config.burst_weights
        burst = self._rng.choices(range(1, len(weights) + 1), weights)[0]
        size = 1
        while size < burst and not self._is_stop(at + size):
            size += 1
        return self._text[at : at + size]

    def _is_stop(self, at: int) -> bool:
        if at >= len(self._text) or self._text[at] == "\n" or self._closed[:1] == [at]:
            return True
        return self._is_auto_closed(at)

    def _type(self, piece: str) -> None:
        if any(map(str.isalnum, piece)):
            self._hand.insert(piece, self._cursor, self._last())
        else:
            self._hand.press(
                "insert", self._cursor, before=self._last(), after=piece[0], inserted=piece
            )
        self._num_typed += len(piece)


def _num_common(left: str, right: str) -> int:
    """How many characters both begin with."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((at for at, (one, other) in pairs if one != other), min(len(left), len(right)))
