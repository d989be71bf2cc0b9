"""A hand at the keyboard: writes keystrokes down as time passes. Knows nothing of files or edits."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

from paceline.traces.rhythm import RhythmConfig, Typist
from paceline.traces.types import Keystroke, KeystrokeKind

KEY_ROWS = ("1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm")
"""A US keyboard: a slip of the finger hits the key beside."""


class Hand:
    """One person's keys, in order of time. Every draw comes from `rng`."""

    def __init__(self, rhythm: RhythmConfig, mistake_share: float, rng: random.Random) -> None:
        self.keystrokes: list[Keystroke] = []
        self._mistake_share, self._rng = mistake_share, rng
        self._typist = Typist(rhythm, rng)
        self._now_ms = 0.0

    def jump(self, offset: int) -> None:
        """Find the place and put the cursor there."""
        if self.keystrokes:
            self._now_ms += self._typist.jump_pause_ms()
        self.press("jump", offset, before=" ", after="x")

    def insert(self, piece: str, offset: int, before: str) -> None:
        """Type `piece` of one line after the character `before`, perhaps wrong at first."""
        if self._rng.random() < self._mistake_share:
            wrong = slip(piece, self._rng)
            self.press("mistake", offset, before=before, after=wrong[0], inserted=wrong)
            self.press("backspace", offset, before=" ", after="x", num_deleted_chars=len(wrong))
        for left, right in itertools.pairwise(piece):
            self._now_ms += self._typist.interval_ms(left, right)
        self.press("insert", offset, before=before, after=piece[0], inserted=piece)

    def think(self) -> None:
        """Pause before the next line."""
        self._now_ms += self._typist.line_pause_ms()

    def press(
        self,
        kind: KeystrokeKind,
        offset: int,
        *,
        before: str,
        after: str,
        inserted: str = "",
        num_deleted_chars: int = 0,
        num_chars_after: int = 0,
    ) -> None:
        """Press the key of the character `after`, the key of `before` having been the last."""
        self._now_ms += self._typist.interval_ms(before, after)
        self.keystrokes.append(
            Keystroke(
                at_ms=self._now_ms,
                kind=kind,
                offset=offset,
                num_deleted_chars=num_deleted_chars,
                inserted=inserted,
                num_chars_after=num_chars_after,
            )
        )


def pieces(text: str, weights: tuple[float, ...], rng: random.Random) -> Iterator[str]:
    """Cut `text` into changes: some characters of a line, or a newline with the indentation after it."""
    at = 0
    while at < len(text):
        if text[at] == "\n":
            size = 1 + indentation(text[at + 1 :])
        else:
            burst = rng.choices(range(1, len(weights) + 1), weights)[0]
            size = len(text[at : at + burst].split("\n", 1)[0])
        yield text[at : at + size]
        at += size


def slip(piece: str, rng: random.Random) -> str:
    """`piece` with every letter and digit replaced by a neighbour on the keyboard."""
    return "".join(_neighbour(character, rng) for character in piece)


def indentation(line: str) -> int:
    """Number of spaces and tabs that it begins with."""
    return len(line) - len(line.lstrip(" \t"))


def _neighbour(character: str, rng: random.Random) -> str:
    row = next((row for row in KEY_ROWS if character.lower() in row), None)
    if row is None:
        return character
    at = row.index(character.lower())
    other = row[at + 1] if at == 0 or (at + 1 < len(row) and rng.random() < 0.5) else row[at - 1]
    return other.upper() if character.isupper() else other
