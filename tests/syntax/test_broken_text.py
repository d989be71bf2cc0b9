"""Texts that are broken as a whole: a narrow part is parsed, kept while one types in it, and given up again."""

from __future__ import annotations

import pytest

from paceline.syntax.languages import language_named
from paceline.syntax.tree import SyntaxTree, TreeCache, parse
from paceline.syntax.window import MAX_NARROW_PARSES, NARROW_CHARS, NARROW_MARGIN_CHARS

PYTHON = language_named("python")
GOOD = "".join(f"def f{n}(a):\n    b = [a, {n}]\n    return b\n\n\n" for n in range(1_200))
BROKEN = "x = {'a': (\n" + GOOD
"""An opened bracket at the top, and brackets and blocks that fit nothing after it."""


def parsed(text: str, around: int, old: SyntaxTree | None = None) -> SyntaxTree:
    tree = parse(text, PYTHON, around=around, old=old)
    assert tree is not None
    return tree


def typed(text: str, offset: int, new: str) -> str:
    return text[:offset] + new + text[offset:]


def test_what_is_whole_is_parsed_whole() -> None:
    tree = parsed(GOOD, len(GOOD) // 2)
    assert (tree.first_offset, tree.text, tree.is_lost) == (0, GOOD, False)


def test_what_is_broken_as_a_whole_is_parsed_around_the_cursor() -> None:
    at = BROKEN.index("return b", len(BROKEN) // 2)
    tree = parsed(BROKEN, at)
    assert tree.covers(at)
    assert at - NARROW_CHARS <= tree.first_offset < at < tree.first_offset + len(tree.text)
    assert len(tree.text) <= 2 * NARROW_CHARS + 100
    assert not tree.is_lost
    node = tree.root.descendant_for_byte_range(tree.byte_offset_of(at), tree.byte_offset_of(at))
    assert node is not None
    assert node.type == "return"


@pytest.mark.parametrize("text", ["x = (\n", "x = {'a': (\n" + GOOD[: 2 * NARROW_CHARS]])
def test_what_is_short_is_parsed_whole_however_broken(text: str) -> None:
    assert parsed(text, len(text)).text == text


def test_the_part_is_kept_while_one_types_in_it_and_the_whole_is_tried_again() -> None:
    at = BROKEN.index("return b", len(BROKEN) // 2)
    text, tree = BROKEN, parsed(BROKEN, at)
    begin = tree.first_offset
    nums: list[int] = []
    for number in range(2 * MAX_NARROW_PARSES):
        text = typed(text, at + number, "x")
        tree = parsed(text, at + number + 1, tree)
        nums.append(tree.window.num_narrow_parses)
        fresh = parsed(tree.text, 0)
        assert str(tree.root) == str(fresh.root), "incremental or not, it is the same"
        assert tree.text == text[tree.first_offset : tree.first_offset + len(tree.text)]
        assert abs(tree.first_offset - begin) < 200
    assert max(nums) == MAX_NARROW_PARSES
    assert nums.count(1) == 2, "the whole was tried, and is broken still"


def test_a_whole_that_is_mended_is_found_again() -> None:
    at = BROKEN.index("return b", len(BROKEN) // 2)
    trees = TreeCache()
    assert trees.tree("a", BROKEN, PYTHON, around=at) is not None
    tree = None
    for number in range(MAX_NARROW_PARSES + 1):
        tree = trees.tree("a", typed(GOOD, len(GOOD), f"y{number}\n"), PYTHON, around=at)
    assert tree is not None
    assert (tree.first_offset, tree.is_lost) == (0, False)


@pytest.mark.parametrize("away", [-NARROW_CHARS + NARROW_MARGIN_CHARS // 2, NARROW_CHARS])
def test_another_part_is_parsed_when_the_cursor_goes_away(away: int) -> None:
    at = len(BROKEN) // 2
    first = parsed(BROKEN, at)
    second = parsed(BROKEN, at + away, first)
    assert second.first_offset != first.first_offset
    assert second.covers(at + away)
