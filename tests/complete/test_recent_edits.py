"""What was changed lately, in whole lines: applied backwards, an edit gives the text as it was before."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.complete.recent_edits import MAX_EDIT_CHARS, MAX_PAUSE_MS, LineChange, RecentEdits

LINES = st.lists(st.sampled_from(["a\n", "b\n", "\n"]), max_size=4).map(tuple)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3), LINES), max_size=8))
def test_edits_undone_newest_first_lead_back_to_the_first_text(
    changes: list[tuple[int, int, tuple[str, ...]]],
) -> None:
    first: list[str] = ["1\n", "2\n", "3\n", "4\n", "5\n"]
    edits, lines = RecentEdits(), list(first)
    for at_ms, (place, num_lines, after) in enumerate(changes):
        place = min(place, len(lines))
        before = tuple(lines[place : place + num_lines])
        lines[place : place + num_lines] = after
        edits.add("d", LineChange(place, before, after), at_ms)
    for edit in edits.newest_first():
        num_after = edit.after.count("\n")
        assert "".join(lines[edit.line : edit.line + num_after]) == edit.after
        lines[edit.line : edit.line + num_after] = edit.before.splitlines(keepends=True)
    assert "".join(lines) == "".join(first)


def typed(edits: RecentEdits, before: str, after: str, line: int = 3, at_ms: float = 0.0) -> None:
    edits.add("d", LineChange(line, (before,), (after,)), at_ms)


def test_keys_on_one_line_are_one_edit_until_a_pause() -> None:
    edits = RecentEdits()
    typed(edits, "x\n", "xy\n")
    typed(edits, "xy\n", "xyz\n", at_ms=MAX_PAUSE_MS)
    assert [(edit.before, edit.after) for edit in edits.newest_first()] == [("x\n", "xyz\n")]
    typed(edits, "xyz\n", "xyz!\n", at_ms=2 * MAX_PAUSE_MS + 1)
    assert len(edits.newest_first()) == 2


def test_an_edit_does_not_go_on_over_what_is_not_remembered() -> None:
    edits = RecentEdits()
    typed(edits, "x\n", "xy\n")
    paste = tuple(["line\n"] * MAX_EDIT_CHARS)
    edits.add("d", LineChange(0, (), paste), 1.0)
    typed(edits, "line\n", "lines\n", at_ms=2.0)
    assert [edit.after for edit in edits.newest_first()] == ["lines\n", "xy\n"]
    edits.forget("d")
    assert edits.newest_first() == []
