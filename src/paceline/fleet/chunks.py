"""Tokens to the chunks of a text stream: counts, log-probabilities and text kept together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from paceline.engine.stream import Token
from paceline.fleet.detokenise import Detokeniser
from paceline.generate.stops import StopCutter
from paceline.generate.types import FinishReason, TextChunk, TokenDetail


class ChunkAssembler:
    """Makes TextChunks of one stream. Tokens whose text is not certain yet count with later text."""

    def __init__(
        self,
        decode: Callable[[Sequence[int]], str],
        stops: Sequence[str],
        *,
        is_text: Callable[[int], bool],
        num_skipped_chars: int = 0,
        is_detailed: bool = False,
    ) -> None:
        self._decode = decode
        self._detokeniser = Detokeniser(decode)
        self._cutter = StopCutter(stops)
        self._is_text = is_text
        self._num_skipped_chars = num_skipped_chars
        """Characters at the start of the text that the client has already (a healed word)."""
        self._is_detailed = is_detailed
        self.num_tokens = 0
        """Of the whole stream. Ids that only spell skipped characters count as prompt, not as output."""
        self._text = ""
        self._num_tokens = 0
        self._logprob = 0.0
        self._details: list[TokenDetail] = []
        self._ends: list[tuple[int, float]] = []
        """Where each token ends in `_text`, and its log-probability."""

    @property
    def is_stopped(self) -> bool:
        """Has a stop string been met? Then only `finish` may follow."""
        return self._cutter.is_stopped

    def add(self, token: Token) -> None:
        """Take in one token; `take` gives the text that it makes certain."""
        is_prompt = self._num_skipped_chars > 0
        is_text = self._is_text(token.token_id)
        text = self._skip(self._detokeniser.add(token.token_id)) if is_text else ""
        if is_prompt and not text:
            return
        self.num_tokens += 1
        self._num_tokens += 1
        self._logprob += token.logprob
        if self._is_detailed:
            self._details.append(self._detail(token, text if is_prompt else None))
        self._text += self._cutter.add(text)
        self._ends.append((len(self._text), token.logprob))

    def _detail(self, token: Token, rest: str | None) -> TokenDetail:
        """`rest` is what is left of a token that began with skipped characters."""
        top = tuple((self._decode([token_id]), logprob) for token_id, logprob in token.top)
        text = self._decode([token.token_id]) if rest is None else rest
        return TokenDetail(text, token.logprob, top)

    def take(self) -> TextChunk | None:
        """Return what is certain since the last call, if there is any text."""
        return self._take(None) if self._text else None

    def finish(self, reason: FinishReason) -> TextChunk:
        """Return the last chunk, with what was held back."""
        self._text += self._cutter.add(self._skip(self._detokeniser.flush()))
        self._text += self._cutter.flush()
        return self._take("stop" if self.is_stopped else reason)

    def _skip(self, text: str) -> str:
        count = min(self._num_skipped_chars, len(text))
        self._num_skipped_chars -= count
        return text[count:]

    def _take(self, reason: FinishReason | None) -> TextChunk:
        chunk = TextChunk(
            text=self._text,
            num_tokens=self._num_tokens,
            logprob=self._logprob,
            finish_reason=reason,
            tokens=tuple(self._details),
            marks=tuple((len(self._text) - end, logprob) for end, logprob in self._ends),
        )
        self._text, self._num_tokens, self._logprob, self._details = "", 0, 0.0, []
        self._ends = []
        return chunk


class TextStop:
    """The engine's stop callback for conditions on text. Called on the engine's thread.

    True as soon as a stop string is complete or `stop_when` says so, for these ids and all longer ones.
    """

    def __init__(
        self,
        decode: Callable[[Sequence[int]], str],
        stops: Sequence[str],
        stop_when: Callable[[str], bool] | None,
        *,
        is_text: Callable[[int], bool],
        num_skipped_chars: int,
    ) -> None:
        self._decode = decode
        self._stops = tuple(stop for stop in stops if stop)
        self._stop_when = stop_when
        self._is_text = is_text
        self._num_skipped_chars = num_skipped_chars
        self._restart()

    def _restart(self) -> None:
        self._detokeniser = Detokeniser(self._decode)
        self._num_ids = 0
        self._text = ""
        self._is_ended = False

    def __call__(self, output_ids: Sequence[int]) -> bool:
        if len(output_ids) < self._num_ids:
            self._restart()
        for token_id in output_ids[self._num_ids :]:
            if self._is_text(token_id):
                self._text += self._detokeniser.add(token_id)
        if len(output_ids) > self._num_ids and not self._is_ended:
            text = self._text[self._num_skipped_chars :]
            self._is_ended = any(stop in text for stop in self._stops) or bool(
                text and self._stop_when is not None and self._stop_when(text)
            )
        self._num_ids = len(output_ids)
        return self._is_ended
