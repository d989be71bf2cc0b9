"""Pieces of an upstream's answer to the chunks of a text stream: stops, limits, counts and log-probabilities.

What the server was asked to obey is obeyed here once more, since not every server does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec.structs import replace

from paceline.generate.remote.types import Piece
from paceline.generate.stops import StopCutter
from paceline.generate.types import FinishReason, GenerateParams, TextChunk, TokenDetail


CAUTION = 0.8
"""Of an estimate of the prompt's length that a later count shall correct: estimates are off by less."""


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
        self._num_raw_chars = 0
        self._is_prompt_told = False
        self._ends: list[tuple[int, float]] = []
        """Where each token that is not reported yet ends in the text, and its log-probability."""
        self._details: list[TokenDetail] = []
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
        """Find where each token ends in the text. A token that is part of a character ends with it."""
        at, start = 0, self._num_raw_chars
        for index, token in enumerate(piece.tokens):
            if piece.text.startswith(token.text, at):
                at += len(token.text)
            if index == len(piece.tokens) - 1:
                at = len(piece.text)
            self._ends.append((start + at, token.logprob))
        if self._params.num_top_logprobs is not None:
            limit = self._params.num_top_logprobs
            self._details += (_limited(token, limit) for token in piece.tokens)
        self._num_raw_chars += len(piece.text)

    def _take(self, shown: str, reason: FinishReason | None) -> TextChunk:
        """Tokens that end within the text so far, or all that are left, with the text they belong to."""
        end = len(self.text)
        is_last = reason is not None
        told = [(at, logprob) for at, logprob in self._ends if is_last or at <= end]
        self._ends = self._ends[len(told) :]
        num_tokens = len(told) if self._ends else self._num_unreported
        self._num_unreported -= num_tokens
        details, self._details = (
            (self._details[: len(told)], self._details[len(told) :])
            if told
            else ([], self._details)
        )
        return TextChunk(
            text=shown,
            num_tokens=num_tokens,
            logprob=sum(logprob for _, logprob in told),
            prompt_tokens=self._prompt_tokens_to_tell(is_last=is_last),
            cached_tokens=self._cached_tokens if is_last else 0,
            finish_reason=reason,
            tokens=tuple(details),
            marks=tuple((min(max(end - at, 0), len(shown)), logprob) for at, logprob in told),
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
