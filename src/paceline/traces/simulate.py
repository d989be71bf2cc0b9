"""Makes a trace: takes pieces out of a real file and types them in again, as a person would.

    file ──cut_holes──> start text + holes ──type each hole, in random order──> keystrokes

The file is the only source of what is typed, so no model's style enters. Every draw comes from the
seed: same file, same seed, same trace.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

import msgspec

from paceline.core.errors import ConfigError
from paceline.core.types import Document
from paceline.traces.hand import Hand, indentation, pieces
from paceline.traces.rhythm import RhythmConfig
from paceline.traces.types import Trace


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
    hand = Hand(config.rhythm, config.mistake_share, rng)
    missing = list(holes)
    for hole in rng.sample(holes, len(holes)):
        num_missing = sum(len(other.text) for other in missing if other.offset < hole.offset)
        _fill(hand, hole.text, hole.offset - num_missing, config, rng)
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


def _fill(hand: Hand, text: str, offset: int, config: TraceConfig, rng: random.Random) -> None:
    """Go to `offset` and type `text`."""
    hand.jump(offset)
    before = " "
    for piece in pieces(text, config.burst_weights, rng):
        if piece[0] == "\n":
            hand.press("newline", offset, before=before, after="\n", inserted=piece)
            hand.think()
        else:
            hand.insert(piece, offset, before)
        before, offset = piece[-1], offset + len(piece)


def _holes_within(
    lines: list[str], starts: list[int], part: range, config: TraceConfig, rng: random.Random
) -> Iterator[Hole]:
    """Holes that start in these lines, in random order; the last line stays whole, so none touch."""
    for line in rng.sample(part, len(part)):
        indent = indentation(lines[line])
        width = len(lines[line].rstrip("\n"))
        if indent >= width or line == part[-1]:
            continue
        last = min(line + rng.randrange(config.max_hole_lines), part[-1] - 1)
        start = starts[line] + rng.randint(indent, width - 1)
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
