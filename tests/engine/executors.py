"""Executors that hold, count or fail steps, around the real one: so that no test depends on time."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence

from torch import Tensor

from paceline.engine.config import EngineConfig
from paceline.engine.engine import StepHook, TokenEngine
from paceline.engine.runner import Runner
from paceline.engine.scheduler import Rows
from paceline.model.decoder import CausalLm
from tests.engine.tiny import tiny_model

CONFIG = EngineConfig(device="cpu", dtype="float32", num_threads=1)


class ScriptedExecutor:
    """Waits in the warm-up until `start` is set; fails the steps numbered in `failing` (from 1)."""

    def __init__(
        self, model: CausalLm, config: EngineConfig = CONFIG, *, failing: Sequence[int] = ()
    ) -> None:
        self._runner = Runner(model, config)
        self._failing = frozenset(failing)
        self.context_tokens = self._runner.context_tokens
        self.vocab_size = self._runner.vocab_size
        self.num_slots = self._runner.num_slots
        self.num_forwards = 0
        self.start = threading.Event()

    def warm_up(self) -> None:
        self._runner.warm_up()
        self.start.wait()

    def forward(self, step: Sequence[Rows]) -> Tensor:
        self.num_forwards += 1
        if self.num_forwards in self._failing:
            raise RuntimeError("injected failure")
        return self._runner.forward(step)


@contextlib.contextmanager
def held_engine(
    executor: ScriptedExecutor | None = None,
    config: EngineConfig = CONFIG,
    *,
    on_step: StepHook | None = None,
) -> Iterator[tuple[TokenEngine, threading.Event]]:
    """Yield an engine that takes no step before the event is set. Its invariants are checked after each."""
    executor = executor or ScriptedExecutor(tiny_model(), config)

    def check_then_hook(sequence_ids: tuple[int, ...]) -> None:
        engine.check()
        if on_step is not None:
            on_step(sequence_ids)

    engine = TokenEngine(executor, config, on_step=check_then_hook)
    try:
        yield engine, executor.start
    finally:
        executor.start.set()
        engine.close()
