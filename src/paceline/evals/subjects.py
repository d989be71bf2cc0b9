"""What is evaluated: a model behind the `TextGenerator` seam, and the two baselines.

A subject predicts the rest of lines; those that know probabilities also score true text.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, NamedTuple, Protocol, TypeVar, cast

from paceline.complete.config import CompleteConfig
from paceline.complete.service import CompleteRequest, Service
from paceline.core.progress import Progress, ProgressTask
from paceline.core.types import Cursor, Document
from paceline.evals.cases import Case
from paceline.evals.config import EvalConfig
from paceline.evals.ngram_decode import LineGuesser, bits_of
from paceline.evals.repeat_line import repeat_line
from paceline.evals.whole_files import FileHead, chunks
from paceline.generate.types import GenerateParams, PromptParts, TextGenerator, TextScorer
from paceline.tokenizer.bpe import Tokenizer

T = TypeVar("T")


class Subject(Protocol):
    """One line of the report. Cases and files come back in the order given."""

    name: str

    def predict(self, cases: Sequence[Case], progress: Progress) -> list[str]:
        """The predicted rest of each line; empty where there is none."""
        ...

    def middle_bits(self, cases: Sequence[Case], progress: Progress) -> list[float] | None:
        """Negative log2-probability of each true middle; None if the subject has no probabilities."""
        ...

    def file_bits(self, heads: Sequence[FileHead], progress: Progress) -> list[float] | None:
        """Negative log2-probability, left to right, of the scored part of each file, or None."""
        ...


class RepeatLineSubject:
    """Baseline (b)."""

    name = "repeat-line"

    def predict(self, cases: Sequence[Case], progress: Progress) -> list[str]:
        """Repeat lines; an abstention is an empty prediction."""
        with progress.task(self.name, total=len(cases), unit="cases") as task:
            return [_counted(task, repeat_line(case.prefix) or "") for case in cases]

    def middle_bits(self, cases: Sequence[Case], progress: Progress) -> None:
        """It has no probabilities."""

    def file_bits(self, heads: Sequence[FileHead], progress: Progress) -> None:
        """It has no probabilities."""


class NgramSubject:
    """Baseline (a)."""

    name = "n-gram"

    def __init__(self, guesser: LineGuesser, config: EvalConfig) -> None:
        self._guesser, self._max_tokens = guesser, config.max_tokens

    def predict(self, cases: Sequence[Case], progress: Progress) -> list[str]:
        """Greedy decoding with healed tokens."""
        with progress.task(self.name, total=len(cases), unit="cases") as task:
            return [
                _counted(task, self._guesser.guess(case.prefix, max_tokens=self._max_tokens))
                for case in cases
            ]

    def middle_bits(self, cases: Sequence[Case], progress: Progress) -> list[float]:
        """Bits of the middle given the prefix."""
        with progress.task(f"{self.name} bits", total=len(cases), unit="cases") as task:
            return [_counted(task, self._guesser.bits(case.prefix, case.middle)) for case in cases]

    def file_bits(self, heads: Sequence[FileHead], progress: Progress) -> list[float]:
        """Bits of the file after its first line."""
        with progress.task(f"{self.name} files", total=len(heads), unit="files") as task:
            return [_counted(task, self._file_bits(head)) for head in heads]

    def _file_bits(self, head: FileHead) -> float:
        history = self._guesser.history(head.text)
        start = len(self._guesser.history(head.text[: head.start_offset]))
        return bits_of(self._guesser.mixture.log2_probs(history, start))


class ModelParts(NamedTuple):
    """What a model's evaluation needs of it."""

    generator: TextGenerator
    scorer: TextScorer | None
    """None for remote models: then there are no bits per byte."""
    tokenizer: Tokenizer
    """Only to cut files into chunks that fit the window."""
    context_tokens: int


class ModelSubject:
    """A model that sees prefix and suffix; greedy."""

    def __init__(self, name: str, parts: ModelParts, config: EvalConfig) -> None:
        self.name, self._parts, self._config = name, parts, config
        unhurried = CompleteConfig(single_line_max_tokens=config.max_tokens, max_latency_ms=None)
        self._service = Service(parts.generator, unhurried) if config.is_through_service else None

    def predict(self, cases: Sequence[Case], progress: Progress) -> list[str]:
        """Greedy completions, `num_concurrent` at a time."""
        with progress.task(self.name, total=len(cases), unit="cases") as task:
            return asyncio.run(self._predict_all(cases, task))

    def middle_bits(self, cases: Sequence[Case], progress: Progress) -> list[float] | None:
        """Bits of the middle given prefix and suffix (fill in the middle)."""
        scorer = self._parts.scorer
        if scorer is None:
            return None
        with progress.task(f"{self.name} bits", total=len(cases), unit="cases") as task:
            return [
                _counted(task, scorer.score(_parts_of(case), case.middle).bits) for case in cases
            ]

    def file_bits(self, heads: Sequence[FileHead], progress: Progress) -> list[float] | None:
        """Bits of the file after its first line: chunks of half a window, the rest is context."""
        scorer = self._parts.scorer
        if scorer is None:
            return None
        size = self._parts.context_tokens // 2
        with progress.task(f"{self.name} files", total=len(heads), unit="files") as task:
            return [
                _counted(
                    task,
                    sum(
                        scorer.score(PromptParts(prefix=before), chunk).bits
                        for before, chunk in chunks(head, self._parts.tokenizer, size)
                    ),
                )
                for head in heads
            ]

    async def _predict_all(self, cases: Sequence[Case], task: ProgressTask) -> list[str]:
        places = asyncio.Semaphore(self._config.num_concurrent)

        async def predict(case: Case) -> str:
            async with places:
                text = await (self._serve(case) if self._service else self._stream(case))
            return _counted(task, text.partition("\n")[0])

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(predict(case)) for case in cases]
        return [task.result() for task in tasks]

    async def _stream(self, case: Case) -> str:
        params = GenerateParams(max_tokens=self._config.max_tokens, stop=("\n",))
        stream = self._parts.generator.stream(_parts_of(case), params)
        async with aclosing(cast(Any, stream)) as chunks_of_text:
            return "".join([chunk.text async for chunk in chunks_of_text])

    async def _serve(self, case: Case) -> str:
        assert self._service is not None, "only called when there is a service"
        document = Document(path=case.path, text=case.prefix + case.suffix)
        cursor = Cursor(document=document, offset=case.offset)
        return (await self._service.complete(CompleteRequest(cursor=cursor))).text


def _parts_of(case: Case) -> PromptParts:
    return PromptParts(prefix=case.prefix, suffix=case.suffix)


def _counted(task: ProgressTask, value: T) -> T:
    task.advance(1)
    return value
