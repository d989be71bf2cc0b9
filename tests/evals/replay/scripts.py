"""Generators that know what will be typed, or know nothing, and edits to type: no model, no clock."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import cast

from msgspec.structs import replace

from paceline.complete.request import CompleteRequest, Completion
from paceline.complete.service import Service
from paceline.core.progress import Progress
from paceline.core.types import Cursor, Document
from paceline.evals.replay.clock import ReplayClock
from paceline.evals.replay.drive import Windows
from paceline.evals.replay.run import Outcome, Replayer, ReplayTrace
from paceline.evals.replay.variants import Variant
from paceline.generate.types import GenerateParams, PromptParts, TextChunk, TextGenerator
from paceline.traces.rhythm import RhythmConfig
from paceline.traces.simulate import TraceConfig, simulate
from paceline.traces.types import Keystroke, Trace
from paceline.traces.user import UserConfig
from tests.fakes import FakeGenerator

PIECE_CHARS = 3
LOGPROB = -0.01
PATIENT = RhythmConfig(
    mean_interval_ms=2000.0, spread_of_typists_ms=0.0, variation=0.0, word_factor=1.0
)
"""Time enough to notice everything."""
NEVER_ACCEPTS = UserConfig(min_saved_ms=1e9)
FILE = '''"""Shapes."""

import math


def area_of_circle(radius):
    squared_radius = radius * radius
    circle_area = math.pi * squared_radius
    return circle_area


def area_of_square(side_length):
    square_area = side_length * side_length
    return square_area


def ratio_of_areas(radius, side_length):
    circle_area = area_of_circle(radius)
    square_area = area_of_square(side_length)
    return circle_area / square_area


def total_area(radius, side_length, count):
    """Return the area of so many circles and squares."""
    circle_area = area_of_circle(radius)
    square_area = area_of_square(side_length)
    return count * (circle_area + square_area)
'''


class Oracle(FakeGenerator):
    """Says what `answer` makes of (prefix, what is still to be typed there)."""

    def __init__(self, finals: Sequence[str], answer: Callable[[str, str], str]) -> None:
        super().__init__()
        self._finals, self._answer = finals, answer

    def _chunks(self, parts: PromptParts, params: GenerateParams) -> list[TextChunk]:
        text = self._answer(parts.prefix, self._truth(parts))
        self.pieces = tuple(text[at : at + PIECE_CHARS] for at in range(0, len(text), PIECE_CHARS))
        chunks = super()._chunks(parts, params)
        return [replace(one, logprob=LOGPROB * one.num_tokens) for one in chunks]

    def _truth(self, parts: PromptParts) -> str:
        before, after = parts.prefix, parts.suffix or ""
        for final in self._finals:
            if final.startswith(before) and final[len(before) :].endswith(after):
                return final[len(before) : len(final) - len(after)]
        return ""


def always_right(prefix: str, truth: str) -> str:
    """The truth."""
    return truth


def always_wrong(prefix: str, truth: str) -> str:
    """Code that nobody wants."""
    return "ZZZ(77)"


def sometimes_right(prefix: str, truth: str) -> str:
    """A beginning of the truth, of a length that depends on the prefix, and then something else."""
    number = hashlib.sha256(prefix.encode("utf-8", "replace")).digest()[0]
    return truth[: number % (len(truth) + 1)] + ("" if number % 3 else "_else(1)")


class Recorder(Service):
    """A service that remembers where it was asked."""

    cursors: list[Cursor]

    async def complete(self, request: CompleteRequest) -> Completion:
        """As the service does."""
        self.cursors = [*getattr(self, "cursors", ()), request.cursor]
        return await super().complete(request)


class Direct:
    """In place of the memo: asks the generator each time."""

    def __init__(self, inner: TextGenerator) -> None:
        self._inner = inner
        self.models = inner.models
        self.num_tokens = 0

    async def stream(
        self, parts: PromptParts, params: GenerateParams, *, model_id: str | None = None
    ) -> AsyncGenerator[TextChunk, None]:
        """Pass it on."""
        stream = self._inner.stream(parts, replace(params, session=None), model_id=model_id)
        async for chunk in cast(AsyncGenerator[TextChunk, None], stream):
            self.num_tokens += chunk.num_tokens
            yield chunk


def typed(
    text: str = FILE,
    *,
    seed: int = 0,
    num_holes: int = 1,
    mistake_share: float = 0.0,
    rhythm: RhythmConfig = PATIENT,
    path: str = "shapes.py",
) -> Trace:
    """A trace that ends with `text`, one character a key."""
    config = TraceConfig(
        num_holes=num_holes, burst_weights=(1.0,), mistake_share=mistake_share, rhythm=rhythm
    )
    return simulate(Document(path=path, text=text), seed, config)


def typed_at(text: str, offset: int, document: str = FILE) -> Trace:
    """Types `text`, which `document` has at `offset`, a key every two seconds; a line break brings its indentation."""
    assert document[offset:].startswith(text)
    start = document[:offset] + document[offset + len(text) :]
    keys = [Keystroke(at_ms=1000.0, kind="jump", offset=offset)]
    at_ms = 1000.0
    for piece in re.findall(r"\n *|[^\n]", text):
        at_ms += 2000.0
        kind = "newline" if piece[0] == "\n" else "insert"
        keys.append(Keystroke(at_ms=at_ms, kind=kind, offset=offset, inserted=piece))
        offset += len(piece)
    return Trace(document=Document(path="shapes.py", text=start), keystrokes=tuple(keys))


def still_clock() -> ReplayClock:
    """Time that passes only when it is said to: everything is computed at once."""
    return ReplayClock(lambda: 0.0)


def replayer(
    generator: TextGenerator,
    *,
    user: UserConfig = UserConfig(),
    windows: Windows | None = None,
) -> Replayer:
    """One whose figures do not depend on the machine."""
    return Replayer(generator, user, windows=windows, clock=still_clock())


def run(
    generator: TextGenerator, variant: Variant, *traces: Trace, user: UserConfig = UserConfig()
) -> Outcome:
    """Type these traces through one variant."""
    return replayer(generator, user=user).run(variant, as_items(*traces), Progress())


def as_items(*traces: Trace) -> list[ReplayTrace]:
    """Of one project each."""
    return [ReplayTrace(f"project{number}", trace) for number, trace in enumerate(traces)]
