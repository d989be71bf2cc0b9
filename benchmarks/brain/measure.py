"""Types a file through a service and notes where the time of every keystroke went.

Stages are timed by the CPU time of the thread that does all the work: on a machine that others use it says more of the
code than the wall clock, and on an idle one the two agree. The wall clock is noted beside it.
"""

from __future__ import annotations

import asyncio
import gc
import time
from typing import NamedTuple

import msgspec
import tree_sitter

from benchmarks.brain.files import Workplace
from benchmarks.brain.script import ScriptedModel
from paceline.complete.config import CompleteConfig
from paceline.complete.request import CompleteRequest
from paceline.complete.service import Service, monotonic_ms
from paceline.complete.trace import WAITS
from paceline.core.types import Document
from paceline.generate.types import Session
from paceline.prompt.context.types import EditorContext
from paceline.syntax.grammars import grammar
from paceline.syntax.languages import language_of
from paceline.traces.moments import Moment, moments
from paceline.traces.simulate import TraceConfig, simulate

AFTER_CHARS = 2_000
"""Of what follows the edit, the model goes on to write so much."""
PAUSE_MS = 5_000.0
"""Before the user goes to the next place."""


class Sample(NamedTuple):
    """One keystroke."""

    own_ms: float
    """CPU time of all stages but `generate`, and of what lies between them."""
    all_ms: float
    """With the stream of a model that takes no time: plumbing, and the rules that say where it ends."""
    wall_ms: float
    """All of it by the wall clock."""
    stages: dict[str, float]
    source: str
    """Where the answer came from; else why there is none."""


async def _at_once(seconds: float) -> None:
    """Sleeps not at all: how long the brain waits for the user is no cost."""


class Key(NamedTuple):
    """A keystroke, when it is pressed, and what the user goes on to type."""

    pressed_ms: float
    moment: Moment


def keystrokes(workplace: Workplace, num_places: int, *, num_broken: int = 1) -> list[Key]:
    """What a simulated person types into the file, in one place of it after the other.

    Args:
        num_broken: places where something is missing at the same time; usually only the one where the user types.
    """
    keys: list[Key] = []
    start_ms = 0.0
    config = TraceConfig(num_holes=num_broken, max_hole_lines=4)
    for seed in range(num_places // num_broken):
        trace = simulate(workplace.document, seed, config)
        keys += [Key(start_ms + moment.keystroke.at_ms, moment) for moment in moments(trace)]
        start_ms = keys[-1].pressed_ms + PAUSE_MS
    return keys


async def type_through(
    keys: list[Key], workplace: Workplace, root: str, config: CompleteConfig
) -> list[Sample]:
    """Ask at every keystroke, as an editor that sends its ten open documents each time."""
    model = ScriptedModel()
    service = Service(model, config, now_ms=cpu_ms, sleep=_at_once)
    service.warm_up()
    context = msgspec.json.encode(
        EditorContext(open_documents=workplace.open_documents, workspace_root=root)
    )
    samples: list[Sample] = []
    for number, key in enumerate(keys):
        request = _request(key, context, number)
        model.expect(*_future(key.moment))
        samples.append(await _sample(service, request))
        await service.idle()
    await service.close()
    return samples


def run(keys: list[Key], workplace: Workplace, root: str, config: CompleteConfig) -> list[Sample]:
    """`type_through` on a loop of its own, from a clean heap."""
    gc.collect()
    return asyncio.run(type_through(keys, workplace, root, config))


def cpu_ms() -> float:
    """CPU time of this thread."""
    return time.thread_time() * 1_000


def parse_ms(document: Document) -> float:
    """Parsing the whole file from nothing."""
    rules = grammar(language_of(document))
    assert rules is not None
    data = document.text.encode()
    start_ms = cpu_ms()
    tree_sitter.Parser(rules).parse(data)
    return cpu_ms() - start_ms


def _request(key: Key, context: bytes, number: int) -> CompleteRequest:
    """New strings each time, as from a client: nothing of them is known, not even their hashes."""
    cursor = key.moment.cursor
    document = msgspec.structs.replace(cursor.document, text=cursor.document.text.encode().decode())
    return CompleteRequest(
        cursor=msgspec.structs.replace(cursor, document=document),
        context=msgspec.json.decode(context, type=EditorContext),
        session=Session("benchmark", document.path),
        pressed_at_ms=key.pressed_ms,
        request_id=f"key-{number}",
    )


def _future(moment: Moment) -> tuple[str, str]:
    text, offset = moment.cursor.document.text, moment.cursor.offset
    after = offset + len(moment.closed)
    return text[:offset], moment.truth + text[after : after + AFTER_CHARS]


async def _sample(service: Service, request: CompleteRequest) -> Sample:
    start_ms, wall_start_ms = cpu_ms(), monotonic_ms()
    completion = await service.complete(request)
    all_ms, wall_ms = cpu_ms() - start_ms, monotonic_ms() - wall_start_ms
    trace = service.traces.get(request.request_id)
    assert trace is not None
    stages: dict[str, float] = {}
    for span in trace.spans:
        stages[span.name] = stages.get(span.name, 0.0) + span.ms
    waits = sum(ms for name, ms in stages.items() if name in WAITS)
    stages["between"] = all_ms - sum(stages.values())
    reason = completion.drop.reason if completion.drop else ""
    source = completion.source if completion.text or completion.source != "none" else reason
    generate_ms = stages.get("generate", 0.0)
    return Sample(all_ms - waits, all_ms - waits + generate_ms, wall_ms, stages, source)
