"""The simulated user who sees ghost text: notices it or not, reads it, and does what saves most time.

    shown ──notice_ms without a key──> read until it is wrong or ends ──> the cheapest of:
        type on | accept all (and delete a wrong end) | accept its beginning by lines and words

1. Who types on before `notice_ms` have passed has not seen it: `typed_through` if it goes on as they
   do, else `ignored`. Neither costs anything.
2. Reading costs `read_char_ms` a character, indentation not counted, and `read_line_ms` for each line
   after the first. Reading ends at the end of the word in which the text turns wrong. Text that was
   read before, at an earlier key, is not read again.
3. They know what they want, so they see at once what is right: the longest common beginning of ghost
   text and truth. White space at the end of the ghost text is never wrong.
4. Accepting costs `accept_key_ms`; a wrong end is then deleted by lines and words, `delete_key_ms` each.
   Brackets that are doubled or swallowed behind the cursor cost one key each. Accepting a part costs
   `partial_key_ms` for each line and word. Only ends are repaired, never the middle: that is the
   definition of correctability here.
5. They accept if that is quicker than typing the same characters, at `key_ms` each, by
   `min_saved_ms` or more; a line break with its indentation is one key.

No draw is made: same arguments, same reaction. All times are virtual.

What is measured and what is ours is said at each field. A check, not an input: developers spend 22.4 %
of a session verifying suggestions (CUPS, Mozannar et al. 2022, arXiv:2210.14306, 21 developers). Readers
who know what they want are those in "acceleration" of Barke, James and Polikarpova 2023 (OOPSLA, 20
participants); "exploration", where people read to find out what they want, is not modelled.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

import msgspec

from paceline.core.errors import ConfigError
from paceline.traces.moments import Moment

ReactionKind = Literal["accepted", "partially_accepted", "typed_through", "rejected", "ignored"]
"""typed_through: they go on typing, and it agrees so far; rejected: read, and they type something else."""

WORD_STEP = re.compile(r"\s*(?:\w+|[^\w\s]+)")
"""What "accept word" takes: white space and a name, number or run of punctuation."""
LINE_STEP = re.compile(r"[^\n]*\n\s*")
"""What "accept line" takes: the rest of the line, the break, the next line's indentation."""


class UserConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What things cost one user."""

    notice_ms: float = 240.0
    """From ghost text on screen to knowing that it is there. Card, Moran and Newell 1983, Model Human
    Processor: 100 (see) + 70 (think) + 70 (move) for a simple reaction."""
    read_char_ms: float = 42.0
    """Brysbaert 2019 (Journal of Memory and Language 109): 238 words a minute of silent reading, at 6
    characters a word. Prose; that code reads alike is our guess."""
    read_line_ms: float = 250.0
    """To find the next line and see where it belongs: about one fixation (Rayner 1998); our guess."""
    key_ms: float = 238.7
    """Typing one character. Dhakal et al. 2018, mean of 168,000 people."""
    accept_key_ms: float = 238.7
    """One key, as any other."""
    partial_key_ms: float = 477.4
    """One accepted word or line: a chord of two keys; our guess."""
    delete_key_ms: float = 477.4
    """One deleted word or line: a chord of two keys; our guess."""
    min_saved_ms: float = 300.0
    """Below that nobody takes their mind off typing; our guess."""
    has_partial_accept: bool = True
    """Can their editor accept a word or a line?"""

    def __post_init__(self) -> None:
        times = (self.notice_ms, self.read_char_ms, self.read_line_ms, self.min_saved_ms)
        keys = (self.key_ms, self.accept_key_ms, self.partial_key_ms, self.delete_key_ms)
        if min(*times, *keys) < 0:
            raise ConfigError("Times of a user must not be negative.")


USERS = {
    "typical": UserConfig(),
    "hasty": UserConfig(notice_ms=150.0, read_char_ms=20.0, read_line_ms=100.0, min_saved_ms=0.0),
    "careful": UserConfig(
        notice_ms=500.0, read_char_ms=84.0, read_line_ms=500.0, min_saved_ms=600.0
    ),
    "quick typist": UserConfig(key_ms=127.1, accept_key_ms=127.1),
    "whole only": UserConfig(has_partial_accept=False),
}
"""For sweeps. The quick typist is one standard deviation above the mean speed (238.7 - 111.6 ms)."""


class GhostText(NamedTuple):
    """What is on screen."""

    text: str
    num_replaced_chars: int = 0
    """Characters after the cursor that go when it is accepted."""
    num_read_chars: int = 0
    """How much of it the user has read already, at an earlier key."""


class Reaction(msgspec.Struct, frozen=True, kw_only=True):
    """What the user did, and what it was worth."""

    kind: ReactionKind
    num_accepted_chars: int = 0
    """Of the ghost text, put into the document."""
    num_kept_chars: int = 0
    """Of those, right: the document is then `moment.after(num_kept_chars)`, wrong ends deleted."""
    num_read_chars: int = 0
    """How much of the ghost text they know now; pass it on while this ghost text stays."""
    cost_ms: float = 0.0
    """Spent reading."""
    saved_ms: float = 0.0
    """Typing that was spared, less the keys for accepting and deleting. Reading is not taken off."""

    @property
    def net_ms(self) -> float:
        """What the ghost text was worth in all."""
        return self.saved_ms - self.cost_ms


class _Choice(NamedTuple):
    saved_ms: float
    kind: ReactionKind
    num_accepted_chars: int = 0
    num_kept_chars: int = 0


def react(
    moment: Moment,
    ghost: GhostText,
    shown_at_ms: float,
    next_at_ms: float | None,
    config: UserConfig = UserConfig(),
) -> Reaction:
    """Return what the user does about `ghost`, shown at this moment.

    Args:
        shown_at_ms: when it appeared; earlier than the moment if it has stayed on screen.
        next_at_ms: when their next key would come without it; None: no key comes.
    """
    num_right = num_right_chars(moment, ghost)
    agrees = bool(num_right)
    typed_on: ReactionKind = "typed_through" if agrees else "ignored"
    is_noticed = next_at_ms is None or next_at_ms - shown_at_ms >= config.notice_ms
    if not ghost.text or not is_noticed:
        return Reaction(kind=typed_on, num_read_chars=ghost.num_read_chars)
    num_read = max(_end_of_word(ghost.text, num_right), ghost.num_read_chars)
    cost_ms = _reading_ms(ghost.text, ghost.num_read_chars, num_read, config)
    stay = _Choice(0.0, "typed_through" if agrees else "rejected")
    ways = [_accept_all(moment, ghost, num_right, config)]
    if config.has_partial_accept:
        ways.append(_accept_part(moment, ghost, num_right, config))
    best = max(ways, key=lambda way: way.saved_ms)
    if best.num_kept_chars == 0 or best.saved_ms < config.min_saved_ms:
        best = stay
    return Reaction(
        kind=best.kind,
        num_accepted_chars=best.num_accepted_chars,
        num_kept_chars=best.num_kept_chars,
        num_read_chars=num_read,
        cost_ms=cost_ms,
        saved_ms=best.saved_ms,
    )


def num_right_chars(moment: Moment, ghost: GhostText) -> int:
    """Length of the beginning that ghost text and truth share, as it appears in the document."""
    shorter = min(len(ghost.text), len(moment.truth))
    pairs = enumerate(zip(ghost.text, moment.truth, strict=False))
    return next((at for at, (shown, wanted) in pairs if shown != wanted), shorter)


def num_keys(text: str) -> int:
    """Keys that it takes to type `text`: a line break brings its indentation."""
    lines = text.split("\n")
    return len(lines) - 1 + len(lines[0]) + sum(len(line.lstrip(" \t")) for line in lines[1:])


def num_steps(text: str) -> int:
    """Lines and words in which `text` is accepted or deleted."""
    return _steps(text, len(text))[1]


def _accept_all(moment: Moment, ghost: GhostText, num_right: int, config: UserConfig) -> _Choice:
    wrong = ghost.text[num_right:]
    num_repairs = num_steps(wrong) if wrong.strip() else 0
    num_repairs += abs(moment.num_replaced_chars(num_right) - ghost.num_replaced_chars)
    saved_ms = num_keys(moment.truth[:num_right]) * config.key_ms
    saved_ms -= config.accept_key_ms + num_repairs * config.delete_key_ms
    return _Choice(saved_ms, "accepted", len(ghost.text), num_right)


def _accept_part(moment: Moment, ghost: GhostText, num_right: int, config: UserConfig) -> _Choice:
    num_chars, steps = _steps(ghost.text, num_right)
    saved_ms = num_keys(moment.truth[:num_chars]) * config.key_ms - steps * config.partial_key_ms
    return _Choice(saved_ms, "partially_accepted", num_chars, num_chars)


def _steps(text: str, end: int) -> tuple[int, int]:
    """How far lines and then words reach without passing `end`, and how many they are."""
    at = num = 0
    for step in (LINE_STEP, WORD_STEP):
        while (found := step.match(text, at)) and found.end() <= end:
            at, num = found.end(), num + 1
    return at, num


def _end_of_word(text: str, at: int) -> int:
    """Where the word around `at` ends."""
    found = WORD_STEP.match(text, at)
    return found.end() if found else len(text)


def _reading_ms(text: str, start: int, end: int, config: UserConfig) -> float:
    """Time to read this part of the text."""
    lines = text[start:end].split("\n")
    num_chars = sum(len(line.strip()) for line in lines)
    return num_chars * config.read_char_ms + (len(lines) - 1) * config.read_line_ms
