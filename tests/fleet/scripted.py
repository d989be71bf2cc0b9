"""A generator whose model says exactly what a test tells it to, through the real engine."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from paceline.engine.config import EngineConfig
from paceline.engine.engine import TokenEngine
from paceline.engine.lora import LoraAdapter
from paceline.engine.speculation import SpeculationConfig
from paceline.engine.step import BLOCK_TOKENS, Rows
from paceline.fleet.folder import OpenedModel
from paceline.fleet.local import LocalGenerator
from paceline.prompt.fim import FimTemplate
from tests.fleet.model_folder import CONTEXT_TOKENS, small_model, small_tokenizer

CONFIG = EngineConfig(
    device="cpu",
    dtype="float32",
    num_threads=1,
    speculation=SpeculationConfig(is_enabled=False),
)


class ScriptExecutor:
    """Answers the n-th token of every sequence with the n-th id of the script, then with its last.

    Step number `held_step` (from 1) waits for `go`: so a test knows which step a reader's reaction meets.
    """

    def __init__(
        self, script: Sequence[int], *, vocab_size: int, held_step: int | None = None
    ) -> None:
        self.is_held, self.go = threading.Event(), threading.Event()
        self._held_step = held_step
        self.context_tokens = CONTEXT_TOKENS
        self.vocab_size = vocab_size
        self.num_blocks, self.block_bytes, self.weight_bytes, self.num_threads = 100, 1, 1, 1
        self.device_line = "scripted"
        self.steps: list[list[Rows]] = []
        self.num_prompts = 0
        """Sequences that have said their first token."""
        self._script = list(script)
        self._num_said_at: dict[tuple[int, int], int] = {}
        """How many tokens a sequence, known by its last block, had said at this length."""

    def warm_up(self) -> None:
        pass

    def copy_blocks(self, pairs: Sequence[tuple[int, int]]) -> None:
        pass

    def set_adapter(self, adapter: int, lora: LoraAdapter | None) -> None:
        pass

    def forward(self, step: Sequence[Rows]) -> Tensor:
        self.steps.append(list(step))
        if len(self.steps) == self._held_step:
            self.is_held.set()
            self.go.wait()
        said: list[int] = []
        for rows in step:
            if rows.num_logit_rows:
                is_decode = len(rows.token_ids) == 1
                before = (rows.block_ids[(rows.start - 1) // BLOCK_TOKENS], rows.start)
                count = self._num_said_at.get(before, 0) if is_decode else 0
                self.num_prompts += count == 0
                said.append(self._script[min(count, len(self._script) - 1)])
                after = (rows.block_ids[(rows.end - 1) // BLOCK_TOKENS], rows.end)
                self._num_said_at[after] = count + 1
        logits_RV = torch.zeros(len(said), self.vocab_size)
        logits_RV[torch.arange(len(said)), said] = 20.0
        return logits_RV


@functools.cache
def opened() -> OpenedModel:
    """The small model as if it had been read from disk."""
    return OpenedModel(
        folder=Path("nowhere"), model=small_model(), tokenizer=small_tokenizer(), manifest=None
    )


@contextlib.contextmanager
def scripted_generator(
    script: Sequence[int], *, held_step: int | None = None
) -> Iterator[tuple[LocalGenerator, ScriptExecutor]]:
    """Yield a generator that says `script`, and its executor, which remembers what it was fed."""
    vocab_size = small_model().config.vocab_size
    executor = ScriptExecutor(script, vocab_size=vocab_size, held_step=held_step)
    generator = LocalGenerator(
        opened(),
        TokenEngine(executor, CONFIG),
        model_id="scripted",
        template=FimTemplate(is_healed=False),
    )
    try:
        yield generator, executor
    finally:
        executor.go.set()
        generator.close()
