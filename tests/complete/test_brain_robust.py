"""The brain where things go wrong: bugs in rules, clients that leave, windows that move, memory that ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from msgspec.structs import replace

from paceline.complete import answering, postprocess, prefetch
from paceline.complete import service as service_module
from paceline.complete.config import CompleteConfig
from paceline.complete.ending import Ending
from paceline.complete.project import ProjectIndex
from paceline.complete.request import CompleteRequest, Completion
from paceline.complete.service import Service
from paceline.complete.session import MAX_LAST, DocumentState
from paceline.core.types import Cursor, Document, Drop
from paceline.generate.types import (
    GenerateParams,
    PromptParts,
    TextChunk,
)
from tests.complete.brains import QUIET, SESSION, ask, run
from tests.fakes import FakeGenerator


class Held(FakeGenerator):
    """Answers only once `released`, except in the batch lane if only that is asked to wait."""

    def __init__(self, pieces: tuple[str, ...] = ("sorted", "\n"), *, lane: str = "") -> None:
        super().__init__(pieces)
        self.released = asyncio.Event()
        self.num_left = 0
        self._lane = lane

    async def stream(
        self, parts: PromptParts, params: GenerateParams, *, model_id: str | None = None
    ) -> AsyncGenerator[TextChunk, None]:
        try:
            if self._lane in ("", params.lane):
                await self.released.wait()
        except asyncio.CancelledError:
            self.num_left += 1
            raise
        async for chunk in super().stream(parts, params, model_id=model_id):
            yield chunk


def fail(*_: object, **__: object) -> Any:
    quoted = "_".join(["secret", "code"])
    raise ValueError(f"a bug that quotes {quoted}")


def test_a_failing_step_is_left_out_named_and_logged_once_without_the_code(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    reported_bugs: set[tuple[str, str]],
) -> None:
    fail.__name__ = "trim_end"
    steps = tuple(fail if step.__name__ == "trim_end" else step for step in postprocess.STEPS)
    monkeypatch.setattr(postprocess, "STEPS", steps)
    service = Service(FakeGenerator(["sorted", "\n"]), QUIET)
    first, second = run(service, ask("x = |\n"), ask("y = |\n"))
    assert (first.text, second.text) == ("sorted", "sorted")
    trace = service.traces.get(first.request_id)
    assert trace is not None
    assert trace.failed == ("trim_end",)
    assert any(note.is_failed for note in trace.candidates[0].steps)
    assert reported_bugs == {("trim_end", "ValueError")}
    (record,) = caplog.records
    assert "trim_end" in record.getMessage()
    assert "secret_code" not in caplog.text


@pytest.mark.usefixtures("reported_bugs")
def test_nothing_is_shown_without_the_search_for_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    fail.__name__ = "drop_secrets"
    steps = tuple(fail if step.__name__ == "drop_secrets" else step for step in postprocess.STEPS)
    monkeypatch.setattr(postprocess, "STEPS", steps)
    service = Service(FakeGenerator(["sorted", "\n"]), QUIET)
    (completion,) = run(service, ask("x = |\n"))
    assert (completion.text, completion.drop) == ("", Drop("internal_error"))


@pytest.mark.usefixtures("reported_bugs")
@pytest.mark.parametrize(
    ("owner", "name", "stage", "text"),
    [
        (answering, "reason_to_skip", "look", ""),
        (answering, "decide", "mode", "sorted"),
        (answering.CompletionCache, "find", "cache", "sorted"),
        (answering.Debouncer, "delay", "debounce", "sorted"),
        (answering.ContextChooser, "choose", "context", "sorted"),
        (Ending, "of", "ending", "sorted"),
        (Ending, "certain_end", "ending", "sorted"),
        (answering, "attribute", "steps", ""),
        (answering, "features_of", "gate", "sorted"),
        (answering.CompletionCache, "put", "remember", "sorted"),
        (ProjectIndex, "update_all", "read", "sorted"),
        (DocumentState, "observe", "observe", "sorted"),
        (DocumentState, "show", "ahead", "sorted"),
    ],
)
def test_a_failing_stage_costs_no_more_than_what_it_would_say(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, stage: str, text: str
) -> None:
    monkeypatch.setattr(owner, name, fail)
    service = Service(FakeGenerator(["sorted", "\n"]), CompleteConfig(show_threshold=0.0))
    (completion,) = run(service, ask("x = |\n"))
    trace = service.traces.get(completion.request_id)
    assert trace is not None
    assert completion.text == text
    assert completion.drop == (None if text else Drop("internal_error"))
    assert stage in trace.failed
    assert (trace.outcome, trace.drop_reason) == (
        ("shown", "") if text else ("nothing", "internal_error")
    )
    assert trace.spans


@pytest.mark.usefixtures("reported_bugs")
def test_a_failing_prefetch_is_nobodys_business(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering.Answering, "keep_leftovers", fail)
    service = Service(FakeGenerator(["sorted", "\n"]), CompleteConfig(show_threshold=0.0))

    async def accept() -> Completion:
        first = await service.complete(ask("x = |\n"))
        assert service.record(first.request_id, "accepted")
        await service.idle()
        return await service.complete(ask("elsewhere = |\n"))

    assert asyncio.run(accept()).text == "sorted"


def test_a_broken_generator_is_heard_of() -> None:
    class Broken(FakeGenerator):
        async def stream(
            self, parts: PromptParts, params: GenerateParams, *, model_id: str | None = None
        ) -> AsyncGenerator[TextChunk, None]:
            raise RuntimeError("the device is gone")
            yield

    service = Service(Broken(), QUIET)
    with pytest.raises(RuntimeError):
        run(service, ask("x = |\n"))
    (trace,) = service.traces.newest(1)
    assert trace.outcome == "error"


def test_who_leaves_is_not_answered_and_leaves_nothing_behind() -> None:
    generator = Held()
    service = Service(generator, QUIET)

    async def leave() -> Completion:
        task = asyncio.create_task(service.complete(ask("x = |\n")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        generator.released.set()
        return await service.complete(ask("x = |\n"))

    assert asyncio.run(leave()).text == "sorted"
    assert generator.num_left == 1
    assert service._answering.num_running == 0
    assert [trace.outcome for trace in service.traces.newest(2)] == ["shown", "cancelled"]


def test_who_leaves_while_joining_what_is_asked_ahead_is_gone_and_the_next_may_join() -> None:
    generator = Held(lane="batch")
    service = Service(generator, CompleteConfig(show_threshold=0.0))

    async def join() -> Completion:
        first = await service.complete(ask("x = |\n"))
        service.record(first.request_id, "accepted")
        await asyncio.sleep(0)
        joining = asyncio.create_task(service.complete(ask("x = sorted|\n")))
        await asyncio.sleep(0.01)
        joining.cancel()
        with pytest.raises(asyncio.CancelledError):
            await joining
        again = asyncio.create_task(service.complete(ask("x = sorted|\n")))
        await asyncio.sleep(0.01)
        generator.released.set()
        return await again

    assert asyncio.run(join()).source == "prefetch"
    assert len(generator.calls) == 2


def test_nobody_waits_long_for_what_is_asked_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "MAX_JOIN_S", 0.01)
    generator = Held(lane="batch")
    service = Service(generator, CompleteConfig(show_threshold=0.0))

    async def join() -> Completion:
        first = await service.complete(ask("x = |\n"))
        service.record(first.request_id, "accepted")
        await asyncio.sleep(0)
        second = await service.complete(ask("x = sorted|\n"))
        await service.close()
        return second

    assert asyncio.run(join()).source == "network"
    assert generator.num_left == 1


def test_typing_what_is_shown_asks_ahead_once() -> None:
    generator = Held(("sorted", " + ", "sum", "\n"), lane="batch")
    service = Service(generator, CompleteConfig(show_threshold=0.0))

    async def type_through() -> None:
        for typed in ("", "s", "so", "sor"):
            await service.complete(ask(f"x = {typed}|\n", pressed_at_ms=len(typed) * 200.0))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert generator.num_left == 0
        generator.released.set()
        await service.idle()
        for typed in ("sort", "sorte"):
            await service.complete(ask(f"x = {typed}|\n", pressed_at_ms=len(typed) * 200.0))
            await service.idle()
        assert len(generator.calls) == 2
        generator.released.clear()
        await service.complete(ask("x = sorted + sum|\n"))
        await service.complete(ask("elsewhere = |\n"))

    asyncio.run(type_through())
    ahead = [trace for trace in service.traces.newest(20) if trace.is_ahead]
    assert len(ahead) <= 3


def test_an_answer_that_comes_after_a_newer_ones_is_not_on_screen() -> None:
    generator = Held()
    service = Service(generator, replace(QUIET, is_debounced=False))

    async def overtake() -> None:
        slow = asyncio.create_task(service.complete(ask("x = |\n")))
        await asyncio.sleep(0.01)
        generator._lane = "nowhere"
        await service.complete(ask("y = |\n"))
        generator.released.set()
        await slow

    asyncio.run(overtake())
    (state,) = service._documents.all()
    assert state.ghost is not None
    assert state.last is not None
    assert state.ghost.before == "y = "
    assert state.last.request.cursor.prefix == "y = "


def nameless(before: str, after: str = "\n", **changes: Any) -> CompleteRequest:
    document = Document(path="", text=before + after)
    return CompleteRequest(cursor=Cursor(document=document, offset=len(before)), **changes)


def test_a_document_without_a_name_is_recognised_while_its_beginning_is_typed() -> None:
    generator = FakeGenerator(["sorted", "\n"])
    service = Service(generator, QUIET)
    first, second, third = run(
        service, nameless("value = "), nameless("value = s"), nameless("value = so")
    )
    assert (first.source, second.source, third.source) == (
        "network", "typed_as_suggested", "typed_as_suggested",
    )  # fmt: skip
    assert len(service._documents) == 1
    run(service, nameless("import os\nother = ", "\nprint(other)\n"))
    assert len(service._documents) == 2


def test_two_nameless_documents_with_the_same_licence_above_are_told_apart() -> None:
    licence = "# Licence: do as you please.\n" * 20
    service = Service(FakeGenerator(["sorted", "\n"]), QUIET)
    one, other = nameless(licence + "one = "), nameless(licence + "def other(a):\n    b = ")
    run(service, one)
    state = service._documents.state(one)
    assert service._documents.state(nameless(licence + "one = s")) is state
    assert service._documents.state(replace(other, user_id="another")) is not state


def test_a_window_that_moves_over_the_document_is_no_deletion() -> None:
    lines = [f"number_{n} = {n}{'0' * (n % 7)}\n" for n in range(80)]
    service = Service(FakeGenerator(["sorted", "\n"]), replace(QUIET, is_cached=False))
    requests = [nameless("".join(lines[n : n + 40]) + "x = ") for n in range(4)]
    requests += [nameless("".join(lines[3:43]) + "x = so"), nameless("".join(lines[4:43]) + "x = ")]
    named = [replace(request, session=SESSION) for request in requests]
    for group in (requests, named):
        *typed, deleted = run(service, *group)
        assert all(completion.drop != Drop("deleting") for completion in typed)
        assert deleted.drop == Drop("deleting")


def test_what_was_accepted_is_seen_through_other_line_ends_and_in_a_moved_window() -> None:
    pieces = ("if a:", "\n        b()", "\n")
    service = Service(FakeGenerator(pieces), replace(QUIET, is_cached=False))
    before = "".join(f"line_{n} = {n}\r\n" for n in range(20)) + "def f(a):\r\n    "
    shown, _ = run(
        service,
        nameless(before, "\r\n", mode="multi_line", session=SESSION),
        nameless(before[20:] + "if a:\r\n        b()", "\r\n", session=SESSION),
    )
    assert shown.text
    (state,) = service._documents.all()
    recent = state.history.recent
    assert (recent.num_multi_line, recent.accepted_multi_line) == (1, 1.0)


def test_a_busy_server_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "MAX_COPIED_CHARS", 100_000)
    config = CompleteConfig(
        max_documents=36,
        max_traces=20,
        max_cache_chars=10_000,
        show_threshold=0.0,
        is_mode_inferred=False,
        disabled_steps=frozenset(postprocess.STEP_NAMES),
    )
    service = Service(FakeGenerator(["sorted", "\n"]), config)
    text = "x = 1\n" * 30_000

    async def ask_all() -> None:
        for number in range(40):
            document = Document(path=f"{number}.txt", text=text)
            cursor = Cursor(document=document, offset=len(text))
            await service.complete(CompleteRequest(cursor=cursor))
            await service.idle()

    asyncio.run(ask_all())
    kept = [state.last for state in service._documents.all() if state.last is not None]
    assert len(service._documents) == 36
    assert len(kept) == MAX_LAST
    assert all(len(last.request.cursor.document.text) < len(text) for last in kept)
    assert service._answering.cache.num_chars <= 10_000
    assert len(service.traces.newest(1000)) == 20
