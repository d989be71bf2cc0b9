"""Edits of real and random texts, typed key by key: the text at the end is the one asked for."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.core.errors import ConfigError, InputError
from paceline.core.types import Document
from paceline.traces.editor import Editor, indent_of, pairs_of
from paceline.traces.edits import apply_edits, edits_between
from paceline.traces.moments import Moment, moments, opportunities
from paceline.traces.retype import RetypeConfig, type_edits
from paceline.traces.simulate import TraceConfig, simulate
from paceline.traces.sources import standard_library
from paceline.traces.types import Trace, final_text, replay

CODE = st.lists(
    st.sampled_from(
        ["x", "foo", "return", " ", "\n", "\n    ", "\n        ", "(", ")", "[", "]", "{", "}", ",",
         ":", "'", '"', "é", "\t", "\r", "\\", "#", "\n\n"]
    ),
    max_size=50,
).map("".join)  # fmt: skip
TEXT = st.one_of(CODE, st.text(max_size=30))
ALWAYS = RetypeConfig(auto_close_share=1.0)
NEVER = RetypeConfig(auto_close_share=0.0)


def type_change(
    before: str, after: str, seed: int = 0, config: RetypeConfig = ALWAYS, path: str = "a.py"
) -> Trace:
    return type_edits(Document(path=path, text=before), edits_between(before, after), seed, config)


def check_moments(trace: Trace) -> list[Moment]:
    """Everything that must hold between the moments of a trace."""
    found = list(moments(trace))
    assert [moment.keystroke for moment in found] == list(trace.keystrokes)
    ends: dict[int, str] = {}
    for moment, (_, cursor) in zip(found, replay(trace), strict=True):
        assert moment.cursor == cursor
        if moment.is_last_of_edit:
            ends[moment.edit_index] = cursor.document.text
            assert not moment.truth
    for moment in found:
        if moment.truth:
            whole = moment.after(len(moment.truth))
            assert whole.document.text == ends[moment.edit_index]
            rest = moment.cursor.suffix
            closed = "".join(moment.truth[place] for place in moment.closed)
            assert rest.startswith(closed)
    check_steps(found)
    return found


def check_steps(found: list[Moment]) -> None:
    """Typing what the truth says gives the next state."""
    for now, later in itertools.pairwise(found):
        assert now.next_at_ms == later.keystroke.at_ms
        if not (now.truth and later.truth):
            continue
        assert now.edit_index == later.edit_index
        num_chars = later.num_typed - now.num_typed
        assert later.truth == now.truth[num_chars:]
        state = now.after(num_chars)
        assert state.prefix == later.cursor.prefix
        if not later.keystroke.num_chars_after:
            assert state == later.cursor


@given(before=TEXT, after=TEXT)
def test_edits_make_the_new_text(before: str, after: str) -> None:
    edits = edits_between(before, after)
    assert apply_edits(before, edits) == after
    for edit in edits:
        assert before.startswith(edit.deleted, edit.offset)
        assert edit.deleted != edit.inserted
    for left, right in itertools.pairwise(edits):
        assert left.offset + len(left.deleted) <= right.offset
    assert bool(edits) == (before != after)


@settings(max_examples=60)
@given(before=TEXT, after=TEXT, seed=st.integers(0, 99), share=st.sampled_from([0.0, 1.0]))
def test_typing_makes_the_new_text(before: str, after: str, seed: int, share: float) -> None:
    config = RetypeConfig(auto_close_share=share, mistake_share=0.2)
    trace = type_change(before, after, seed, config)
    assert final_text(trace) == after
    assert trace == type_change(before, after, seed, config)
    times = [keystroke.at_ms for keystroke in trace.keystrokes]
    assert all(earlier < later for earlier, later in itertools.pairwise(times))
    check_moments(trace)


@pytest.mark.parametrize("config", [ALWAYS, NEVER, RetypeConfig(has_auto_indent=False)])
def test_real_files_that_lose_their_functions_get_them_back(config: RetypeConfig) -> None:
    for document in standard_library(3, seed=5):
        lines = document.text.split("\n")[:220]
        after = "\n".join(lines)
        before = "\n".join(line for number, line in enumerate(lines) if number % 37 < 25)
        trace = type_change(before, after, 3, config)
        assert final_text(trace) == after
        found = check_moments(trace)
        assert sum(moment.is_opportunity for moment in found) > 300
        assert [m for m in found if m.is_opportunity] == list(opportunities(trace))


def test_whole_file_traces_have_moments_too() -> None:
    document = standard_library(1, seed=2)[0]
    found = check_moments(simulate(document, 4, TraceConfig(mistake_share=0.2)))
    wrong = [moment for moment in found if moment.keystroke.kind == "mistake"]
    assert wrong and not any(moment.truth for moment in wrong)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("f(a, b)\n", "f(a, c)\n", [("b", "c")]),
        ("x = get(y)\n", "x = get(y, timeout=3)\n", [("", ", timeout=3")]),
        ("foo = 1\n", "foobar = 1\n", [("", "bar")]),
        ("alpha = beta\n", "gamma = beta\n", [("alpha", "gamma")]),
        ("a = 1\nb = 2\n", "a = 1\nx = 3\nb = 2\n", [("", "\nx = 3")]),
        ("a()\nb()\n", "b()\n", [("a()\n", "")]),
        ("if x:\n    y = 10\n", "if x:\n        y = 10\n", [("", "    ")]),
        ("a", "a\n", [("", "\n")]),
        ("", "x = 1", [("", "x = 1")]),
    ],
)
def test_edits_are_those_of_a_person(
    before: str, after: str, expected: list[tuple[str, str]]
) -> None:
    edits = edits_between(before, after)
    assert [(edit.deleted, edit.inserted) for edit in edits] == expected


def test_a_new_function_is_one_insertion_that_ends_with_its_body() -> None:
    def function(name: str) -> str:
        return f"def {name}():\n    y = {name}\n    return y\n"

    before = "\n\n".join([function("a"), function("b")])
    after = "\n\n".join([function("a"), function("new"), function("b")])
    (edit,) = edits_between(before, after)
    assert edit.inserted == "\n\n\n" + function("new").rstrip("\n")
    assert before[: edit.offset] == function("a").rstrip("\n")


def test_thousands_of_equal_lines_are_compared_quickly() -> None:
    before = "x = 1\ny = 2\n\n" * 3000
    after = before.replace("y = 2\n\nx", "y = 2\n\nz", 1) + "end = 1\n"
    assert apply_edits(before, edits_between(before, after)) == after
    other = "a b c d e\n" * 9000
    assert apply_edits(other, edits_between(other, "q r s\n" * 9000)) == "q r s\n" * 9000


def states(trace: Trace) -> list[str]:
    return [
        f"{cursor.prefix}|{cursor.suffix}"
        for keystroke, cursor in replay(trace)
        if keystroke.kind != "mistake"
    ]


EXACT = RetypeConfig(auto_close_share=1.0, mistake_share=0.0, burst_weights=(1.0,))


def test_the_editor_closes_brackets_and_the_user_types_over_them() -> None:
    trace = type_change("x = 1\n", "x = 1\nf([1], 'a')\n", config=EXACT)
    shown = [state.split("\n")[1] for state in states(trace)[1:]]
    assert shown == [
        "|", "f|", "f(|)", "f([|])", "f([1|])", "f([1]|)", "f([1],|)", "f([1], |)", "f([1], '|')",
        "f([1], 'a|')", "f([1], 'a'|)", "f([1], 'a')|",
    ]  # fmt: skip
    moment = next(m for m in moments(trace) if m.cursor.prefix.endswith("f([1"))
    assert moment.truth == "], 'a')"
    assert moment.closed == (0, 6)
    assert [moment.num_replaced_chars(n) for n in (0, 1, 6, 7)] == [0, 1, 1, 2]
    assert moment.after(3).document.text == "x = 1\nf([1], )\n"
    with pytest.raises(InputError, match="num_chars"):
        moment.after(8)


def test_enter_between_brackets_opens_a_line_between_them() -> None:
    trace = type_change("x\n", "x\ny = [\n    1,\n]\n", config=EXACT)
    shown = states(trace)
    assert "x\ny = [\n    |\n]\n" in shown
    ends = ["    1,|\n]\n", "    1,\n|]\n", "    1,\n]|\n"]
    assert shown[-3:] == ["x\ny = [\n" + end for end in ends]
    assert [k.kind for k in trace.keystrokes][-2:] == ["typeover", "typeover"]


def test_indentation_is_the_editors_guess_until_the_user_corrects_it() -> None:
    before = "def f():\n    if x:\n        a = 1\n"
    trace = type_change(before, before + "    b = 2\n\n\nc = 3\n", config=EXACT)
    shown = [state.removeprefix(before.rstrip("\n")) for state in states(trace)]
    assert "\n        |\n" in shown
    assert "\n    |\n" in shown
    assert "\n    b = 2\n    |\n" in shown
    assert "\n    b = 2\n\n    |\n" in shown, "the blank line's indentation is taken away"
    assert "\n    b = 2\n\n\n|\n" in shown
    found = {moment.cursor.prefix.removeprefix(before): moment for moment in moments(trace)}
    assert not found["        "].truth
    assert found["    "].truth == "b = 2\n\n\nc = 3"


def test_short_text_is_backspaced_and_long_text_selected() -> None:
    trace = type_change("f(ab)\n", "f(cd)\n", config=EXACT)
    assert states(trace) == ["f(ab|)\n", "f(a|)\n", "f(|)\n", "f(c|)\n", "f(cd|)\n"]
    assert [m.truth for m in moments(trace)] == ["", "", "cd", "d", ""]
    trace = type_change("f(abcdefghijk)\n", "f(cd)\n", config=EXACT)
    assert [k.kind for k in trace.keystrokes] == ["jump", "delete", "insert", "insert"]


def test_moved_text_and_indentation_are_not_typed() -> None:
    block = "def f():\n    x = 1\n    y = 2\n    return x + y\n"
    other = "z = 5\nw = 6\nv = 7\nu = 8\nt = 9\n"
    trace = type_change(block + other, other + block, config=EXACT)
    assert "paste" in {keystroke.kind for keystroke in trace.keystrokes}
    assert not list(opportunities(trace))


def test_some_traces_close_and_some_do_not() -> None:
    kinds = [
        any(k.kind == "typeover" for k in type_change("", "f(1)", seed, RetypeConfig()).keystrokes)
        for seed in range(40)
    ]
    assert 8 < sum(kinds) < 32
    assert not any(k.num_chars_after for k in type_change("", "f(1)", 0, NEVER).keystrokes)


def test_the_editors_rules() -> None:
    editor = Editor()
    assert editor.indent_after("def f():") == "    "
    assert editor.indent_after("    return x") == ""
    assert editor.indent_after("    return f(") == "        "
    assert editor.indent_after("    returned = 1") == "    "
    assert editor.indent_after("      ") == "      "
    assert Editor(is_python=False).indent_after("    return x;") == "    "
    assert editor.closes("(", "f", "") and editor.closes('"', "f", ")")
    assert not editor.closes("(", "f", "x")
    assert not editor.closes("'", "n", " ")
    assert not editor.closes('"', '"', "\n")
    assert not Editor(has_auto_close=False).closes("(", "f", "")
    assert indent_of("if x:\n  a\n  if y:\n    b\n") == "  "
    assert indent_of("a {\n\tb\n}\n") == "\t"
    assert indent_of("") == "    "


def test_pairs_nest_and_strings_hide_brackets() -> None:
    assert pairs_of("f(a[0], '(')") == {1: 11, 3: 5, 8: 10}
    assert pairs_of("it's (a] )") == {}
    assert pairs_of('"""(""" (x)') == {8: 10}
    assert pairs_of("'a\\'b'") == {0: 5}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"burst_weights": ()}, "burst_weights"),
        ({"mistake_share": 1.0}, "mistake_share"),
        ({"auto_close_share": 1.5}, "auto_close_share"),
    ],
)
def test_bad_configs_are_refused(fields: dict[str, float], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        RetypeConfig(**fields)  # pyright: ignore[reportArgumentType]
