"""Where a fill-in-the-middle hole is cut. Pure functions of a text and a random source."""

from __future__ import annotations

import random

from paceline.train.config import DataConfig


def choose_middle(text: str, rng: random.Random, config: DataConfig) -> tuple[int, int]:
    """Return (lo, hi) with 0 <= lo <= hi <= len(text); `text[lo:hi]` is the middle.

    A cut may fall inside a token, so the model learns to finish half-typed words.

    Source: Bavarian et al. 2022, arXiv:2207.14255 §3 (random characters); line middles as in
    Mellum, arXiv:2510.05788. We differ in drawing the rest of one line most often.
    """
    draw = rng.random()
    if draw < config.rest_of_line_share:
        return choose_rest_of_line(text, rng)
    if draw < config.rest_of_line_share + config.lines_share:
        return choose_lines(text, rng, config.max_middle_chars)
    return choose_span(text, rng, config.max_middle_chars)


def choose_rest_of_line(text: str, rng: random.Random) -> tuple[int, int]:
    """From a random character of a line (but not inside its indentation) to the end of that line."""
    lo = rng.randrange(len(text) + 1)
    start = text.rfind("\n", 0, lo) + 1
    end = text.find("\n", lo)
    end = len(text) if end < 0 else end
    line = text[start:end]
    indent = len(line) - len(line.lstrip())
    return max(lo, min(start + indent, end)), end


def choose_lines(text: str, rng: random.Random, max_chars: int) -> tuple[int, int]:
    """One to five whole lines, from after the indentation of the first to the end of the last."""
    lo, end = choose_rest_of_line(text, rng)
    start = text.rfind("\n", 0, lo) + 1
    indent = len(text[start:end]) - len(text[start:end].lstrip())
    lo = min(start + indent, end)
    for _ in range(rng.randrange(5)):
        following = text.find("\n", end + 1)
        if following < 0 or following - lo > max_chars:
            break
        end = following
    return lo, end


def choose_span(text: str, rng: random.Random, max_chars: int) -> tuple[int, int]:
    """Any span of up to `max_chars` characters."""
    lo = rng.randrange(len(text) + 1)
    return lo, min(len(text), lo + rng.randrange(1, max_chars + 1))
