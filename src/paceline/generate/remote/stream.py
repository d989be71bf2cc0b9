"""One request to the upstream, from its prompt to the last chunk, and everything that may end it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import httpx
from msgspec.structs import replace

from paceline.core.errors import PromptTooLongError, UpstreamError
from paceline.generate.remote.assembly import StreamAssembler
from paceline.generate.remote.connection import READ_TIMEOUT_S, Connection, silent
from paceline.generate.remote.errors import UpstreamRefusedError
from paceline.generate.remote.framing import Framer
from paceline.generate.remote.lanes import Lanes
from paceline.generate.remote.types import Ask, Dialect, RemoteModel, Rendered
from paceline.generate.types import FinishReason, GenerateParams, PromptParts, TextChunk

MAX_SHORTENINGS = 3
SHORTENED_SHARE = 0.7
"""A prompt that the server finds too long was estimated too short; three times this is a third."""


FIGURES_S = 1.0
"""So long may the counts come after the word that the model is done; without them, too, it is."""
DRAIN_S = 0.02
"""The end of an answer comes with its last event; only a connection that was read to the end is used again."""


class RemoteStream:
    """Reads one answer in a task of its own; `chunks` hands it out."""

    def __init__(
        self,
        connection: Connection,
        dialect: Dialect,
        model: RemoteModel,
        parts: PromptParts,
        params: GenerateParams,
        *,
        max_prompt_tokens: int | None,
    ) -> None:
        self._connection, self._dialect, self._model = connection, dialect, model
        params = replace(params, stop=tuple(filter(_can_be_met, params.stop)))
        self._parts, self._params, self._max_prompt_tokens = parts, params, max_prompt_tokens
        self._stops = (
            params.stop if params.is_end_ignored else (*params.stop, *model.renderer.stops)
        )
        self._out: asyncio.Queue[TextChunk | Exception] = asyncio.Queue()
        self._text: StreamAssembler | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline_s: float | None = None
        self._reason: FinishReason | None = None
        """Why it was ended from outside."""

    def start(self, lanes: Lanes) -> None:
        """Begin to wait for a place, then to read; the deadline counts from here."""
        loop = asyncio.get_running_loop()
        if self._params.max_latency_ms is not None:
            self._deadline_s = loop.time() + self._params.max_latency_ms / 1000
            self._timer = loop.call_at(self._deadline_s, self.end, "deadline")
        self._task = loop.create_task(self._work(lanes))
        self._task.add_done_callback(self._end_unstarted)

    def end(self, reason: FinishReason) -> None:
        """Close the upstream's connection; the last chunk says `reason`. Harmless once it is over."""
        if self._task is not None and not self._task.done() and self._reason is None:
            self._reason = reason
            self._task.cancel()

    async def chunks(self) -> AsyncGenerator[TextChunk, None]:
        """The chunks as they come. Raises what reading raised."""
        while True:
            item = await self._out.get()
            if isinstance(item, Exception):
                raise item
            yield item
            if item.finish_reason is not None:
                return

    async def close(self) -> None:
        """Close the upstream's connection, and wait until it is closed."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    async def _work(self, lanes: Lanes) -> None:
        """Read to the end. Whatever happens, the last thing in the queue ends the stream."""
        try:
            async with lanes.turn(self._params.lane):
                reason = await self._read()
        except asyncio.CancelledError:
            self._out.put_nowait(self._last(self._reason or "cancelled"))
            return
        except Exception as error:  # raised again where somebody reads
            self._out.put_nowait(error)
            return
        self._out.put_nowait(self._last(reason))

    def _end_unstarted(self, task: asyncio.Task[None]) -> None:
        """A task that is cancelled before its first step never runs; its reader must not wait."""
        if task.cancelled():
            self._out.put_nowait(self._last(self._reason or "cancelled"))

    def _last(self, reason: FinishReason) -> TextChunk:
        if self._text is None:
            return TextChunk(text="", finish_reason=reason)
        return self._text.finish(reason)

    async def _read(self) -> FinishReason:
        """Ask and read; a prompt that turns out too long is cut shorter and asked again."""
        budget = self._max_prompt_tokens
        for _ in range(MAX_SHORTENINGS):
            try:
                return await self._read_once(budget)
            except UpstreamRefusedError as error:
                if not error.is_too_long:
                    raise
                if budget is None or self._parts.prompt_ids is not None:
                    raise self._too_long(error) from error
                budget = int(budget * SHORTENED_SHARE)
        return await self._read_once(budget)

    def _too_long(self, error: UpstreamRefusedError) -> PromptTooLongError:
        ids = self._parts.prompt_ids
        num_tokens = len(ids) if ids is not None else self._render(None).num_tokens
        return PromptTooLongError(
            prompt_tokens=num_tokens,
            max_tokens=self._params.max_tokens,
            context_tokens=self._model.context_tokens,
        )

    def _render(self, budget: int | None) -> Rendered:
        if self._parts.prompt_ids is not None:
            return Rendered(prompt="", num_tokens=len(self._parts.prompt_ids))
        return self._model.renderer.render(self._parts, budget)

    async def _read_once(self, budget: int | None) -> FinishReason:
        rendered = self._render(budget)
        text = StreamAssembler(
            self._params, self._stops, estimated_prompt_tokens=rendered.num_tokens
        )
        try:
            async with (
                asyncio.timeout(READ_TIMEOUT_S) as patience,
                self._open(self._ask(rendered)) as response,
            ):
                self._text = text
                reason = await self._read_pieces(response, text, patience)
        except TimeoutError as cause:
            if text.model_end is None:
                raise silent() from cause
            reason = text.model_end
        if text.prompt_tokens and self._parts.prompt_ids is None:
            self._model.renderer.learn(rendered, text.prompt_tokens)
        return reason

    async def _read_pieces(
        self, response: httpx.Response, text: StreamAssembler, patience: asyncio.Timeout
    ) -> FinishReason:
        """Read until the server is done, or nothing more is wanted; text lets `patience` begin anew."""
        framer = Framer(self._dialect.framing)
        answer = response.aiter_bytes()
        try:
            async for raw in answer:
                for data in framer.feed(raw):
                    if self._take(data, text, patience):
                        if text.end is None:
                            await _drain(answer)
                        return text.end or text.model_end or "stop"
        except httpx.HTTPError:
            if text.model_end is None:
                raise
        for data in framer.finish():
            if self._take(data, text, patience):
                break
        if text.end is None and text.model_end is None:
            raise UpstreamError("The upstream server ended its answer in the middle.")
        return text.end or text.model_end or "stop"

    def _take(self, data: bytes, text: StreamAssembler, patience: asyncio.Timeout) -> bool:
        """Hand on one event; True if it was the last that is wanted."""
        was_ended = text.model_end is not None
        piece = self._dialect.read(data)
        chunk = text.add(piece)
        if (piece.text or piece.end) and not was_ended:
            wait_s = READ_TIMEOUT_S if text.model_end is None else FIGURES_S
            patience.reschedule(asyncio.get_running_loop().time() + wait_s)
        if chunk is not None:
            self._out.put_nowait(chunk)
        return text.end is not None or piece.is_last

    @asynccontextmanager
    async def _open(self, ask: Ask) -> AsyncGenerator[httpx.Response]:
        """Post; what the server refuses is asked again with less, as long as there is something to leave out."""
        prompt = f"{ask.rendered.prompt}\n{ask.rendered.suffix or ''}"
        refusal: UpstreamRefusedError | None = None
        for call in self._dialect.calls(ask):
            is_open = False
            try:
                async with self._connection.open(call, prompt=prompt) as found:
                    is_open = True
                    self._dialect.settle(call)
                    yield found
                return
            except UpstreamRefusedError as error:
                if is_open or not error.may_be_a_field:
                    raise
                refusal = refusal or error
        assert refusal is not None, "a dialect has at least one call"
        raise refusal from None

    def _ask(self, rendered: Rendered) -> Ask:
        params = self._params
        left_ms = None
        if self._deadline_s is not None:
            left_ms = (self._deadline_s - asyncio.get_running_loop().time()) * 1000
        session = params.session
        parts = (params.user_id, session.session_id, session.document_id) if session else ()
        return Ask(
            model=self._model.upstream_name,
            rendered=rendered,
            params=params,
            prompt_ids=self._parts.prompt_ids,
            session_key="\0".join(parts),
            left_ms=left_ms,
        )


def _can_be_met(stop: str) -> bool:
    """No text holds half of a surrogate pair; no JSON either."""
    return bool(stop) and not any("\ud800" <= character <= "\udfff" for character in stop)


async def _drain(answer: AsyncIterator[bytes]) -> None:
    """Read the end of an answer that holds nothing more."""
    with contextlib.suppress(TimeoutError, httpx.HTTPError):
        async with asyncio.timeout(DRAIN_S):
            async for _ in answer:
                pass
