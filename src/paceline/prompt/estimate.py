"""How text would be tokenized, and into how many tokens, where the vocabulary is not known."""

from __future__ import annotations

import re

PIECES = re.compile(
    r" ?[A-Za-z]{1,8}| ?[0-9]{1,3}|[ \t]{0,15}[\r\n]{1,4}|[ \t]{1,16}| ?[!-/:-@\[-`{-~]{1,2}|.", re.DOTALL
)  # fmt: skip
"""Every text is the sum of its pieces. Other letters than Latin's count one by one."""

MIN_LEARNED_PIECES = 64
"""Counts of shorter prompts say little."""
FALL = 0.05
"""Weight of a lower count than expected; a higher one counts at once: too long a prompt is refused."""
RATIO_STEPS = 8
"""The estimate moves in eighths, so that the far ends of prompts hold still."""
MARGIN = 1.1
MIN_RATIO, MAX_RATIO = 0.5, 4.0
"""A server that leaves cached tokens out of its counts must not stretch prompts without end."""


class RoughTokenizer:
    """Estimated ids: one for each of `PIECES`. `decode(encode(text)) == text`."""

    def encode(self, text: str) -> list[int]:
        """One id for each piece."""
        return [_id_of(piece) for piece in PIECES.findall(text)]

    def encode_with_starts(self, text: str) -> tuple[list[int], list[int]]:
        """One id for each piece, and where it begins."""
        found = list(PIECES.finditer(text))
        return [_id_of(match[0]) for match in found], [match.start() for match in found]

    def text_of(self, rough_id: int) -> str:
        """The text of one piece."""
        return rough_id.to_bytes((rough_id.bit_length() + 7) // 8, "big")[1:].decode()


def _id_of(piece: str) -> int:
    return int.from_bytes(b"\1" + piece.encode(), "big")


ROUGH = RoughTokenizer()


class TokenEstimate:
    """How many tokens a piece makes with one model; learned from the counts that its server reports."""

    def __init__(self) -> None:
        self._ratio = 1.0
        self._used = 1.0

    @property
    def tokens_per_piece(self) -> float:
        """The estimate that is used: it changes rarely, and in steps."""
        return self._used

    def pieces_within(self, max_tokens: int) -> int:
        """Pieces that make hardly more than `max_tokens` tokens."""
        return int(max_tokens / (self._used * MARGIN))

    def learn(self, num_pieces: int, num_tokens: int) -> None:
        """The server counted `num_tokens` in a prompt of `num_pieces`."""
        if num_pieces < MIN_LEARNED_PIECES or num_tokens < 1:
            return
        seen = min(max(num_tokens / num_pieces, MIN_RATIO), MAX_RATIO)
        weight = 1.0 if seen > self._ratio else FALL
        self._ratio += weight * (seen - self._ratio)
        if self._ratio > self._used or self._used - self._ratio > 2 / RATIO_STEPS:
            self._used = -(-self._ratio * RATIO_STEPS // 1) / RATIO_STEPS
