"""Stand-ins that tests of every stage share: `from tests.fakes import FakeGenerator`.

They keep the contracts of the real things and are free of torch, threads, sleeping and randomness.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

import msgspec

from paceline.core.errors import EmptyPromptError, UnknownModelError
from paceline.generate.types import (
    GenerateParams,
    ModelInfo,
    PromptParts,
    TextChunk,
    TokenDetail,
)


class FakeClock:
    """A clock that moves only when told to."""

    def __init__(self, *, now_ms: float = 0.0) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> float:
        """Milliseconds since an arbitrary start."""
        return self._now_ms

    def advance(self, *, ms: float) -> None:
        """Let `ms` milliseconds pass."""
        assert ms >= 0, "time does not run backwards"
        self._now_ms += ms


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """What one `FakeGenerator.stream` was asked."""

    parts: PromptParts
    params: GenerateParams
    model_id: str


class FakeGenerator:
    """A TextGenerator that answers every prompt with the same scripted pieces, one token each.

    It obeys `max_tokens`, `stop`, `stop_when` and `num_top_logprobs` as the Protocol says: text from a
    stop string on is never returned, not even the part of it that ends an earlier piece. A token's k-th
    alternative is `alt{k}`. What asks for time or for a choice among ids is only recorded.
    """

    def __init__(
        self, pieces: Sequence[str] = ("return", " 1", "\n"), *, models: Sequence[str] = ("fake",)
    ) -> None:
        self.pieces = tuple(pieces)
        self.calls: list[Call] = []
        self.num_cancelled = 0
        """Streams that their reader closed before the last chunk."""
        self._models = tuple(ModelInfo(model_id=name, context_tokens=1024) for name in models)

    @property
    def models(self) -> tuple[ModelInfo, ...]:
        """One ModelInfo for each name given; the first is the default."""
        return self._models

    async def stream(
        self, parts: PromptParts, params: GenerateParams, *, model_id: str | None = None
    ) -> AsyncGenerator[TextChunk, None]:
        """Stream the script. Records the call once the first chunk is asked for."""
        known = tuple(info.model_id for info in self._models)
        chosen = known[0] if model_id is None else model_id
        if chosen not in known:
            raise UnknownModelError(model_id=chosen, known=known)
        if not (parts.prefix or parts.suffix or parts.prompt_ids):
            raise EmptyPromptError
        self.calls.append(Call(parts=parts, params=params, model_id=chosen))
        chunks = self._chunks(parts, params)
        for index, chunk in enumerate(chunks):
            try:
                yield chunk
            except GeneratorExit:
                self.num_cancelled += index < len(chunks) - 1
                raise

    def _chunks(self, parts: PromptParts, params: GenerateParams) -> list[TextChunk]:
        pieces = self.pieces[: params.max_tokens]
        text = "".join(pieces)
        cuts = [cut for stop in params.stop if stop and (cut := text.find(stop)) >= 0]
        end = min(cuts, default=len(text))
        is_stopped = bool(cuts) or len(pieces) == len(self.pieces)
        chunks: list[TextChunk] = []
        start = 0
        for piece in pieces:
            if start < end:
                detail = _detail(piece, params.num_top_logprobs)
                chunks.append(
                    TextChunk(text=piece[: end - start], num_tokens=1, logprob=-0.5, tokens=detail)
                )
            start += len(piece)
            if params.stop_when is not None and params.stop_when(text[: min(start, end)]):
                is_stopped = True
                break
        num_ids = len(parts.prompt_ids or ())
        last = TextChunk(
            text="",
            prompt_tokens=num_ids or len(f"{parts.prefix}{parts.suffix or ''}".encode()),
            finish_reason="stop" if is_stopped else "length",
        )
        return [*chunks, last]


def _detail(piece: str, num_top_logprobs: int | None) -> tuple[TokenDetail, ...]:
    if num_top_logprobs is None:
        return ()
    alternatives = tuple((f"alt{k}", -1.0 - k) for k in range(1, num_top_logprobs + 1))
    return (TokenDetail(piece, -0.5, alternatives),)


class ByteTokenizer:
    """One id per UTF-8 byte (0 to 255), then one per special token, in the order first asked for."""

    def __init__(self, specials: Sequence[str] = ()) -> None:
        self._specials = list(specials)

    @property
    def vocab_size(self) -> int:
        """256 bytes and the special tokens so far."""
        return 256 + len(self._specials)

    def encode(self, text: str) -> list[int]:
        """Ids of `text`; never a special id. `decode(encode(text)) == text`."""
        return list(text.encode())

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text."""
        return [self.encode(text) for text in texts]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids`; special ids are written out. Invalid UTF-8 becomes U+FFFD."""
        raw = (bytes([i]) if i < 256 else self._specials[i - 256].encode() for i in ids)
        return b"".join(raw).decode(errors="replace")

    def special_id(self, name: str) -> int:
        """The id of a special token; a new name gets the next id."""
        if name not in self._specials:
            self._specials.append(name)
        return 256 + self._specials.index(name)
