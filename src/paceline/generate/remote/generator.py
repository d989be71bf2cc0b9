"""A server elsewhere as a TextGenerator: requests out, pieces in, and who of a document is still waited for.

    parts ──PromptRenderer──> text ──Dialect──> POST ──> events ──Dialect──> pieces ──StreamAssembler──> chunks

Each stream is read by a task of its own, which ends by itself at a stop, and by others' will when its reader
leaves, its time is up or a newer request of the document comes. Whatever ends it closes its connection at
once: that is the only word of cancellation which all servers understand.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress

from paceline.core.errors import EmptyPromptError, InputError, OverloadedError, UnknownModelError
from paceline.generate.remote.connection import Connection
from paceline.generate.remote.lanes import Lanes
from paceline.generate.remote.stream import RemoteStream
from paceline.generate.remote.types import Dialect, RemoteModel
from paceline.generate.types import GenerateParams, ModelInfo, PromptParts, TextChunk

MIN_PROMPT_TOKENS = 4
"""Three sentinels and one token of text."""
DEFAULT_MAX_RUNNING = 16
MAX_WAITING = 256
"""More could not be answered while anybody waits."""


class RemoteGenerator:
    """Models of one upstream server. Implements TextGenerator; belongs to one asyncio loop."""

    def __init__(
        self,
        connection: Connection,
        dialect: Dialect,
        models: Sequence[RemoteModel],
        *,
        device_line: str = "",
        max_running: int = DEFAULT_MAX_RUNNING,
    ) -> None:
        self._connection, self._dialect = connection, dialect
        self._models = {model.model_id: model for model in models}
        self._lanes = Lanes(max_running, MAX_WAITING)
        self._newest: dict[tuple[str, ...], RemoteStream] = {}
        """The stream of each document that is being written."""
        self.device_line = device_line
        """What computes, in words."""

    @property
    def models(self) -> tuple[ModelInfo, ...]:
        """What is known of each; languages are not."""
        return tuple(
            ModelInfo(
                model_id=model.model_id,
                context_tokens=model.context_tokens,
                created_at_s=model.created_at_s,
            )
            for model in self._models.values()
        )

    async def stream(
        self, parts: PromptParts, params: GenerateParams, *, model_id: str | None = None
    ) -> AsyncGenerator[TextChunk, None]:
        """Continue `parts`; see TextGenerator. Closing the generator closes the upstream's connection.

        Raises, at the first `__anext__`: EmptyPromptError, PromptTooLongError, UnknownModelError,
        InputError, UpstreamError (unreachable, or it answers nonsense), OverloadedError (it is busy, or too
        many wait for it).
        """
        model = self._find(model_id)
        stream = RemoteStream(
            self._connection,
            self._dialect,
            model,
            parts,
            params,
            max_prompt_tokens=_budget(model, parts, params),
        )
        key = _session_key(model.model_id, params)
        if key and (older := self._newest.get(key)) is not None:
            older.end("superseded")
        if key:
            self._newest[key] = stream
        try:
            stream.start(self._lanes)
            async for chunk in stream.chunks():
                yield chunk
        finally:
            if self._newest.get(key) is stream:
                del self._newest[key]
            await stream.close()

    async def aclose(self) -> None:
        """Close the connections; streams that are open end with an error."""
        await self._connection.aclose()

    def _find(self, model_id: str | None) -> RemoteModel:
        if model_id is None:
            return next(iter(self._models.values()))
        if model_id not in self._models:
            raise UnknownModelError(model_id=model_id, known=tuple(self._models))
        return self._models[model_id]


async def try_out(generator: RemoteGenerator) -> None:
    """Ask for one token, in a loop of its own; whether it is any good does not matter.

    Raises:
        UpstreamError: it does not work; later it would not either.
    """
    parts = PromptParts(prefix="x = ", suffix="\n")
    params = GenerateParams(max_tokens=1)
    try:
        with suppress(OverloadedError):
            async with aclosing(generator.stream(parts, params)) as stream:
                async for _ in stream:
                    pass
    finally:
        await generator.aclose()


def _budget(model: RemoteModel, parts: PromptParts, params: GenerateParams) -> int | None:
    """Tokens that the prompt may have; None if nothing of it may be cut.

    Raises:
        EmptyPromptError, InputError: that cannot be asked.
    """
    if not parts.prefix and not parts.suffix and parts.prompt_ids is None:
        raise EmptyPromptError
    if params.max_tokens < 1:
        raise InputError(f"max_tokens must be at least 1, not {params.max_tokens}.")
    room = model.context_tokens - params.max_tokens - 1
    if room < MIN_PROMPT_TOKENS:
        raise InputError(
            f"max_tokens is {params.max_tokens}, which leaves no room for a prompt in the context "
            f"window of {model.context_tokens} tokens; lower max_tokens."
        )
    if not parts.is_truncatable:
        return None
    budget = room if params.max_prompt_tokens is None else min(room, params.max_prompt_tokens)
    if budget < MIN_PROMPT_TOKENS:
        raise InputError(f"max_prompt_tokens must be at least {MIN_PROMPT_TOKENS}.")
    return budget


def _session_key(model_id: str, params: GenerateParams) -> tuple[str, ...]:
    """A session is one user's, whatever others call theirs; empty without one."""
    session = params.session
    if session is None:
        return ()
    return (model_id, params.user_id, session.session_id, session.document_id)
