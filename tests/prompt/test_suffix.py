"""An old suffix is kept only where nobody can tell: far from the cursor, and little of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from paceline.prompt.suffix import NUM_EQUAL_LINES, SuffixKeeper, is_close

LINES = [f"    value_{number} = compute({number})\n" for number in range(60)]
SUFFIX = ")\n" + "".join(LINES)


def changed(line: int, old: str, new: str) -> str:
    lines = list(LINES)
    assert old in lines[line]
    lines[line] = lines[line].replace(old, new)
    return ")\n" + "".join(lines)


def test_a_small_change_far_away_is_not_shown() -> None:
    keeper = SuffixKeeper()
    assert keeper.keep(SUFFIX) == SUFFIX
    assert keeper.keep(changed(20, "compute", "count")) == SUFFIX
    assert keeper.keep(SUFFIX) == SUFFIX


def test_the_lines_at_the_cursor_are_never_old() -> None:
    for line in range(NUM_EQUAL_LINES):
        new = changed(line, "(", "[")
        assert SuffixKeeper().keep(new) == new
        keeper = SuffixKeeper()
        keeper.keep(SUFFIX)
        assert keeper.keep(new) == new
    keeper.keep(SUFFIX)
    assert keeper.keep("))\n" + "".join(LINES)).startswith("))")


def test_small_changes_do_not_add_up() -> None:
    """Each is compared with the suffix in use, not with the one before."""
    keeper, lines = SuffixKeeper(), list(LINES)
    keeper.keep(SUFFIX)
    for number in range(NUM_EQUAL_LINES + 1, 40):
        lines[number] = "    something_else(entirely)\n"
        suffix = ")\n" + "".join(lines)
        assert is_close(keeper.keep(suffix), suffix)
    assert "something_else" in keeper.keep(suffix)


def test_lines_moved_and_ends() -> None:
    assert not is_close("a\nb\n", "")
    assert not is_close("", "a")
    assert not is_close(SUFFIX, SUFFIX.split("\n", 1)[1]), "the cursor went down a line"
    assert not is_close(SUFFIX, SUFFIX[:600]), "most of it is gone"


@given(st.text(max_size=80), st.text(max_size=80))
def test_what_is_kept_begins_alike(old: str, new: str) -> None:
    keeper = SuffixKeeper()
    keeper.keep(old)
    kept = keeper.keep(new)
    assert kept in (old, new)
    assert kept.split("\n")[0] == new.split("\n")[0]
