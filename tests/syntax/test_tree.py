"""Trees: incremental parsing equals parsing from nothing; offsets, errors, windows, bad input."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.syntax import tree as tree_module
from paceline.syntax import window as window_module
from paceline.syntax.languages import Language, language_named
from paceline.syntax.offsets import OffsetMap
from paceline.syntax.tree import SyntaxTree, TreeCache, common_prefix, common_suffix, parse

PYTHON = language_named("python")
SOURCES = {
    "python": 'import os\n\n\nclass A(B):\n    """Döc."""\n\n    def f(self, x):\n        if x:\n'
    "            return [y for y in x]\n        return f'{x!r} €'\n\n    def g(self):\n        pass\n",
    "typescript": "import {a} from './m';\nclass C<T> {\n  m(x: number): string {\n    return `é${x}` + /a\"b/.source;\n"
    "  }\n}\nconst f = async (y) => {\n  if (y) { g({k: 1}); }\n};\n",
    "java": 'class A {\n    int x = 1;\n    void m(String s) {\n        for (int i : t) {\n            f("ü", i);\n'
    "        }\n    }\n}\n",
    "go": "package p\n\nfunc (r *R) F() error {\n\tif err := g(); err != nil {\n\t\treturn err\n\t}\n\treturn nil\n}\n",
    "rust": "impl A {\n    fn f<'a>(&'a self) -> u8 {\n        match self.x {\n            Some(y) => y,\n            None => 0,\n"
    "        }\n    }\n}\n",
    "cpp": "namespace a {\nclass B : public C {\n public:\n  B(int x) : x_(x) {}\n  int x_;\n};\n}\n",
    "c": "#include <x.h>\nint main(void) {\n  struct P p = {1, 2};\n  return p.x;\n}\n",
    "javascript": "const {a, b} = require('m');\nfunction f(x) {\n  return x ? a : b\n}\n",
}


def fresh(text: str, language: Language) -> SyntaxTree:
    tree = parse(text, language, around=0)
    assert tree is not None
    return tree


def shape(tree: SyntaxTree) -> list[tuple[str, int, int]]:
    """Types and bytes of all nodes: what `str(root)` says, and where."""
    walk, found = tree.root.walk(), []
    while True:
        node = walk.node
        assert node is not None
        found.append((node.type, node.start_byte, node.end_byte))
        if walk.goto_first_child() or walk.goto_next_sibling():
            continue
        while walk.goto_parent():
            if walk.goto_next_sibling():
                break
        else:
            return found


@pytest.mark.parametrize("name", SOURCES)
def test_sources_parse(name: str) -> None:
    assert fresh(SOURCES[name], language_named(name)).num_errors == 0


@pytest.mark.parametrize("name", SOURCES)
def test_typing_and_deleting_is_equal_to_parsing_from_nothing(name: str) -> None:
    """The slow twin: code is typed a character at a time into a gap, then deleted again."""
    language, text = language_named(name), SOURCES[name]
    rng = random.Random(7)
    lines = text.splitlines(keepends=True)
    first = rng.randrange(1, len(lines) - 2)
    typed = "".join(lines[first : first + 2])
    before, after = "".join(lines[:first]), "".join(lines[first + 2 :])
    states = [typed[:count] for count in (*range(len(typed)), *range(len(typed), -1, -5))]
    tree = fresh(before + after, language)
    for state in states:
        now = before + state + after
        new = parse(now, language, around=len(before) + len(state), old=tree)
        assert new is not None
        tree = new
        assert str(tree.root) == str(fresh(now, language).root), state
        assert shape(tree) == shape(fresh(now, language)), state


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_random_edits_of_sound_code_keep_the_tree_usable(data: st.DataObject) -> None:
    """Any edit; where the result parses without errors, it is the tree from nothing."""
    name = data.draw(st.sampled_from(sorted(SOURCES)))
    language, text = language_named(name), SOURCES[name]
    tree = fresh(text, language)
    for _ in range(3):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(start + 12, len(text))))
        insert = data.draw(
            st.one_of(
                st.text(max_size=6), st.sampled_from(["(", ")", "{", "}", "\n", '"""', "'", "x"])
            )
        )
        tree = tree.replaced(start, end, insert)
        text = text[:start] + insert + text[end:]
        slow = fresh(text, language)
        assert tree.text == text
        if slow.num_errors == 0:
            assert str(tree.root) == str(slow.root)
        assert tree.num_errors == 0 or slow.num_errors > 0


def test_replaced_leaves_the_tree_it_came_from_alone() -> None:
    tree = fresh("x = 1\n", PYTHON)
    before = str(tree.root)
    other = tree.replaced(4, 5, "(")
    assert str(tree.root) == before
    assert tree.num_errors == 0
    assert other.num_errors > 0
    assert other.text == "x = (\n"


def test_errors_are_counted_missing_ones_too() -> None:
    assert fresh("x = 1\n", PYTHON).num_errors == 0
    assert fresh("def f(:\n", PYTHON).num_errors >= 1
    assert fresh("int f() { return 1 }", language_named("c")).num_errors == 1


def test_errors_are_capped() -> None:
    assert fresh(") ( ] [ $ \n" * 3_000, PYTHON).num_errors <= 200


def test_offsets_are_code_points_in_any_text() -> None:
    tree = fresh("é = '€😀'\nname = 1\n", PYTHON)
    node = tree.root.named_children[1]
    assert tree.offset_of(node.start_byte) == tree.text.index("name")
    assert tree.byte_offset_of(tree.text.index("name")) == node.start_byte
    assert tree.text_of(node) == "name = 1"


@settings(max_examples=60)
@given(st.text(st.characters(exclude_categories=()), max_size=60), st.integers(0, 60))
def test_offset_map_is_its_own_inverse(text: str, offset: int) -> None:
    offset = min(offset, len(text))
    for scaled in (text, text * 200):
        found = OffsetMap(scaled)
        assert found.offset(found.byte_offset(offset)) == offset
        assert found.byte_offset(offset) == len(scaled[:offset].encode("utf-8", "replace"))


@settings(max_examples=60)
@given(st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=40))
def test_common_ends(same: bytes, one: bytes, other: bytes) -> None:
    size = common_prefix(same + one, same + other)
    assert (same + one)[:size] == (same + other)[:size]
    assert size >= len(same)
    assert (same + one)[size : size + 1] != (same + other)[size : size + 1] or size == min(
        len(same + one), len(same + other)
    )
    assert common_suffix(one + same, other + same, len(same)) == len(same)


def test_lone_surrogates_and_nul_are_parsed() -> None:
    tree = fresh("x = '\ud800\udc00 \0'\ny = 1\n", PYTHON)
    assert tree.offset_of(tree.byte_offset_of(tree.text.index("y"))) == tree.text.index("y")


def test_without_a_grammar_there_is_no_tree() -> None:
    assert parse("fun f() {}", language_named("kotlin"), around=0) is None


def test_a_line_of_a_megabyte_has_no_tree() -> None:
    assert parse("x = [" + "1, " * 350_000 + "]\n", PYTHON, around=10) is None


def long_text(num: int = 9_000) -> str:
    return "".join(f"def f{index}(x):\n    return x + {index}\n\n" for index in range(num))


def test_a_long_text_is_parsed_in_part_that_begins_outside_of_blocks() -> None:
    text = long_text()
    assert len(text) > window_module.MAX_WHOLE_CHARS
    around = len(text) // 2
    tree = parse(text, PYTHON, around=around)
    assert tree is not None
    assert tree.num_errors == 0
    assert tree.covers(around)
    assert not tree.covers(0)
    assert text[tree.first_offset :].startswith("def f")
    assert tree.text == text[tree.first_offset : tree.first_offset + len(tree.text)]
    assert len(tree.text) < 4 * window_module.WINDOW_CHARS


def test_a_part_moves_with_the_text_and_is_parsed_incrementally() -> None:
    text = long_text()
    around = text.index("def f4500")
    old = parse(text, PYTHON, around=around)
    assert old is not None
    for typed in ("d", "de", "def g():\n    pass\n\n"):
        now = text[:around] + typed + text[around:]
        tree = parse(now, PYTHON, around=around + len(typed), old=old)
        assert tree is not None
        assert tree.first_offset == old.first_offset
        assert tree.text == now[tree.first_offset : tree.first_offset + len(tree.text)]
        slow = parse(tree.text, PYTHON, around=0)
        assert slow is not None
        assert str(tree.root) == str(slow.root)
    far = parse(text, PYTHON, around=100, old=old)
    assert far is not None
    assert far.first_offset == 0


@pytest.mark.parametrize(
    "text", ["\n" * 300_000, " " * 250_000, "    x\n" * 60_000, "}\n" * 150_000]
)
def test_odd_long_texts_end(text: str) -> None:
    tree = parse(text, PYTHON, around=len(text) // 2)
    assert tree is None or tree.covers(len(text) // 2)


def test_cache_keeps_the_newest_and_forgets_the_oldest() -> None:
    cache = TreeCache(max_trees=2)
    first = cache.tree("a", "x = 1\n", PYTHON, around=0)
    again = cache.tree("a", "x = 1\n", PYTHON, around=0)
    assert first is not None
    assert again is not None
    assert again.offsets is first.offsets
    assert cache.tree("a", "x = 12\n", PYTHON, around=6) is not None
    for key in ("b", "c"):
        cache.tree(key, "y = 1\n", PYTHON, around=0)
    assert cache.tree("k", "x", language_named("kotlin"), around=0) is None
    other = cache.tree("c", "let y = 1;\n", language_named("javascript"), around=0)
    assert other is not None
    assert other.language.name == "javascript"


def test_the_parser_s_own_files_parse() -> None:
    for path in Path(window_module.__file__).parent.glob("*.py"):
        assert fresh(path.read_text(), PYTHON).num_errors == 0


def test_what_takes_too_long_goes_without_a_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_module, "MAX_PARSE_S", -1.0)
    text = "value = 1\n" * 20_000
    cache = TreeCache()
    assert cache.tree("a", text, PYTHON, around=0) is None
    monkeypatch.undo()
    for _ in range(tree_module.NUM_RESTS):
        assert cache.tree("a", text, PYTHON, around=0) is None
    assert cache.tree("a", text, PYTHON, around=0) is not None
    assert cache.tree("b", text, PYTHON, around=0) is not None
