"""Pieces of an upstream's answer to the chunks of a text stream: stops, limits, counts and log-probabilities.

What the server was asked to obey is obeyed here once more, since not every server does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Literal

from msgspec.structs import replace

from paceline.generate.remote.types import Piece
from paceline.generate.stops import StopCutter
from paceline.generate.types import FinishReason, GenerateParams, TextChunk, TokenDetail

CAUTION = 0.8
"""Of an estimate of the prompt's length that a later count shall correct: estimates are off by less."""


MAX_SKIPPED_CHARS = 4
"""So many characters at most have no token of their own: each is made of several."""


class StreamAssembler:
    """Makes the TextChunks of one stream. After `end` is set only `finish` may follow."""

    def __init__(
        self, params: GenerateParams, stops: Sequence[str], *, estimated_prompt_tokens: int
    ) -> None:
        self._params = params
        self._cutter = StopCutter(stops)
        self.text = ""
        self.end: Literal["stop", "length"] | None = None
        """Why nothing more is wanted: a stop, or the limit."""
        self.model_end: Literal["stop", "length", "deadline"] | None = None
        """Why the server says that it is done."""
        self.num_tokens = 0
        self.prompt_tokens = 0
        """As the server counts; 0 until it says."""
        self._estimated_prompt_tokens = estimated_prompt_tokens
        self._cached_tokens = 0
        self._kept = ""
        """Text that came with the end, for the last chunk: some readers leave before they see another."""
        self._raw = ""
        """All text, stops included."""
        self._at = 0
        """Where the last token that was placed ends in it."""
        self._unplaced: deque[TokenDetail] = deque()
        self._placed: list[tuple[int, TokenDetail]] = []
        """Tokens that are not told yet, with their ends."""
        self._is_prompt_told = False
        self._num_unreported = 0

    def add(self, piece: Piece) -> TextChunk | None:
        """Take in one piece; return what text it makes certain, if any."""
        self.prompt_tokens = piece.prompt_tokens or self.prompt_tokens
        self._cached_tokens = piece.cached_tokens or self._cached_tokens
        self.model_end = piece.end or self.model_end
        is_text = bool(piece.text or piece.tokens)
        if is_text and self.num_tokens >= self._params.max_tokens:
            self.end = "length"  # the server goes on although it was told where to end
            return None
        self._count(piece)
        self._place(piece)
        shown = self._cutter.add(piece.text)
        self.text += shown
        if self._cutter.is_stopped or (shown and self._is_ended()):
            self.end, self._kept = "stop", shown
            return None
        return self._take(shown, None) if shown else None

    def finish(self, reason: FinishReason) -> TextChunk:
        """The last chunk, with what was held back."""
        rest = "" if self.end == "stop" else self._cutter.flush()
        self.text += rest
        return self._take(self._kept + rest, "stop" if self._cutter.is_stopped else reason)

    def _is_ended(self) -> bool:
        stop_when = self._params.stop_when
        return stop_when is not None and stop_when(self.text)

    def _count(self, piece: Piece) -> None:
        """By tokens if they are told, else by the server's count, else one for each event with text."""
        if piece.tokens:
            count = len(piece.tokens)
        elif piece.completion_tokens is not None:
            count = max(piece.completion_tokens - self.num_tokens, 0)
        else:
            count = 1 if piece.text else 0
        self.num_tokens += count
        self._num_unreported += count

    def _place(self, piece: Piece) -> None:
        """Find where tokens end in the text: by their own texts, since text may come later than its tokens.

        (vLLM holds back as much text as a stop string is long.) A token that is part of a character ends
        before it.
        """
        self._raw += piece.text
        self._unplaced += piece.tokens
        while self._unplaced:
            token = self._unplaced[0]
            if (
                token.text.startswith(self._raw[self._at :])
                and len(token.text) > len(self._raw) - self._at
            ):
                return  # its text has not come yet
            self._unplaced.popleft()
            skips = range(MAX_SKIPPED_CHARS + 1)
            starts = (self._at + skip for skip in skips)
            found = next((at for at in starts if self._raw.startswith(token.text, at)), None)
            if found is not None:
                self._at = found + len(token.text)
            self._placed.append((self._at, token))

    def _take(self, shown: str, reason: FinishReason | None) -> TextChunk:
        """Tokens that end within the text so far, or all that are left, with the text they belong to."""
        end = len(self.text)
        is_last = reason is not None
        if is_last:
            self._placed += ((end, token) for token in self._unplaced)
            self._unplaced.clear()
        told = [(at, token) for at, token in self._placed if is_last or at <= end]
        self._placed = self._placed[len(told) :]
        is_all = not self._placed and not self._unplaced
        num_tokens = self._num_unreported if is_all else len(told)
        self._num_unreported -= num_tokens
        limit = self._params.num_top_logprobs
        return TextChunk(
            text=shown,
            num_tokens=num_tokens,
            logprob=sum(token.logprob for _, token in told),
            prompt_tokens=self._prompt_tokens_to_tell(is_last=is_last),
            cached_tokens=self._cached_tokens if is_last else 0,
            finish_reason=reason,
            tokens=() if limit is None else tuple(_limited(token, limit) for _, token in told),
            marks=tuple((min(max(end - at, 0), len(shown)), token.logprob) for at, token in told),
        )

    def _prompt_tokens_to_tell(self, *, is_last: bool) -> int:
        """With the first chunk, and again with the last if only that one knows better.

        Readers take the most that they hear, and may leave before the server has said: so the first
        says what it probably is at least.
        """
        is_first, self._is_prompt_told = not self._is_prompt_told, True
        if is_last:
            return self.prompt_tokens or self._estimated_prompt_tokens
        if not is_first:
            return 0
        return self.prompt_tokens or int(self._estimated_prompt_tokens * CAUTION)


def _limited(token: TokenDetail, limit: int) -> TokenDetail:
    """With `limit` alternatives. OpenAI's list has the token itself besides, if it is none of the most probable."""
    found = token.alternatives
    if len(found) > limit:
        found = tuple(one for one in found if one[0] != token.text)
    if len(found) < limit:
        found = token.alternatives
    return replace(token, alternatives=found[:limit])
