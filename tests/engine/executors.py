"""Executors that hold, count or fail steps, around the real one: so that no test depends on time."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence

from torch import Tensor

from paceline.engine.config import EngineConfig, SchedulerConfig
from paceline.engine.eager.runner import TorchRunner
from paceline.engine.engine import StepHook, TokenEngine
from paceline.engine.lora import LoraAdapter
from paceline.engine.observe.observer import EngineObserver
from paceline.engine.speculation import SpeculationConfig
from paceline.engine.step import Rows
from paceline.model.decoder import CausalLm
from tests.engine.tiny import tiny_model

NUM_BLOCKS = 60


def config_with(**scheduler: int) -> EngineConfig:
    """Exact numbers, no speculation (so that steps can be counted), and these limits."""
    return EngineConfig(
        device="cpu",
        dtype="float32",
        num_threads=1,
        scheduler=SchedulerConfig(**scheduler),
        speculation=SpeculationConfig(is_enabled=False),
    )


CONFIG = config_with(max_sequences=8)


class ScriptedExecutor:
    """Waits in the warm-up until `start` is set; fails the steps numbered in `failing` (from 1)."""

    def __init__(
        self,
        model: CausalLm,
        *,
        failing: Sequence[int] = (),
        num_blocks: int = NUM_BLOCKS,
        dtype: str = "float32",
    ) -> None:
        self._runner = TorchRunner(model, num_blocks=num_blocks, device="cpu", dtype=dtype)
        self._failing = frozenset(failing)
        self.context_tokens = self._runner.context_tokens
        self.vocab_size = self._runner.vocab_size
        self.num_blocks = num_blocks
        self.block_bytes = self._runner.block_bytes
        self.weight_bytes = self._runner.weight_bytes
        self.num_threads = 1
        self.device_line = "scripted"
        self.num_forwards = 0
        self.start = threading.Event()

    def copy_blocks(self, pairs: Sequence[tuple[int, int]]) -> None:
        self._runner.copy_blocks(pairs)

    def set_adapter(self, adapter: int, lora: LoraAdapter | None) -> None:
        self._runner.set_adapter(adapter, lora)

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
    observer: EngineObserver | None = None,
) -> Iterator[tuple[TokenEngine, threading.Event]]:
    """Yield an engine that takes no step before the event is set. Its invariants are checked after each."""
    executor = executor or ScriptedExecutor(tiny_model())

    def check_then_hook(sequence_ids: tuple[int, ...]) -> None:
        engine.check()
        if on_step is not None:
            on_step(sequence_ids)

    engine = TokenEngine(executor, config, on_step=check_then_hook, observer=observer)
    try:
        yield engine, executor.start
    finally:
        executor.start.set()
        engine.close()
