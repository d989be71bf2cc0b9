"""Makes a trace: takes pieces out of a real file and types them in again, as a person would.

    file ──cut_holes──> start text + holes ──type each hole, in random order──> keystrokes

The file is the only source of what is typed, so no model's style enters. Every draw comes from the
seed: same file, same seed, same trace.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator

import msgspec

from paceline.core.errors import ConfigError
from paceline.core.types import Document
from paceline.traces.rhythm import RhythmConfig, Typist
from paceline.traces.types import Keystroke, KeystrokeKind, Trace

KEY_ROWS = ("1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm")
"""A US keyboard: a slip of the finger hits the key beside."""


class TraceConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is typed, and how."""

    num_holes: int = 3
    """Places that are edited, one in each equal part of the file."""
    max_hole_lines: int = 3
    min_hole_chars: int = 12
    burst_weights: tuple[float, ...] = (0.8, 0.15, 0.05)
    """Odds of 1, 2, ... characters in one change: keys rolled over, brackets closed by the editor."""
    mistake_share: float = 0.06
    """Share of changes that are typed wrong first and taken back."""
    rhythm: RhythmConfig = RhythmConfig()

    def __post_init__(self) -> None:
        if min(self.num_holes, self.max_hole_lines, self.min_hole_chars) < 1:
            raise ConfigError("num_holes, max_hole_lines and min_hole_chars must be at least 1.")
        if not self.burst_weights or min(self.burst_weights) < 0 or not sum(self.burst_weights):
            raise ConfigError("burst_weights needs odds of which one is above 0.")
        if not 0 <= self.mistake_share < 1:
            raise ConfigError("mistake_share must be at least 0 and below 1.")


class Hole(msgspec.Struct, frozen=True):
    """Text that is missing at first: `text` at `offset` of the whole file."""

    offset: int
    text: str


def simulate(document: Document, seed: int, config: TraceConfig = TraceConfig()) -> Trace:
    """Return edits that end with the text of `document`.

    Raises:
        ConfigError: the file is too short for `config.num_holes` holes.
    """
    rng = random.Random(f"{seed}:{document.path}")
    holes = cut_holes(document.text, config, rng)
    start = document.text
    for hole in reversed(holes):
        start = start[: hole.offset] + start[hole.offset + len(hole.text) :]
    hand = _Hand(config, rng)
    missing = list(holes)
    for hole in rng.sample(holes, len(holes)):
        num_missing = sum(len(other.text) for other in missing if other.offset < hole.offset)
        hand.fill(hole.text, hole.offset - num_missing)
        missing.remove(hole)
    return Trace(
        document=msgspec.structs.replace(document, text=start), keystrokes=tuple(hand.keystrokes)
    )


def cut_holes(text: str, config: TraceConfig, rng: random.Random) -> list[Hole]:
    """Choose a hole in each equal part of the file, in order of offset; none touches another.

    A hole begins somewhere in a line, after its indentation, and ends at the end of that line or of
    one of the next.
    """
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)
    starts = _line_starts(lines)
    part = len(lines) // config.num_holes
    holes: list[Hole] = []
    for index in range(config.num_holes):
        found = _holes_within(lines, starts, range(index * part, (index + 1) * part), config, rng)
        hole = next(found, None)
        if hole is None:
            raise ConfigError(
                f"Lines {index * part + 1} to {(index + 1) * part} of the file have no room for a hole "
                f"of {config.min_hole_chars} characters; lower num_holes or take a longer file."
            )
        holes.append(hole)
    return holes


def pieces(text: str, weights: tuple[float, ...], rng: random.Random) -> Iterator[str]:
    """Cut `text` into changes: some characters of a line, or a newline with the indentation after it."""
    at = 0
    while at < len(text):
        if text[at] == "\n":
            size = 1 + _indentation(text[at + 1 :])
        else:
            burst = rng.choices(range(1, len(weights) + 1), weights)[0]
            size = len(text[at : at + burst].split("\n", 1)[0])
        yield text[at : at + size]
        at += size


def slip(piece: str, rng: random.Random) -> str:
    """`piece` with every letter and digit replaced by a neighbour on the keyboard."""
    return "".join(_neighbour(character, rng) for character in piece)


class _Hand:
    """Writes keystrokes down as time passes."""

    def __init__(self, config: TraceConfig, rng: random.Random) -> None:
        self.keystrokes: list[Keystroke] = []
        self._config, self._rng = config, rng
        self._typist = Typist(config.rhythm, rng)
        self._now_ms = 0.0

    def fill(self, text: str, offset: int) -> None:
        """Go to `offset` and type `text`."""
        if self.keystrokes:
            self._now_ms += self._typist.jump_pause_ms()
        self._press("jump", offset, before=" ", after="x")
        before = " "
        for piece in pieces(text, self._config.burst_weights, self._rng):
            if piece[0] == "\n":
                self._press("newline", offset, before=before, after="\n", inserted=piece)
                self._now_ms += self._typist.line_pause_ms()
            else:
                self._insert(piece, offset, before)
            before, offset = piece[-1], offset + len(piece)

    def _insert(self, piece: str, offset: int, before: str) -> None:
        """Type `piece`, perhaps wrong at first."""
        if self._rng.random() < self._config.mistake_share:
            wrong = slip(piece, self._rng)
            self._press("mistake", offset, before=before, after=wrong[0], inserted=wrong)
            self._press("backspace", offset, before=" ", after="x", num_deleted_chars=len(wrong))
        for left, right in itertools.pairwise(piece):
            self._now_ms += self._typist.interval_ms(left, right)
        self._press("insert", offset, before=before, after=piece[0], inserted=piece)

    def _press(
        self,
        kind: KeystrokeKind,
        offset: int,
        *,
        before: str,
        after: str,
        inserted: str = "",
        num_deleted_chars: int = 0,
    ) -> None:
        self._now_ms += self._typist.interval_ms(before, after)
        self.keystrokes.append(
            Keystroke(
                at_ms=self._now_ms,
                kind=kind,
                offset=offset,
                num_deleted_chars=num_deleted_chars,
                inserted=inserted,
            )
        )


def _holes_within(
    lines: list[str], starts: list[int], part: range, config: TraceConfig, rng: random.Random
) -> Iterator[Hole]:
    """Holes that start in these lines, in random order; the last line stays whole, so none touch."""
    for line in rng.sample(part, len(part)):
        indentation = _indentation(lines[line])
        width = len(lines[line].rstrip("\n"))
        if indentation >= width or line == part[-1]:
            continue
        last = min(line + rng.randrange(config.max_hole_lines), part[-1] - 1)
        start = starts[line] + rng.randint(indentation, width - 1)
        text = "".join(lines[line : last + 1])[start - starts[line] :].removesuffix("\n")
        if len(text) >= config.min_hole_chars and text.strip():
            yield Hole(start, text)


def _line_starts(lines: list[str]) -> list[int]:
    starts: list[int] = []
    at = 0
    for line in lines:
        starts.append(at)
        at += len(line)
    return starts


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))


def _neighbour(character: str, rng: random.Random) -> str:
    row = next((row for row in KEY_ROWS if character.lower() in row), None)
    if row is None:
        return character
    at = row.index(character.lower())
    other = row[at + 1] if at == 0 or (at + 1 < len(row) and rng.random() < 0.5) else row[at - 1]
    return other.upper() if character.isupper() else other
