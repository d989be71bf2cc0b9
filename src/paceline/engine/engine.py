"""The token engine: one thread that owns the model and runs steps while there is work.

    any loop or thread                    engine thread
    submit(ids, params) ──queue──┐    ┌─> purge what nobody wants, plan   (under the lock)
         │                       ├────┤   copy blocks, forward, pick      (no lock: only this thread computes)
    async for token in stream <──┘    └── commit, hand tokens to the loops

A step is one forward pass; sequences join and leave between steps. Without work the thread sleeps on
a condition. An error inside a step ends the sequences of that step and nothing else.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable
from collections.abc import Sequence as Ids
from concurrent.futures import Future

import msgspec

from paceline.core.errors import EmptyPromptError, InputError, PromptTooLongError
from paceline.engine.config import EngineConfig
from paceline.engine.errors import EngineClosedError, StepError
from paceline.engine.lora import LoraAdapter
from paceline.engine.observe.observer import EngineObserver
from paceline.engine.params import FinishReason, Guide, SamplingParams
from paceline.engine.planner import Chunk, StepPlan
from paceline.engine.report import Reporter, StepTimes
from paceline.engine.sampler import Likeliest, Picked, likeliest_ids, pick
from paceline.engine.scheduler import Scheduler
from paceline.engine.sequence import (
    DEFAULT_OPTIONS,
    Lane,
    Phase,
    Sequence,
    SessionKey,
    SubmitOptions,
)
from paceline.engine.speculation import SpeculationPolicy
from paceline.engine.step import Executor
from paceline.engine.stream import Outbox, ScoreListener, TokenStream
from paceline.engine.warmup import measure_row_costs

StepHook = Callable[[tuple[int, ...]], None]
"""Called on the engine's thread after each step with the ids of the sequences that were in it."""

SCORE_OPTIONS = SubmitOptions(lane=Lane.BATCH)


class TokenEngine:
    """Ids in, streams of ids out. Every public method may be called from any thread."""

    def __init__(
        self,
        executor: Executor,
        config: EngineConfig,
        *,
        observer: EngineObserver | None = None,
        on_step: StepHook | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config
        self.now_s = now_s
        """The engine's clock; deadlines are compared with it."""
        self.num_steps = 0
        """Forward passes since the start, the warm-up not counted."""
        self.on_step = on_step
        self.observer = observer
        self.device_line = executor.device_line
        """What computes, in words."""
        self._executor = executor
        self._likeliest: Likeliest = getattr(executor, "likeliest", likeliest_ids)
        self._reporter = Reporter(observer, now_s)
        self._scheduler = Scheduler(
            config.scheduler,
            num_blocks=executor.num_blocks,
            context_tokens=executor.context_tokens,
            policy=SpeculationPolicy(config.speculation),
            listener=self._reporter,
        )
        self._sequence_ids = itertools.count(1)
        self._sessions: dict[SessionKey, Sequence] = {}
        self._adapters: dict[str, int] = {}
        self._adapters_lock = threading.Lock()
        """Held while an adapter is loaded or unloaded, so that no two get the same row."""
        self._calls: list[tuple[Callable[[], None], Future[None]]] = []
        self._outbox = Outbox(config.stream_interval_ms / 1e3)
        self._changed = threading.Condition()
        self._is_closed = False
        self._crash: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="token-engine", daemon=True)
        self._thread.start()

    @property
    def context_tokens(self) -> int:
        """Longest sequence, prompt and output together: the model's window, or the whole KV cache."""
        return self._scheduler.max_tokens

    @property
    def policy(self) -> SpeculationPolicy:
        """What speculation has learnt; for statistics."""
        return self._scheduler.policy

    @property
    def num_waiting_or_running(self) -> int:
        """Sequences that have not ended."""
        with self._changed:
            return len(self._scheduler.waiting) + len(self._scheduler.running)

    @property
    def num_busy_blocks(self) -> int:
        """Blocks of the KV cache that sequences hold; 0 when there are none."""
        with self._changed:
            return self._scheduler.pool.num_busy

    def refuse_if_full(self, options: SubmitOptions) -> None:
        """Raise OverloadedError if `submit` would, now, for want of room in the queue."""
        with self._changed:
            if self._older(options) is None:
                self._reporter.refuse_if_full(options, self._scheduler)

    def _older(self, options: SubmitOptions) -> Sequence | None:
        """The unfinished sequence of the same session, if there is one."""
        older = self._sessions.get(options.session) if options.session else None
        return older if older is not None and older.phase is not Phase.FINISHED else None

    def submit(
        self,
        prompt_ids: Ids[int],
        params: SamplingParams,
        options: SubmitOptions = DEFAULT_OPTIONS,
    ) -> TokenStream:
        """Queue a prompt; call inside a running asyncio loop, to which the stream then belongs.

        An unfinished sequence of the same session is superseded: it is in no step after the next, this
        one starts from all that it has computed, and takes its place in a full queue.

        Raises:
            EmptyPromptError, PromptTooLongError: nothing, or no room, to continue.
            OverloadedError: the queue is full.
            InputError: an id or the adapter does not exist.
            EngineClosedError: the engine was closed.
        """
        if len(prompt_ids) >= self.context_tokens:
            raise PromptTooLongError(
                prompt_tokens=len(prompt_ids),
                max_tokens=params.max_tokens,
                context_tokens=self.context_tokens,
            )
        stream = TokenStream(next(self._sequence_ids), asyncio.get_running_loop(), self._outbox)
        sequence = Sequence(stream.sequence_id, prompt_ids, params, stream, options=options)
        self._enqueue(sequence)
        return stream

    def score(
        self, prompt_ids: Ids[int], continuation_ids: Ids[int], guide: Guide | None = None
    ) -> list[float]:
        """Return the log-probability of each id of a given continuation; blocks until it is known.

        With a guide they are those of a decoder that may only draw what the guide allows.
        Runs in the batch lane, so streams go on undisturbed. Not for asyncio code.

        Raises: as `submit`.
        """
        if not prompt_ids:
            raise EmptyPromptError
        if not continuation_ids:
            return []
        num_tokens = len(prompt_ids) + len(continuation_ids)
        if num_tokens > self.context_tokens:
            raise PromptTooLongError(
                prompt_tokens=len(prompt_ids),
                max_tokens=len(continuation_ids),
                context_tokens=self.context_tokens,
            )
        listener = ScoreListener()
        self._enqueue(
            Sequence(
                next(self._sequence_ids),
                [*prompt_ids, *continuation_ids[:-1]],
                SamplingParams(guide=guide),
                listener,
                options=SCORE_OPTIONS,
                targets=continuation_ids,
            )
        )
        return listener.result.result()

    def _enqueue(self, sequence: Sequence) -> None:
        if not sequence.token_ids:
            raise EmptyPromptError
        ids = [*sequence.token_ids, *sequence.targets[-1:]]
        if not 0 <= min(ids) <= max(ids) < self._executor.vocab_size:
            raise InputError(f"Token ids must lie in 0 .. {self._executor.vocab_size - 1}.")
        options = sequence.options
        with self._changed:
            if self._is_closed:
                raise EngineClosedError from self._crash
            if options.adapter and options.adapter not in self._adapters.values():
                raise InputError(f"Adapter {options.adapter} is not loaded.")
            self._reporter.queue(sequence, self._scheduler, in_place_of=self._older(options))
            if options.session is not None:
                self._sessions[options.session] = sequence
            self._changed.notify_all()

    def extend(self, sequence_id: int, deadline_s: float) -> bool:
        """Let a sequence that answers a newer request too go on until `deadline_s`, if that is later.

        False if it has finished already.
        """
        with self._changed:
            running = self._scheduler.running.get(sequence_id)
            sequence = running or self._scheduler.waiting.get(sequence_id)
            if sequence is None:
                return False
            latest = max(sequence.options.deadline_s, deadline_s)
            sequence.options = msgspec.structs.replace(sequence.options, deadline_s=latest)
            return True

    def load_adapter(self, lora: LoraAdapter) -> int:
        """Add a LoRA adapter between two steps; return what `SubmitOptions.adapter` takes. Blocks.

        An adapter of the same name is replaced, once the new one is known to fit: its sequences are
        cancelled, and what it has in the prefix cache is forgotten.

        Raises:
            AdapterError: it does not fit this model; one of the same name stays.
        """
        with self._adapters_lock:
            used = set(self._adapters.values())
            adapter = next(i for i in itertools.count(1) if i not in used)
            self._call(lambda: self._executor.set_adapter(adapter, lora))
            with self._changed:
                older = self._adapters.get(lora.name)
                self._adapters[lora.name] = adapter
            if older is not None:
                self._call(lambda: self._drop_adapter(older))
            return adapter

    def unload_adapter(self, name: str) -> None:
        """Remove an adapter between two steps; sequences that use it are cancelled. Blocks."""
        with self._adapters_lock:
            with self._changed:
                adapter = self._adapters.pop(name, None)
            if adapter is not None:
                self._call(lambda: self._drop_adapter(adapter))

    def _drop_adapter(self, adapter: int) -> None:
        for sequence in self._scheduler.everyone:
            if sequence.options.adapter == adapter:
                self._scheduler.finish(sequence, FinishReason.CANCELLED)
        self._scheduler.cache.forget(adapter)
        self._executor.set_adapter(adapter, None)

    def _call(self, work: Callable[[], None]) -> None:
        """Run `work` on the engine's thread between two steps; wait for it."""
        done: Future[None] = Future()
        with self._changed:
            if self._is_closed:
                raise EngineClosedError from self._crash
            self._calls.append((work, done))
            self._changed.notify_all()
        done.result()

    def _run(self) -> None:
        """The engine's thread."""
        try:
            self._executor.warm_up()
            if self.config.speculation.is_enabled:
                self.policy.seed_costs(measure_row_costs(self._executor))
            while self._wait_for_work():
                self._step()
        except Exception as cause:  # a defect of the engine itself: nobody may wait for ever
            self._crash = cause
        with self._changed:
            self._is_closed = True
            self._end_all()
            for _, done in self._calls:
                done.set_exception(EngineClosedError())
            self._outbox.flush(self.now_s())

    def _end_all(self) -> None:
        """Tell everyone who waits, even if it is the scheduler that is broken."""
        reason, error = FinishReason.CANCELLED, None
        if self._crash is not None:
            reason, error = FinishReason.ERROR, StepError(repr(self._crash))
        for sequence in self._scheduler.everyone:
            try:
                self._scheduler.finish(sequence, reason, error)
            except Exception:
                if sequence.phase is not Phase.FINISHED:
                    sequence.finish(reason, error)

    def _wait_for_work(self) -> bool:
        """Sleep until there is something to do; False once the engine is closed."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_closed or self._scheduler.has_work or bool(self._calls)
            )
            return not self._is_closed

    def _step(self) -> None:
        times = StepTimes(self.now_s())
        with self._changed:
            self._run_calls()
            self._scheduler.purge(times.started_s)
            self._forget_finished_sessions()
            plan = self._scheduler.plan()
            self._outbox.flush(self.now_s())
        if not plan.chunks:
            return
        times.planned_s = self.now_s()
        self.num_steps += 1
        try:
            self._compute(plan, times)
        except Exception as error:
            self._fail(plan, error)
        if self.on_step is not None:
            self.on_step(tuple(chunk.sequence.sequence_id for chunk in plan.chunks))

    def _run_calls(self) -> None:
        for work, done in self._calls:
            try:
                work()
            except Exception as error:
                done.set_exception(error)
            else:
                done.set_result(None)
        self._calls.clear()

    def _forget_finished_sessions(self) -> None:
        if len(self._sessions) > 2 * self.config.scheduler.max_queued:
            self._sessions = {
                key: sequence
                for key, sequence in self._sessions.items()
                if sequence.phase is not Phase.FINISHED
            }

    def _compute(self, plan: StepPlan, times: StepTimes) -> None:
        """Forward, pick and commit."""
        if plan.copies:
            self._executor.copy_blocks(plan.copies)
        logits_RV = self._executor.forward([chunk.rows for chunk in plan.chunks])
        times.computed_s = self.now_s()
        picked = pick([chunk.draw for chunk in plan.chunks], logits_RV, self._likeliest)
        times.picked_s = self.now_s()
        with self._changed:
            num_new = [self._commit(*pair) for pair in zip(plan.chunks, picked, strict=True)]
            self._outbox.flush(self.now_s())
        num_rows = sum(len(chunk.rows.token_ids) for chunk in plan.chunks)
        self.policy.record_step(num_rows, (times.picked_s - times.planned_s) * 1e3)
        self._reporter.step(self.num_steps, plan, num_new, times, self._scheduler)

    def _commit(self, chunk: Chunk, picked: list[Picked]) -> int:
        failed = next((p for p in picked if p.finish is FinishReason.ERROR), None)
        if failed is None:
            return self._scheduler.commit(chunk, picked)
        cause = failed.error or "its logits are not numbers; the weights may be damaged"
        error = StepError(str(cause))
        error.__cause__ = failed.error
        self._scheduler.finish(chunk.sequence, FinishReason.ERROR, error)
        return 0

    def _fail(self, plan: StepPlan, cause: Exception) -> None:
        """End the sequences of a failed step. Their blocks are reused; stale rows are never read.

        Others that were promised a copied block in it, which may not be there, start over.
        """
        error = StepError(f"{type(cause).__name__}: {cause}")
        error.__cause__ = cause
        copied = {destination for _, destination in plan.copies}
        with self._changed:
            for chunk in plan.chunks:
                if chunk.sequence.phase is not Phase.FINISHED:
                    self._scheduler.finish(chunk.sequence, FinishReason.ERROR, error)
            for sequence in list(self._scheduler.running.values()):
                if copied.intersection(sequence.block_ids):
                    self._scheduler.preempt(sequence, is_kept=False)
            self._outbox.flush(self.now_s())

    def check(self) -> None:
        """Assert the scheduler's invariants. For tests, after any step."""
        with self._changed:
            self._scheduler.check()

    def close(self) -> None:
        """Stop after the current step and join the thread; unfinished sequences end as cancelled."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join()
