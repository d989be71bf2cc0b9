"""A model that takes no time: it writes what the author wrote, or in every second answer something else that fits.

Then as many keystrokes are answered from the cache, and as many anew, as with a model that is right half the time. Text
goes on beyond what is wanted, as models do, and is read and stopped as an engine does it: rules are asked at every token.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from paceline.generate.types import GenerateParams, ModelInfo, PromptParts, TextChunk

PIECE_CHARS = 4
"""Of one token; code has 3 to 4 characters a token."""
LOGPROB = -0.05
"""A model that is sure of itself: then nothing is cut for being unlikely, and the rules see all of it."""
TAIL_CHARS = 80
WRONG = "result = self.compute(value, limit=10)\n"


class ScriptedModel:
    """A TextGenerator for one user."""

    def __init__(self) -> None:
        self.num_calls = 0
        self._tail, self._future = "", ""

    @property
    def models(self) -> tuple[ModelInfo, ...]:
        """One, of every language."""
        return (ModelInfo(model_id="scripted", context_tokens=2_048),)

    def expect(self, prefix: str, future: str) -> None:
        """From now on `future` is what comes after `prefix`."""
        self._tail, self._future = prefix[-TAIL_CHARS:], future

    async def stream(
        self, parts: PromptParts, params: GenerateParams, *, model_id: str | None = None
    ) -> AsyncGenerator[TextChunk, None]:
        """Write the future, token by token."""
        self.num_calls += 1
        text = self._text_after(parts.prefix)
        end = 0
        for _ in range(params.max_tokens):
            if end >= len(text):
                break
            piece = text[end : end + PIECE_CHARS]
            end += len(piece)
            yield TextChunk(
                text=piece, num_tokens=1, logprob=LOGPROB, marks=((len(piece), LOGPROB),)
            )
            if params.stop_when is not None and params.stop_when(text[:end]):
                break
        is_ended = end >= len(text) or end < params.max_tokens * PIECE_CHARS
        yield TextChunk(text="", prompt_tokens=800, finish_reason="stop" if is_ended else "length")

    def _text_after(self, prefix: str) -> str:
        at = prefix.rfind(self._tail)
        typed = prefix[at + len(self._tail) :] if at >= 0 else ""
        is_known = at >= 0 and self._future.startswith(typed)
        if not is_known or self.num_calls % 2:
            return WRONG + self._future[:200]
        return self._future[len(typed) :][: 1_000 + PIECE_CHARS]
