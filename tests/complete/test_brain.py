"""The brain as a whole, against a scripted generator: what is remembered, asked ahead, hidden, told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from paceline.complete.confidence import ConfidenceConfig
from paceline.complete.config import CompleteConfig
from paceline.complete.request import CompleteRequest, Completion, as_insertion
from paceline.complete.service import Service
from paceline.core.errors import ConfigError, UnknownModelError
from paceline.core.types import Cursor, Document, Drop
from paceline.generate.types import (
    GenerateParams,
    ModelInfo,
    PromptParts,
    Session,
    TextChunk,
)
from tests.complete.brains import QUIET, SURE, ask, run
from tests.fakes import FakeClock, FakeGenerator


def test_what_was_suggested_is_typed_without_asking_again() -> None:
    generator = FakeGenerator(["sorted", " + ", "sum", "\n"])
    service = Service(generator, QUIET)
    first, second, back = run(service, ask("x = |\n"), ask("x = sor|\n"), ask("x = |\n"))
    assert (first.text, first.source) == ("sorted + sum", "network")
    assert (second.text, second.source) == ("ted + sum", "typed_as_suggested")
    assert (back.text, back.source) == ("", "none")
    assert back.drop == Drop("deleting")
    assert len(generator.calls) == 1
    assert second.num_tokens == 0


def test_another_suffix_is_another_place() -> None:
    generator = FakeGenerator(["sorted", "\n"])
    run(Service(generator, QUIET), ask("x = |\n"), ask("x = t|\ny = 2\n"))
    assert len(generator.calls) == 2


def test_nobody_is_answered_from_another_document() -> None:
    generator = FakeGenerator(["sorted", "\n"])
    other = replace(ask("x = |\n"), session=Session("other", "a.py"))
    run(Service(generator, QUIET), ask("x = |\n"), other)
    assert len(generator.calls) == 2


def test_nobody_learns_which_names_another_user_wrote() -> None:
    text = "def area(x):\n    return "

    def of(user: str, text: str, path: str) -> CompleteRequest:
        document = Document(path=path, text=text)
        return CompleteRequest(cursor=Cursor(document=document, offset=len(text)), user_id=user)

    _, own, others, nobodys = run(
        Service(FakeGenerator(["frobnicate(x)", "\n"]), QUIET),
        of("ann\0", "def frobnicate(x):\n    return ", "lib.py"),
        *(of(user, text, "b.py") for user in ("ann\0", "bob\0", "")),
    )
    assert own.text == "frobnicate(x)"
    assert others.drop == nobodys.drop == Drop("unknown_name")


def test_after_an_accept_the_next_is_there_already() -> None:
    generator = FakeGenerator(["sorted", " + ", "sum", "\n"])
    service = Service(generator, CompleteConfig(is_gated=False, confidence=SURE))

    async def accept() -> tuple[Completion, Completion]:
        first = await service.complete(ask("x = |\n"))
        await service.idle()
        assert service.record(first.request_id, "accepted")
        await service.idle()
        num_calls = len(generator.calls)
        second = await service.complete(ask("x = sorted + sum|\n"))
        assert len(generator.calls) == num_calls
        await service.close()
        return first, second

    _, second = asyncio.run(accept())
    assert second.source == "prefetch"
    ahead = generator.calls[-1].params
    assert (ahead.lane, ahead.session) == ("batch", None)


def test_what_is_asked_ahead_is_joined_and_its_errors_stay_inside() -> None:
    class Failing(FakeGenerator):
        async def stream(
            self, parts: PromptParts, params: GenerateParams, *, model_id: str | None = None
        ) -> AsyncGenerator[TextChunk, None]:
            if params.lane == "batch":
                raise ConfigError("broken")
            async for chunk in super().stream(parts, params, model_id=model_id):
                yield chunk

    service = Service(Failing(["sorted", "\n"]), CompleteConfig(is_gated=False, confidence=SURE))

    async def accept() -> Completion:
        first = await service.complete(ask("x = |\n"))
        service.record(first.request_id, "accepted")
        return await service.complete(ask("x = sorted|\n"))

    assert asyncio.run(accept()).source == "network"


def test_the_gate_hides_what_is_unlikely_but_never_what_was_asked_for() -> None:
    config = CompleteConfig(show_threshold=1.0, exempt_share=0.0, is_prefetching=False)
    service = Service(FakeGenerator(["sorted", "\n"]), config)
    (hidden,) = run(service, ask("x = |\n"))
    assert (hidden.text, hidden.drop) == ("", Drop("gate"))
    assert hidden.probability is not None
    assert 0 < hidden.probability < 1
    (shown,) = run(service, ask("y = |\n", trigger="invoked"))
    assert shown.text == "sorted"
    (own,) = run(service, ask("z = |\n", show_threshold=0.0))
    assert own.text == "sorted"


def test_a_share_is_exempt_from_the_gate() -> None:
    config = CompleteConfig(show_threshold=1.0, exempt_share=1.0, is_prefetching=False)
    service = Service(FakeGenerator(["sorted", "\n"]), config)
    (completion,) = run(service, ask("x = |\n"))
    assert (completion.text, completion.is_exempt) == ("sorted", True)
    trace = service.traces.get(completion.request_id)
    assert trace is not None
    assert trace.is_exempt


def test_alternatives_differ_and_come_only_when_invoked() -> None:
    class Sampling(FakeGenerator):
        async def stream(
            self, parts: PromptParts, params: GenerateParams, *, model_id: str | None = None
        ) -> AsyncGenerator[TextChunk, None]:
            text = {None: "sorted", 1: "sum", 2: "sorted"}[params.seed]
            yield TextChunk(text=text + "\n", num_tokens=1, logprob=-1.0, finish_reason="stop")

    service = Service(Sampling(), QUIET)
    (typed,) = run(service, ask("x = |\n", num_alternatives=3))
    assert typed.alternatives[1:] == ()
    (invoked,) = run(service, ask("y = |\n", num_alternatives=3, trigger="invoked"))
    assert [one.text for one in invoked.alternatives] == ["sorted", "sum"]
    assert invoked.num_tokens == 3


def test_a_language_that_the_model_does_not_know_is_declined_unless_the_user_insists() -> None:
    class PythonOnly(FakeGenerator):
        @property
        def models(self) -> tuple[ModelInfo, ...]:
            return (ModelInfo(model_id="fake", context_tokens=1024, languages=("python",)),)

    generator = PythonOnly(["sorted", "\n"])
    service = Service(generator, QUIET)
    document = Document(path="a.rs", text="let x = ")
    request = CompleteRequest(cursor=Cursor(document=document, offset=8))
    (declined,) = run(service, request)
    assert (declined.text, declined.drop) == ("", Drop("language"))
    assert generator.calls == []
    (insisted,) = run(service, replace(request, is_insisting=True))
    assert insisted.text == "sorted"
    (asked,) = run(service, replace(request, trigger="invoked"))
    assert asked.text == "sorted"
    nameless = Document(path="", text="x = ")
    (guessed,) = run(service, CompleteRequest(cursor=Cursor(document=nameless, offset=4)))
    assert guessed.text == "sorted"
    trace = service.traces.get(guessed.request_id)
    assert trace is not None
    assert trace.language == "python"


@pytest.mark.parametrize(
    ("path", "text", "offset", "reason"),
    [
        (".env", "KEY=", 4, "secret_file"),
        ("a/.netrc", "machine ", 8, "secret_file"),
        ("a.py", "x = \0", 4, "binary"),
        ("a.py", "sorted", 3, "mid_word"),
        ("a.py", "x" * 5000, 5000, "long_line"),
        ("data.lock.sql", "x = ", 4, "ignored_glob"),
    ],
)
def test_places_that_are_left_alone(path: str, text: str, offset: int, reason: str) -> None:
    generator = FakeGenerator(["sorted", "\n"])
    service = Service(generator, replace(QUIET, ignored_globs=("*.sql",)))
    document = Document(path=path, text=text)
    (completion,) = run(service, CompleteRequest(cursor=Cursor(document=document, offset=offset)))
    assert completion.drop == Drop(reason)
    assert generator.calls == []


def test_a_trace_tells_the_story_without_the_code() -> None:
    service = Service(FakeGenerator(["'hidden_word'", "\n"]), QUIET)
    (completion,) = run(service, ask("other_name = |\n"))
    trace = service.traces.get(completion.request_id)
    assert trace is not None
    assert (trace.outcome, trace.source, trace.mode) == ("shown", "network", "single_line")
    assert trace.reasons
    assert [span.name for span in trace.spans] == [
        "read", "look", "cache", "context", "generate", "steps", "gate",
    ]  # fmt: skip
    assert trace.candidates[0].num_chars_raw == len("'hidden_word'\n")
    encoded = msgspec.json.encode(trace)
    assert b"hidden_word" not in encoded
    assert b"other_name" not in encoded
    assert b"a.py" not in encoded


def test_a_trace_keeps_the_code_if_it_may() -> None:
    service = Service(
        FakeGenerator(["'hidden_word'", "\n"]), replace(QUIET, is_code_in_traces=True)
    )
    (completion,) = run(service, ask("x = |\n"))
    trace = service.traces.get(completion.request_id)
    assert trace is not None
    assert (trace.path, trace.candidates[0].raw_text) == ("a.py", "'hidden_word'\n")


def test_outcomes_are_noted_and_unknown_requests_are_told_apart() -> None:
    service = Service(FakeGenerator(["sorted", "\n"]), QUIET)
    (completion,) = run(service, ask("x = |\n"))
    assert service.record(completion.request_id, "rejected")
    assert not service.record("cmpl-unknown", "accepted")
    trace = service.traces.get(completion.request_id)
    assert trace is not None
    assert [event.kind for event in trace.events] == ["rejected"]


def test_what_was_rejected_here_is_not_offered_again() -> None:
    config = replace(QUIET, is_cached=False)
    service = Service(FakeGenerator(["sorted", "\n"]), config)
    (first,) = run(service, ask("x = |\n"))
    service.record(first.request_id, "rejected")
    (again,) = run(service, ask("x = |\n"))
    assert again.drop == Drop("rejected_here")


def test_who_uses_anothers_request_id_speaks_for_himself_alone() -> None:
    config = replace(QUIET, is_cached=False, max_traces=1)
    service = Service(FakeGenerator(["sorted", "\n"]), config)
    first = ask("x = |\n", user_id="ann\0", request_id="r")
    other = ask("y = |\n", user_id="bob\0")  # the first is forgotten now, and its id free
    nothing = ask("y = a|b\n", user_id="bob\0", request_id="r")
    assert [each.text for each in run(service, first, other, nothing)] == ["sorted", "sorted", ""]
    assert service.record("r", "rejected")
    (again,) = run(service, first)
    assert again.text == "sorted"


def test_what_a_text_tells_is_not_told_of_anothers_request() -> None:
    service = Service(FakeGenerator(["sorted", "\n"]), replace(QUIET, max_traces=2))
    first = ask("x = |\n", user_id="ann\0", request_id="r")
    others = [ask("y = |\n", user_id="bob\0", request_id=name) for name in ("s", "t", "r")]
    accepting = ask("x = sorted|\n", user_id="ann\0")
    run(service, first, *others, accepting)
    trace = service.traces.get("r")
    assert trace is not None
    assert trace.events == ()


def test_what_was_accepted_and_taken_back_is_not_offered_again() -> None:
    service = Service(FakeGenerator(["sorted", "\n"]), replace(QUIET, is_cached=False))
    run(service, ask("x = |\n"), ask("x = sorted|\n"), ask("x = |\n"))
    (again,) = run(service, ask("x = |\n"))
    assert again.drop == Drop("rejected_here")


def test_a_newer_key_ends_the_wait_of_an_older_one() -> None:
    clock = FakeClock()

    class Slow(FakeGenerator):
        async def stream(
            self, parts: PromptParts, params: GenerateParams, *, model_id: str | None = None
        ) -> AsyncGenerator[TextChunk, None]:
            clock.advance(ms=1000)
            async for chunk in super().stream(parts, params, model_id=model_id):
                yield chunk

    waits: list[float] = []
    released = asyncio.Event()

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await released.wait()

    generator = Slow(["sorted", "\n"])
    config = replace(QUIET, is_cached=False)
    service = Service(generator, config, now_ms=clock.now_ms, sleep=sleep)

    async def type_fast() -> tuple[Completion, Completion]:
        text, pressed_ms = "x = ", 0.0
        while True:
            request = ask(text + "|\n", pressed_at_ms=pressed_ms)
            task = asyncio.create_task(service.complete(request))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            text, pressed_ms = text + "a ", pressed_ms + 90
            if waits:
                break
            await task
        newer = asyncio.create_task(service.complete(ask(text + "|\n", pressed_at_ms=pressed_ms)))
        await asyncio.sleep(0)
        released.set()
        return await task, await newer

    older, newer = asyncio.run(type_fast())
    assert older.drop == Drop("superseded")
    assert newer.text == "sorted"
    assert 0 < waits[0] <= 0.4


def test_a_client_that_only_inserts_gets_what_it_can_insert() -> None:
    base = Completion(request_id="", text="x)", drop=None, mode="single_line", model_id="m")
    assert as_insertion(base, ")\n") == "x)"
    assert as_insertion(replace(base, num_replaced_chars=1), ")\n") == "x"
    assert as_insertion(replace(base, text="x]", num_replaced_chars=1), ")\n") == ""


@pytest.mark.parametrize(
    "wrong", [{"num_alternatives": 4}, {"show_threshold": 1.5}, {"multi_line_threshold": -0.1}]
)
def test_a_request_checks_itself(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        ask("x = |", **wrong)


def test_a_huge_buffer_is_answered_from_a_window() -> None:
    line = "value = compute(first, second)\n"
    text = line * (50_000_000 // len(line)) + "x = "
    generator = FakeGenerator(["sorted", "\n"])
    request = CompleteRequest(
        cursor=Cursor(document=Document(path="a.py", text=text), offset=len(text))
    )
    (completion,) = run(Service(generator, QUIET), request)
    assert completion.text == "sorted"
    assert len(generator.calls[0].parts.prefix) <= QUIET.max_prefix_chars


def test_an_unlikely_end_is_neither_shown_nor_computed() -> None:
    class Doubtful(FakeGenerator):
        async def stream(
            self, parts: PromptParts, params: GenerateParams, *, model_id: str | None = None
        ) -> AsyncGenerator[TextChunk, None]:
            for text, logprob in (("sorted", -0.1), ("(values", -0.1), (", reverse", -3.0)):
                yield TextChunk(text=text, num_tokens=1, logprob=logprob)
            raise AssertionError("read on")

    service = Service(Doubtful(), replace(QUIET, confidence=ConfidenceConfig()))
    (completion,) = run(service, ask("values = 1\nx = |\n"))
    assert completion.text == "sorted(values"
    assert completion.num_tokens == 3
    (_, kept) = run(service, ask("values = 2\nx = |\n"), ask("values = 2\nx = s|\n"))
    assert (kept.text, kept.source) == ("orted(values", "typed_as_suggested")


def test_an_unknown_model_is_refused_where_the_answer_is_known_too() -> None:
    service = Service(FakeGenerator(["sorted", "\n"]), QUIET)
    run(service, ask("x = |\n"))
    with pytest.raises(UnknownModelError):
        run(service, ask("x = |\n", model_id="nope"))


def test_what_was_asked_for_stays_while_it_is_typed() -> None:
    config = replace(QUIET, is_gated=True, show_threshold=1.0, exempt_share=0.0)
    service = Service(FakeGenerator(["sorted", "\n"]), config)
    asked, typed = run(service, ask("x = |\n", trigger="invoked"), ask("x = s|\n"))
    assert (asked.text, typed.text) == ("sorted", "orted")


def test_a_configured_root_brings_its_gitignore(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("runs/\n")
    document = Document(path=str(tmp_path / "runs" / "a.py"), text="x = ")
    request = CompleteRequest(cursor=Cursor(document=document, offset=4))
    generator = FakeGenerator(["sorted", "\n"])
    config = replace(QUIET, workspace_roots=(str(tmp_path),))
    (ignored,) = run(Service(generator, config), request)
    assert ignored.drop == Drop("git_ignored")
    (unknown,) = run(Service(generator, QUIET), request)
    assert unknown.text == "sorted"


def test_the_beginning_of_an_id_will_do() -> None:
    service = Service(FakeGenerator(["sorted", "\n"]), QUIET)
    (completion,) = run(service, ask("x = |\n"))
    found = service.traces.get(completion.request_id[:13])
    assert found is not None
    assert found.request_id == completion.request_id
    assert service.traces.get("cmpl-") is None


@pytest.mark.parametrize(
    ("then", "kind"),
    [
        (["x = sorted|\n"], "accepted"),
        (["x = sorte|\n"], "partially_accepted"),
        (["x = f|\n"], "ignored"),
        (["|x = \n"], "ignored"),
    ],
)
def test_the_next_text_tells_what_became_of_a_completion(then: list[str], kind: str) -> None:
    service = Service(FakeGenerator(["sorted", "\n"]), replace(QUIET, is_cached=False))
    first, *_ = run(service, ask("x = |\n"), *(ask(marked) for marked in then))
    trace = service.traces.get(first.request_id)
    assert trace is not None
    assert [event.kind for event in trace.events] == [kind]


def test_what_is_typed_to_its_end_is_typed_through() -> None:
    service = Service(FakeGenerator(["sorted", "\n"]), QUIET)
    keys = [ask(f"x = {'sorted'[:n]}|\n") for n in range(7)]
    *_, shown_last, _ = run(service, *keys)
    trace = service.traces.get(shown_last.request_id)
    assert trace is not None
    assert [event.kind for event in trace.events] == ["typed_through"]
