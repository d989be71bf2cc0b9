"""The type-through cache against a slow twin that looks at every answer, and by its own promise."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from paceline.complete.cache import (
    BEFORE_CHARS,
    CLOSERS,
    MAX_TYPED_CHARS,
    Answer,
    Asked,
    CacheConfig,
    Choice,
    CompletionCache,
    Spot,
    spot_at,
)
from paceline.complete.modes import MODES, Mode
from paceline.core.errors import ConfigError
from paceline.core.types import Cursor, Document, Drop
from tests.fakes import FakeClock
from tests.work import lines_run


def asked(mode: Mode = "single_line", document_id: str = "d", params: str = "") -> Asked:
    return Asked(document_id=document_id, model_id="m", mode=mode, params=params)


def answer(*texts: str, num_replaced_chars: int = 0, is_finished: bool = True) -> Answer:
    return Answer(choices=tuple(Choice(text, num_replaced_chars, is_finished) for text in texts))


def texts_at(cache: CompletionCache, before: str, after: str) -> list[str]:
    hit = cache.find(asked(), Spot(before, after))
    return [choice.text for choice in hit.choices] if hit else []


def test_typing_what_is_shown_keeps_the_rest_and_going_back_finds_it_again() -> None:
    cache = CompletionCache()
    cache.put(asked(), Spot("x = ", "\n"), answer("foo(bar)"))
    hit = cache.find(asked(), Spot("x = fo", "\n"))
    assert hit is not None
    assert (hit.choices[0].text, hit.source, hit.num_typed_chars) == (
        "o(bar)",
        "typed_as_suggested",
        2,
    )
    again = cache.find(asked(), Spot("x = ", "\n"))
    assert again is not None
    assert (again.choices[0].text, again.source) == ("foo(bar)", "cache")
    assert texts_at(cache, "x = fa", "\n") == []
    assert texts_at(cache, "x =", "\n") == []


def test_an_empty_rest_is_a_miss_and_a_cut_text_says_so() -> None:
    cache = CompletionCache()
    cache.put(asked(), Spot("a", ""), answer("bc", is_finished=False))
    hit = cache.find(asked(), Spot("ab", ""))
    assert hit is not None
    assert not hit.choices[0].is_finished
    assert texts_at(cache, "abc", "") == []


@pytest.mark.parametrize(
    "other",
    [
        (asked(), Spot("x = ", ")")),
        (asked("multi_line"), Spot("x = ", "\n")),
        (asked(document_id="e"), Spot("x = ", "\n")),
        (asked(params="hot"), Spot("x = ", "\n")),
        (asked(), Spot("y = ", "\n")),
    ],
)
def test_every_part_of_the_key_counts(other: tuple[Asked, Spot]) -> None:
    cache = CompletionCache()
    cache.put(asked(), Spot("x = ", "\n"), answer("1"))
    assert cache.find(*other) is None


def test_other_modes_are_found_when_asked_for() -> None:
    cache = CompletionCache()
    cache.put(asked("block_body"), Spot("if x:", "\n"), answer("\n    pass\n    done()"))
    hit = cache.find(asked(), Spot("if x:\n", "\n"), modes=MODES)
    assert hit is not None
    assert hit.mode == "block_body"


def test_the_nearest_answer_wins() -> None:
    cache = CompletionCache()
    cache.put(asked(), Spot("a", ""), answer("bcdef"))
    cache.put(asked(), Spot("ab", ""), answer("cxyz"))
    assert texts_at(cache, "ab", "") == ["cxyz"]
    assert texts_at(cache, "abc", "") == ["xyz"]
    assert texts_at(cache, "abcd", "") == ["ef"]


def test_alternatives_stay_as_long_as_they_agree() -> None:
    cache = CompletionCache()
    cache.put(asked(), Spot("", ""), answer("foo()", "fool", "bar"))
    assert texts_at(cache, "f", "") == ["oo()", "ool"]
    assert texts_at(cache, "fool", "") == []
    assert texts_at(cache, "b", "") == ["ar"]


def test_a_bracket_that_the_editor_closes_is_followed() -> None:
    cache = CompletionCache()
    cache.put(asked(), Spot("print", "\n"), answer("(x + 1)"))
    hit = cache.find(asked(), Spot("print(", ")\n"))
    assert hit is not None
    assert hit.choices[0] == Choice("x + 1)", 1)
    assert texts_at(cache, "print(x + 1", ")\n") == []


def test_a_bracket_that_is_typed_over_is_followed() -> None:
    cache = CompletionCache()
    cache.put(asked(), Spot("f(", ")\n"), answer("x) + y", num_replaced_chars=1))
    hit = cache.find(asked(), Spot("f(x)", "\n"))
    assert hit is not None
    assert hit.choices[0] == Choice(" + y", 0)


def test_a_bracket_that_is_gone_but_was_not_to_be_replaced_is_another_place() -> None:
    cache = CompletionCache()
    cache.put(asked(), Spot("f(", ")\n"), answer("g(x) + y"))
    assert texts_at(cache, "f(g(x)", ")\n") == [" + y"]
    assert texts_at(cache, "f(g(x)", "\n") == []


def test_drops_hold_at_their_own_spot_and_not_for_long() -> None:
    clock = FakeClock()
    cache = CompletionCache(now_ms=clock.now_ms)
    cache.put(asked(), Spot("x", ""), Answer(drop=Drop("blank")))
    hit = cache.find(asked(), Spot("x", ""))
    assert hit is not None
    assert (hit.choices, hit.answer.drop) == ((), Drop("blank"))
    assert cache.find(asked(), Spot("xy", "")) is None
    clock.advance(ms=cache.config.max_drop_age_ms + 1)
    assert cache.find(asked(), Spot("x", "")) is None
    cache.check()
    assert len(cache) == 0


def test_answers_grow_old() -> None:
    clock = FakeClock()
    cache = CompletionCache(now_ms=clock.now_ms)
    cache.put(asked(), Spot("x", ""), answer("yz"))
    clock.advance(ms=cache.config.max_age_ms + 1)
    assert texts_at(cache, "xy", "") == []


def test_the_least_recently_used_leave_first() -> None:
    cache = CompletionCache(CacheConfig(max_answers=2))
    cache.put(asked(), Spot("a", ""), answer("1"))
    cache.put(asked(), Spot("b", ""), answer("2"))
    assert texts_at(cache, "a", "") == ["1"]
    cache.put(asked(), Spot("c", ""), answer("3"))
    assert [texts_at(cache, before, "") for before in "abc"] == [["1"], [], ["3"]]
    cache.put(asked(), Spot("d", ""), answer("x" * (cache.config.max_chars + 1)))
    assert texts_at(cache, "d", "") == []


def test_a_closed_document_is_forgotten() -> None:
    cache = CompletionCache()
    for document_id in ("d", "e"):
        cache.put(asked(document_id=document_id), Spot("a", ""), answer("1"))
    cache.forget("d")
    cache.check()
    assert texts_at(cache, "a", "") == []
    assert len(cache) == 1
    cache.clear()
    cache.check()
    assert cache.num_chars == 0


def test_far_text_and_line_ends_do_not_matter() -> None:
    cache = CompletionCache()
    far = "import x\n" * BEFORE_CHARS
    lines = "def f():\n    return 1\n" * 200
    place = Cursor(
        document=Document(path="", text=far + lines + "a = "), offset=len(far + lines) + 4
    )
    cache.put(asked(), spot_at(place), answer("b\r\nc"))
    text = ("y\n" + far + lines + "a = b\nc").replace("\n", "\r\n")[:-1]
    hit = cache.find(
        asked(), spot_at(Cursor(document=Document(path="", text=text), offset=len(text)))
    )
    assert hit is not None
    assert hit.choices[0].text == "c"


def test_bad_limits_are_refused() -> None:
    with pytest.raises(ConfigError):
        CacheConfig(max_answers=0)


class Twin:
    """Finds by looking at every answer ever put: the definition, with neither shelves nor anchors."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], Answer] = {}

    def find(self, before: str, after: str) -> list[str] | None:
        """What the cache should find."""
        shifts = [(after, 0, "")]
        if after[:1] in CLOSERS and after:
            shifts.append((after[1:], 1, CLOSERS[after[0]]))
        shifts += [(closer + after, -1, closer) for closer in CLOSERS]
        for wanted_after, more, needed in shifts:
            found = [
                (len(place), self._rest(place, before, after, value, more, needed))
                for (place, own_after), value in self.answers.items()
                if own_after == wanted_after and before.startswith(place)
            ]
            for _, texts in sorted(found, key=lambda item: -item[0]):
                if texts is not None:
                    return texts
        return None

    def _rest(
        self, place: str, before: str, after: str, value: Answer, more: int, needed: str
    ) -> list[str] | None:
        typed = before[len(place) :]
        if needed not in typed or (needed and not typed):
            return None
        if value.drop is not None:
            return [] if not typed else None
        texts = [
            choice.text[len(typed) :]
            for choice in value.choices
            if choice.text.startswith(typed)
            and choice.num_replaced_chars + more >= 0
            and choice.text[len(typed) :] not in ("", after[: choice.num_replaced_chars + more])
        ]
        return texts or None


class CacheMachine(RuleBasedStateMachine):
    """Few letters, so that answers meet often."""

    BEFORE = st.text("ab(", max_size=5)
    AFTER = st.sampled_from(["", ")", "))", "b", ")b"])
    TEXT = st.text("ab()", min_size=1, max_size=5)

    def __init__(self) -> None:
        super().__init__()
        self.cache, self.twin = CompletionCache(), Twin()

    @rule(
        before=BEFORE,
        after=AFTER,
        texts=st.lists(TEXT, min_size=1, max_size=3),
        num=st.integers(0, 2),
    )
    def put(self, before: str, after: str, texts: list[str], num: int) -> None:
        value = answer(*texts, num_replaced_chars=min(num, len(after)))
        self.cache.put(asked(), Spot(before, after), value)
        self.twin.answers[(before, after)] = value

    @rule(before=BEFORE, after=AFTER)
    def put_drop(self, before: str, after: str) -> None:
        value = Answer(drop=Drop("blank"))
        self.cache.put(asked(), Spot(before, after), value)
        self.twin.answers[(before, after)] = value

    @rule(before=BEFORE, more=st.text("ab()", max_size=5), after=AFTER)
    def find(self, before: str, more: str, after: str) -> None:
        hit = self.cache.find(asked(), Spot(before + more, after))
        texts = None if hit is None else [choice.text for choice in hit.choices]
        assert texts == self.twin.find(before + more, after)
        if hit is not None and hit.choices:
            self.check_promise(hit.answer, hit.choices, before + more, after)

    @rule(
        data=st.data(),
        num_typed=st.integers(0, 5),
        shift=st.sampled_from(["", ")", "over", "over"]),
    )
    def type_on(self, data: st.DataObject, num_typed: int, shift: str) -> None:
        """Type a part of some answer's text; perhaps the editor adds a bracket, or one is typed over."""
        if not self.twin.answers:
            return
        before, after = data.draw(st.sampled_from(sorted(self.twin.answers)))
        choices = self.twin.answers[(before, after)].choices
        typed = data.draw(st.sampled_from([choice.text for choice in choices] or ["a"]))[:num_typed]
        self.find(before, typed, after[1:] if shift == "over" else shift + after)

    def check_promise(
        self, found: Answer, choices: tuple[Choice, ...], before: str, after: str
    ) -> None:
        """Every remainder leads to a document that the answer itself gives, at a spot where it was put."""
        own = [
            place + choice.text + own_after[choice.num_replaced_chars :]
            for (place, own_after), value in self.twin.answers.items()
            if value == found
            for choice in found.choices
        ]
        for choice in choices:
            assert before + choice.text + after[choice.num_replaced_chars :] in own

    @invariant()
    def shelves_agree(self) -> None:
        self.cache.check()


TestCacheMachine = CacheMachine.TestCase
TestCacheMachine.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


@given(
    st.lists(
        st.tuples(st.text("ab\n", max_size=40), st.text("ab", min_size=1, max_size=60)), max_size=12
    )
)
@settings(max_examples=30, deadline=None)
def test_bounds_hold(places: list[tuple[str, str]]) -> None:
    cache = CompletionCache(CacheConfig(max_answers=4, max_chars=120))
    for before, text in places:
        cache.put(asked(), Spot(before, ""), answer(text))
        cache.check()


@pytest.mark.parametrize("end", ["", "b"])
def test_a_lookup_costs_the_same_however_much_is_kept(end: str) -> None:
    """Even where every place looks alike."""
    spot = Spot("a" * 3_000 + end, "\n")
    assert work_of_lookup(spot, 400) == work_of_lookup(spot, 10)
    assert work_of_lookup(spot, 400) <= 12 * MAX_TYPED_CHARS


def work_of_lookup(spot: Spot, num_answers: int) -> int:
    """Lines run by one lookup in three modes that finds nothing, among so many answers."""
    cache = CompletionCache()
    for number in range(num_answers):
        cache.put(asked(), Spot("a" * (100 + number), "\n"), answer("a" * 600))
    assert cache.find(asked(), spot, modes=MODES) is None
    return lines_run(lambda: cache.find(asked(), spot, modes=MODES))
