"""Tokens to the chunks of a text stream: counts, log-probabilities and text kept together."""

from __future__ import annotations

from collections.abc import Sequence

from paceline.fleet.detokenise import Detokeniser, StopCutter
from paceline.generate.types import FinishReason, TextChunk


class ChunkAssembler:
    """Makes TextChunks of one stream. Tokens whose text is not certain yet count with later text."""

    def __init__(
        self,
        detokeniser: Detokeniser,
        stops: Sequence[str],
        *,
        prompt_tokens: int,
        num_skipped_chars: int = 0,
    ) -> None:
        self._detokeniser = detokeniser
        self._cutter = StopCutter(stops)
        self._prompt_tokens = prompt_tokens
        """Told once, with the first chunk."""
        self._num_skipped_chars = num_skipped_chars
        """Characters at the start of the text that the client has already (a healed word)."""
        self.num_tokens = 0
        """Of the whole stream. Ids that only spell skipped characters count as prompt, not as output."""
        self._num_tokens = 0
        self._logprob = 0.0

    @property
    def is_stopped(self) -> bool:
        """Has a stop string been met? Then only `finish` may follow."""
        return self._cutter.is_stopped

    def add(self, token_id: int | None, logprob: float) -> TextChunk | None:
        """Return a chunk if the token makes text certain. None is a token that is never text."""
        is_prompt = self._num_skipped_chars > 0
        text = self._skip(self._detokeniser.add(token_id)) if token_id is not None else ""
        if is_prompt and not text:
            return None
        self.num_tokens += 1
        self._num_tokens += 1
        self._logprob += logprob
        text = self._cutter.add(text)
        return self._take(text, None) if text else None

    def finish(self, reason: FinishReason) -> TextChunk:
        """Return the last chunk, with what was held back."""
        text = self._cutter.add(self._skip(self._detokeniser.flush())) + self._cutter.flush()
        return self._take(text, "stop" if self.is_stopped else reason)

    def _skip(self, text: str) -> str:
        count = min(self._num_skipped_chars, len(text))
        self._num_skipped_chars -= count
        return text[count:]

    def _take(self, text: str, reason: FinishReason | None) -> TextChunk:
        chunk = TextChunk(
            text=text,
            num_tokens=self._num_tokens,
            logprob=self._logprob,
            prompt_tokens=self._prompt_tokens,
            finish_reason=reason,
        )
        self._num_tokens, self._logprob, self._prompt_tokens = 0, 0.0, 0
        return chunk
