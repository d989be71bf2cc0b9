"""A keystroke becomes ghost text: every part of the brain in its order, each decision on record.

    request ─▶ decline? skip? ─▶ mode ─▶ cache ─▶ debounce ─▶ context ─▶ generate ─▶ steps ─▶ gate ─▶ completion
                    └───────────────────── nothing, with a reason ───────────────────┴────────┘

The same rules that end a completion go down to the generator as its `stop_when`, so that nothing is
computed that would be cut, and the latency limit as its deadline. answering.py runs the stages; here is what
surrounds them: documents, traces, outcomes, and what is asked ahead.

Knows no model, no ids and no HTTP; it asks a TextGenerator. Raises only what the generator raises.
Everything runs on one asyncio loop.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from paceline.complete.answering import Answering
from paceline.complete.ask import Ask, params_of, parts_of
from paceline.complete.attribution import Attributor
from paceline.complete.cache import spot_at
from paceline.complete.config import CompleteConfig
from paceline.complete.failures import contained, report
from paceline.complete.gate import Gate
from paceline.complete.generation import Progress, generate
from paceline.complete.modes import Mode, Trigger
from paceline.complete.outcome import InferredOutcome, OutcomeKind
from paceline.complete.prefetch import after_accept, should_prefetch, window_of
from paceline.complete.request import CompleteRequest, Completion, owner_of
from paceline.complete.scene import Scene
from paceline.complete.session import BEFORE_CHARS, Documents, DocumentState, Last
from paceline.complete.trace import Stopwatch, TraceStore, user_key_of
from paceline.complete.warm_up import warm_up
from paceline.core.errors import EmptyPromptError, PacelineError
from paceline.core.types import Cursor
from paceline.generate.types import PromptParts, TextGenerator
from paceline.hygiene.paths import plain_path
from paceline.syntax.languages import language_of
from paceline.syntax.tree import TreeCache

MAX_JOIN_S = 0.2
"""So long the user waits for what is being asked ahead, which others may keep waiting: as long as Copilot waits
for a request that agrees (facts/clients.md section 2.1)."""

__all__ = ["CompleteRequest", "Completion", "Service", "monotonic_ms"]


def monotonic_ms() -> float:
    """Milliseconds since an arbitrary start."""
    return time.perf_counter() * 1000


class Service:
    """Answers completion requests with one generator."""

    def __init__(
        self,
        generator: TextGenerator,
        config: CompleteConfig | None = None,
        *,
        gate: Gate | None = None,
        attributor: Attributor | None = None,
        now_ms: Callable[[], float] = monotonic_ms,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        on_inferred: Callable[[InferredOutcome], None] | None = None,
    ) -> None:
        """
        Args:
            gate: how likely completions are kept; None loads the shipped weights.
            attributor: matches completions with known code; None matches nothing.
            sleep: waits so many seconds; a replay only says that they passed.
            on_inferred: is told each outcome that a later request's text shows, before that is answered; it must
                return at once.
        """
        self.config = config or CompleteConfig()
        self.on_inferred = on_inferred
        self.traces = TraceStore(self.config.max_traces)
        self._generator, self._now_ms = generator, now_ms
        self._documents = Documents(self.config.max_documents)
        self._trees = TreeCache()
        self._answering = Answering(
            generator,
            self.config,
            gate=gate or Gate.load(),
            attributor=attributor,
            now_ms=now_ms,
            sleep=sleep,
        )

    def warm_up(self) -> None:
        """Do now what would else make the first keystroke wait: rules read their tables, grammars are loaded."""
        models = self._generator.models
        is_any = not all(model.languages for model in models)
        warm_up(() if is_any else {name for model in models for name in model.languages})

    async def complete(self, request: CompleteRequest) -> Completion:
        """Return the completion at the request's cursor.

        Cancelling the task that waits for it cancels the engine's work too.

        Raises:
            EmptyPromptError: the document is empty.
            UnknownModelError: no model of that name is served.
        """
        if not request.cursor.document.text:
            raise EmptyPromptError
        self._answering.check_model(request.model_id)
        ask = self._open(request)
        state = ask.state
        state.newest_request_id = ask.trace.request_id
        with contained(ask.trace, "observe"):
            ask.pace = state.observe(
                request.cursor, self._pressed_ms(request), may_be_ahead=request.may_be_ahead
            )
        self._note_inferred(ask)
        completion = await self._answer(ask)
        if state.newest_request_id == ask.trace.request_id:  # else the user is elsewhere by now
            with contained(ask.trace, "ahead"):
                self._follow_up(ask, completion)
        return completion

    async def warm(self, request: CompleteRequest) -> Completion:
        """Compute the prompt of `request` and keep nothing but the cache; the completion is empty.

        It supersedes nothing, and runs in the batch lane: nobody who types waits for it. A document
        without text, but with snippets, warms these. Nothing at all, or a file that is off limits, is
        answered without work.

        Raises: as `complete`, but not EmptyPromptError.
        """
        started_ms = self._now_ms()
        progress = Progress(finish_reason="length")
        model = self._answering.model(request.model_id)
        mode = request.mode or "single_line"
        snippets = self._answering.warm_snippets(request)
        if snippets is not None and (request.cursor.document.text or snippets):
            params = params_of(request, self.config, mode, model.context_tokens)
            params = replace(params, max_tokens=1, stop=(), session=None, lane="batch")
            parts = parts_of(request, self.config, snippets)
            if not parts.prefix and not parts.suffix:
                parts = replace(parts, prefix="\n")
            progress = await generate(
                self._generator,
                parts,
                params,
                model_id=request.model_id,
                backstop_ms=self.config.backstop_ms,
                now_ms=self._now_ms,
            )
        finished_ms = self._now_ms()
        first_ms = finished_ms if progress.first_text_ms is None else progress.first_text_ms
        return Completion(
            request_id=request.request_id or _new_id(),
            text="",
            drop=None,
            mode=mode,
            model_id=request.model_id or model.model_id,
            num_tokens=progress.num_tokens,
            prompt_tokens=progress.prompt_tokens,
            cached_tokens=progress.cached_tokens,
            finish_reason=progress.finish_reason,
            latency_ms=finished_ms - started_ms,
            ttft_ms=first_ms - started_ms,
            logprob=progress.logprob,
            mean_logprob=progress.mean_logprob,
        )

    def record(self, request_id: str, kind: OutcomeKind, *, num_chars: int = 0) -> bool:
        """Note what became of a completion; False if the request is not known (any more).

        An accepted one is followed by asking for the next before the user does. Clients need not call this:
        what became of a completion is also read from the next request's text, a keystroke later.

        Args:
            num_chars: of the text that was accepted, in code points; for partially_accepted.
        """
        is_known = self.traces.add_event(request_id, kind, num_chars)
        state = self._documents.get(self.traces.document_key_of(request_id))
        if state is not None and kind in ("accepted", "partially_accepted", "rejected", "ignored"):
            is_accepted = kind in ("accepted", "partially_accepted")
            state.settle(request_id, is_accepted=is_accepted, is_rejected=kind == "rejected")
            last = state.last
            if kind == "accepted" and last and last.trace.request_id == request_id:
                with contained(last.trace, "ahead"):
                    self._ask_ahead(state, last, 1.0)
        return is_known

    def prompt_parts(self, request: CompleteRequest) -> PromptParts:
        """What the model would get to see with the client's own snippets alone.

        Raises:
            EmptyPromptError: there is no text.
        """
        if not request.cursor.document.text:
            raise EmptyPromptError
        return parts_of(request, self.config, request.snippets)

    async def idle(self) -> None:
        """Wait until nothing is being asked ahead."""
        tasks = [state.prefetch for state in self._documents.all() if state.prefetch is not None]
        await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self) -> None:
        """Cancel what is asked ahead. The generator is the caller's."""
        tasks = [state.prefetch for state in self._documents.all() if state.prefetch is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _answer(self, ask: Ask) -> Completion:
        """Answer, and close the trace, however it ends."""
        trace = ask.trace
        try:
            await self._join_prefetch(ask)
            completion = await self._answering.answer(ask)
        except asyncio.CancelledError:
            trace.outcome = "cancelled"
            raise
        except PacelineError:
            trace.outcome = "error"
            raise
        except Exception as error:
            trace.outcome = "error"
            completion = self._answering.fail(ask, error)
        finally:
            trace.latency_ms, trace.spans = ask.watch.elapsed_ms(), tuple(ask.watch.spans)
        first_ms = ask.first_text_ms
        ttft_ms = trace.latency_ms if first_ms is None else first_ms - ask.watch.started_ms
        return replace(completion, latency_ms=trace.latency_ms, ttft_ms=ttft_ms)

    def _note_inferred(self, ask: Ask) -> None:
        """What this request's text tells of older completions goes to their traces and to who listens."""
        state, owner = ask.state, owner_of(ask.request.user_id)
        inferred, state.inferred = state.inferred, []
        for request_id, kind, num_typed in inferred:
            num_chars = num_typed if kind == "partially_accepted" else 0
            is_own = self.traces.document_key_of(request_id) == state.key
            is_said = self.traces.has_event(request_id, kind)  # by the client itself
            if is_own and not is_said:
                self.traces.add_event(request_id, kind, num_chars)
            if self.on_inferred is not None:
                with contained(ask.trace, "inferred"):
                    self.on_inferred(InferredOutcome(request_id, kind, num_chars, owner))

    def _follow_up(self, ask: Ask, completion: Completion) -> None:
        """Remember what is on screen now, and ask ahead."""
        request, state = ask.request, ask.state
        if completion.text:
            state.show(request.cursor, completion)
        if state.ahead is not None:  # nobody may be there: what comes after it can wait
            state.ahead.trace, ask.trace.is_ahead = ask.trace, True
            return
        kept = replace(request, cursor=window_of(request.cursor))
        asked = ask.asked(completion.model_id)
        state.last = Last(kept, completion, asked, ask.leftovers, ask.pace, ask.trace)
        if ask.is_automatic:
            self._ask_ahead(state, state.last, completion.probability)

    def _open(self, request: CompleteRequest) -> Ask:
        """Start a trace, and gather what is known of the document."""
        user_key = user_key_of(owner_of(request.user_id))
        request_id = request.request_id or _new_id()
        if self.traces.user_key_of(request_id) not in (None, user_key):
            request_id = _new_id()  # else one could speak for the other
        watch = Stopwatch(self._now_ms)
        trace = self.traces.start(request_id, request.trigger, user_key=user_key)
        request = self._with_root(self._with_language(request))
        state = self._documents.state(request)
        document, cursor = request.cursor.document, request.cursor
        language = language_of(document)
        trace.document_key, trace.language = state.key, language.name
        trace.num_document_chars = len(document.text)
        trace.model_id = request.model_id or self._answering.model(None).model_id
        if self.config.is_code_in_traces:
            trace.path = document.path
        with watch.span("read"), contained(trace, "read"):
            state.is_project_known = False
            state.is_project_known = self._answering.project.update_all(
                (*request.context.open_documents, document), owner_of(request.user_id)
            )
        scene = self._scene(state, request, cursor, request.mode or "single_line", request.trigger)
        return Ask(request, state, scene, trace, watch)

    def _with_language(self, request: CompleteRequest) -> CompleteRequest:
        """A client that names neither path nor language writes what the model knows, if that is one thing."""
        document = request.cursor.document
        languages = self._answering.model(request.model_id).languages
        if document.path or document.language or len(languages) != 1:
            return request
        document = replace(document, language=languages[0])
        return replace(request, cursor=replace(request.cursor, document=document))

    def _with_root(self, request: CompleteRequest) -> CompleteRequest:
        """A client that names no workspace works in the configured one that its document is in, if in any."""
        path = plain_path(request.cursor.document.path)
        if request.context.workspace_root or not path:
            return request
        for root in self.config.workspace_roots:
            if path.startswith(root.rstrip("/") + "/"):
                context = replace(request.context, workspace_root=root)
                return replace(request, context=context)
        return request

    def _pressed_ms(self, request: CompleteRequest) -> float:
        return self._now_ms() if request.pressed_at_ms is None else request.pressed_at_ms

    async def _join_prefetch(self, ask: Ask) -> None:
        """If this very place is being asked ahead, wait for that.

        Where that takes too long, it is asked anew. If another place is, that goes on for as long as the user types what is on screen (Answering.answer ends it).
        """
        state = ask.state
        if not ask.is_prefetch and state.is_asking_ahead and state.prefetch_spot == ask.spot:
            assert state.prefetch is not None
            with ask.watch.span("join"):
                await asyncio.wait((state.prefetch,), timeout=MAX_JOIN_S)

    def _ask_ahead(self, state: DocumentState, last: Last, probability: float | None) -> None:
        """Prepare the answer to what comes if `last` is accepted, where that is likely enough."""
        request, completion = last.request, last.completion
        if not (self.config.is_prefetching and self.config.is_cached and completion.text):
            return
        wish = should_prefetch(
            probability,
            is_finished=completion.finish_reason == "stop",
            mode=completion.mode,
            is_server_busy=self._answering.num_running > state.is_asking_ahead,
        )
        if not wish.is_wanted:
            return
        cursor = after_accept(request.cursor, completion.text, completion.num_replaced_chars)
        spot = spot_at(cursor)
        is_asked = state.is_asking_ahead and state.prefetch_spot == spot
        if is_asked or self._answering.knows(request, last.asked, spot):
            return
        state.drop_prefetch()
        ahead = replace(request, cursor=cursor, trigger="automatic", request_id="")
        state.prefetch_spot = spot
        last.trace.num_prefetched += 1
        state.prefetch = asyncio.get_running_loop().create_task(self._prefetch(state, last, ahead))

    async def _prefetch(self, state: DocumentState, last: Last, request: CompleteRequest) -> None:
        """Answer `request`, which follows `last`, into the cache. Nobody waits, so nobody hears of errors."""
        await asyncio.sleep(0)  # the answer goes out first
        try:
            if self._answering.keep_leftovers(
                last, lambda cursor: self._scene(state, request, cursor)
            ):
                return
            ahead = self._open(request)
            ahead.is_prefetch = ahead.trace.is_ahead = True
            ahead.pace = last.pace
            await self._answer(ahead)
        except PacelineError:
            pass  # its trace tells
        except Exception as error:
            report("prefetch", error)

    def _scene(
        self,
        state: DocumentState,
        request: CompleteRequest,
        cursor: Cursor,
        mode: Mode = "single_line",
        trigger: Trigger = "automatic",
    ) -> Scene:
        document = cursor.document
        language = language_of(document)
        root, owner = request.context.workspace_root, owner_of(request.user_id)
        return Scene(
            cursor,
            mode,
            trigger=trigger,
            project=self._answering.project.seen_from(document, root, owner)
            if state.is_project_known
            else None,
            rejected=state.history.rejected_at(_before(cursor)),
            parse_document=lambda: self._trees.tree(
                state.key, document.text, language, around=cursor.offset
            ),
        )


def _new_id() -> str:
    return f"cmpl-{uuid.uuid4().hex}"


def _before(cursor: Cursor) -> str:
    """The text before a cursor by which its place is recognised."""
    return cursor.document.text[max(cursor.offset - BEFORE_CHARS, 0) : cursor.offset]
