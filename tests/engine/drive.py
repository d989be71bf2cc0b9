"""Runs scheduler, runner and sampler step by step on the test's own thread: no races, no waiting."""

from __future__ import annotations

from paceline.engine.config import EngineConfig
from paceline.engine.runner import Runner
from paceline.engine.sampler import pick
from paceline.engine.scheduler import Chunk, Scheduler
from paceline.engine.sequence import FinishReason, SamplingParams, Sequence
from paceline.model.decoder import CausalLm


class Recorder:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.is_cancel_requested = False
        self.tokens: list[tuple[int, float]] = []
        self.reasons: list[FinishReason] = []
        self.error: Exception | None = None

    def on_token(self, token_id: int, logprob: float) -> None:
        assert not self.reasons, "a token after the end"
        self.tokens.append((token_id, logprob))

    def on_finish(self, reason: FinishReason, error: Exception | None) -> None:
        self.reasons.append(reason)
        self.error = error

    @property
    def ids(self) -> list[int]:
        return [token_id for token_id, _ in self.tokens]


class Drive:
    """What TokenEngine does in its thread, one call a step, with the invariants checked after each."""

    def __init__(self, model: CausalLm, config: EngineConfig) -> None:
        self.runner = Runner(model, config)
        self.scheduler = Scheduler(
            num_slots=config.max_sequences,
            max_prefill_tokens=config.max_prefill_tokens,
            context_tokens=model.config.context_tokens,
        )
        self.steps: list[list[Chunk]] = []

    def add(
        self, prompt_ids: list[int], params: SamplingParams, *, targets: tuple[int, ...] = ()
    ) -> Recorder:
        recorder = Recorder()
        ids = [*prompt_ids, *targets[:-1]]
        sequence = Sequence(len(ids), ids, params, recorder, targets=targets)
        self.scheduler.add(sequence)
        return recorder

    def step(self) -> None:
        self.scheduler.drop_cancelled()
        chunks = self.scheduler.plan()
        if chunks:
            logits_RV = self.runner.forward([chunk.rows for chunk in chunks])
            for chunk, picked in zip(chunks, pick(chunks, logits_RV), strict=True):
                self.scheduler.commit(chunk, picked)
        self.steps.append(chunks)
        self.scheduler.check()

    def run(self) -> None:
        """Step until nothing is left."""
        while self.scheduler.has_work:
            self.step()
