"""The token engine: one thread that owns the model and runs steps while there is work.

    any loop or thread                    engine thread
    submit(ids, params) ──queue──┐    ┌─> drop cancelled, plan   (under the lock)
         │                       ├────┤   forward, pick          (no lock: only this thread computes)
    async for token in stream <──┘    └── commit: tokens out     (under the lock)

A step is one forward pass; sequences join and leave between steps. Without work the thread sleeps on
a condition. An error inside a step ends the sequences of that step and nothing else.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import threading
from collections.abc import Callable
from collections.abc import Sequence as Ids

import torch

from paceline.core.errors import EmptyPromptError, InputError, OverloadedError, PromptTooLongError
from paceline.engine.config import EngineConfig
from paceline.engine.errors import EngineClosedError, StepError
from paceline.engine.runner import Executor, Runner
from paceline.engine.sampler import pick
from paceline.engine.scheduler import Chunk, Picked, Scheduler
from paceline.engine.sequence import FinishReason, Guide, Phase, SamplingParams, Sequence
from paceline.engine.stream import ScoreListener, TokenStream
from paceline.engine.threads import free_threads
from paceline.model.decoder import CausalLm

StepHook = Callable[[tuple[int, ...]], None]
"""Called on the engine's thread after each step with the ids of the sequences that were in it."""


class TokenEngine:
    """Ids in, streams of ids out. Every public method may be called from any thread."""

    def __init__(
        self, executor: Executor, config: EngineConfig, *, on_step: StepHook | None = None
    ) -> None:
        self.config = config
        self.context_tokens = executor.context_tokens
        self.num_steps = 0
        """Forward passes since the start, the warm-up not counted."""
        self.on_step = on_step
        self._executor = executor
        self._scheduler = Scheduler(
            num_slots=executor.num_slots,
            max_prefill_tokens=config.max_prefill_tokens,
            context_tokens=executor.context_tokens,
        )
        self._sequence_ids = itertools.count(1)
        self._changed = threading.Condition()
        self._is_closed = False
        self._crash: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="token-engine", daemon=True)
        self._thread.start()

    @classmethod
    def for_model(
        cls, model: CausalLm, config: EngineConfig, *, on_step: StepHook | None = None
    ) -> TokenEngine:
        """An engine that computes with PyTorch."""
        return cls(Runner(model, config), config, on_step=on_step)

    def submit(self, prompt_ids: Ids[int], params: SamplingParams) -> TokenStream:
        """Queue a prompt; call inside a running asyncio loop, to which the stream then belongs.

        Raises:
            EmptyPromptError, PromptTooLongError: nothing, or no room, to continue.
            OverloadedError: `max_queued` sequences wait already.
            EngineClosedError: the engine was closed.
        """
        if len(prompt_ids) >= self.context_tokens:
            raise PromptTooLongError(
                prompt_tokens=len(prompt_ids),
                max_tokens=params.max_tokens,
                context_tokens=self.context_tokens,
            )
        stream = TokenStream(next(self._sequence_ids), asyncio.get_running_loop())
        self._enqueue(Sequence(stream.sequence_id, prompt_ids, params, stream))
        return stream

    def score(
        self, prompt_ids: Ids[int], continuation_ids: Ids[int], guide: Guide | None = None
    ) -> list[float]:
        """Return the log-probability of each id of a given continuation; blocks until it is known.

        With a guide they are those of a decoder that may only draw what the guide allows.
        Takes part in steps like any prompt, so streams go on meanwhile. Not for asyncio code.

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
        with self._changed:
            if self._is_closed:
                raise EngineClosedError from self._crash
            num_queued = len(self._scheduler.waiting) + len(self._scheduler.running)
            if num_queued >= self._executor.num_slots + self.config.max_queued:
                raise OverloadedError(
                    queued=len(self._scheduler.waiting), retry_after_ms=self.config.retry_after_ms
                )
            self._scheduler.add(sequence)
            self._changed.notify_all()

    def _run(self) -> None:
        """The engine's thread."""
        torch.set_num_threads(self.config.num_threads or free_threads())
        try:
            self._executor.warm_up()
            while self._wait_for_work():
                self._step()
        except Exception as cause:  # a defect of the engine itself: nobody may wait for ever
            self._crash = cause
        with self._changed:
            self._is_closed = True
            if self._crash is None:
                self._scheduler.finish_all(FinishReason.CANCELLED)
            else:
                self._scheduler.finish_all(FinishReason.ERROR, StepError(repr(self._crash)))

    def _wait_for_work(self) -> bool:
        """Sleep until there is a sequence; False once the engine is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._scheduler.has_work)
            return not self._is_closed

    def _step(self) -> None:
        with self._changed:
            self._scheduler.drop_cancelled()
            chunks = self._scheduler.plan()
        if not chunks:
            return
        self.num_steps += 1
        try:
            logits_RV = self._executor.forward([chunk.rows for chunk in chunks])
            picked = pick(chunks, logits_RV)
            with self._changed:
                for chunk, chunk_picks in zip(chunks, picked, strict=True):
                    self._commit(chunk, chunk_picks)
        except Exception as error:
            self._fail(chunks, error)
        if self.on_step is not None:
            self.on_step(tuple(chunk.sequence.sequence_id for chunk in chunks))

    def _commit(self, chunk: Chunk, picked: list[Picked]) -> None:
        if all(math.isfinite(p.logprob) for p in picked):
            self._scheduler.commit(chunk, picked)
        else:
            error = StepError("its logits are not numbers; the weights may be damaged")
            self._scheduler.finish(chunk.sequence, FinishReason.ERROR, error)

    def _fail(self, chunks: list[Chunk], cause: Exception) -> None:
        """End the sequences of a failed step. Their slots are reused; stale rows are never read."""
        error = StepError(f"{type(cause).__name__}: {cause}")
        error.__cause__ = cause
        with self._changed:
            for sequence, _ in chunks:
                if sequence.phase is not Phase.FINISHED:
                    self._scheduler.finish(sequence, FinishReason.ERROR, error)

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
