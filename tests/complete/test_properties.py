"""What holds of post-processing on any input: code-like text, any Unicode, real files that were damaged."""

from __future__ import annotations

import sysconfig
from functools import cache
from itertools import product
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from paceline.complete.modes import MODES
from paceline.complete.postprocess import postprocess
from paceline.complete.scene import Scene
from paceline.core.types import Candidate, Cursor, Document, Drop
from paceline.syntax.tree import parse
from tests.complete.golden_cases import SUFFIXES

LANGUAGES = [*SUFFIXES, "", "klingon"]
FRAGMENTS = [
    "if", "else", "else:", "def", "return", "for x in xs", "while", "import os", "from . import a", "class A",
    "function f", "fn f", "func f", "const", "self.a", "a", "b.c", "0", "1.5", "+", "=", "==", "->", "=>", ":", ";",
    ",", ".", "(", ")", "[", "]", "{", "}", "))", "})", '"', "'", '"""', "`", "${", "# x", "// x", "/*", "*/", "\\",
    "\n", "\n", "\n    ", "\n    ", "\n        ", "\n\t", "\r\n", "\n\n", " ", " ", "    ", "\t", "<|endoftext|>", "```\n",
    "a@gmail.com", "end", "None", "pass",
]  # fmt: skip
STANDARD_FILES = ("bisect", "fnmatch", "linecache", "shlex", "stat", "textwrap", "keyword", "queue")

CLOSERS = (")", "]", "}", "'", '"', '"""', "\n@a\ndef f(): pass\n")
"""With up to three of these, text that is unfinished and not wrong parses."""

any_text = st.text(st.characters(exclude_categories=()), max_size=60)
code_text = st.lists(st.sampled_from(FRAGMENTS), max_size=30).map("".join)
either = st.one_of(any_text, code_text)


@cache
def standard_file(name: str) -> str:
    path = Path(sysconfig.get_paths()["stdlib"]) / f"{name}.py"
    return path.read_text(encoding="utf-8")[:6_000]


@st.composite
def made_up(draw: st.DrawFn) -> tuple[Candidate, Scene]:
    """A candidate and a scene without sense."""
    prefix, suffix, text = draw(either), draw(either), draw(either)
    return draw(_candidates(st.just(text))), draw(
        _scenes(prefix, suffix, draw(st.sampled_from(LANGUAGES)), st.lists(either, max_size=2))
    )


@st.composite
def damaged(draw: st.DrawFn) -> tuple[Candidate, Scene]:
    """A hole in a real file, damaged by a few insertions and cuts; what stood there or elsewhere comes back."""
    text = standard_file(draw(st.sampled_from(STANDARD_FILES)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(code_text) + text[at + draw(st.integers(0, 40)) :]
    start, other = draw(st.integers(0, len(text))), draw(st.integers(0, len(text)))
    length = draw(st.integers(0, 400))
    source = draw(st.sampled_from([start, start, other]))
    middle = text[source : source + length] + draw(st.one_of(st.just(""), code_text))
    end = start + draw(st.sampled_from([0, length]))
    return draw(_candidates(st.just(middle))), draw(
        _scenes(text[:start], text[end:], "python", st.just([]))
    )


@st.composite
def _candidates(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> Candidate:
    return Candidate(
        text=draw(texts),
        num_tokens=3,
        logprob=-2.0,
        finish_reason=draw(st.sampled_from(["stop", "length", "deadline"])),
    )


@st.composite
def _scenes(
    draw: st.DrawFn, prefix: str, suffix: str, language: str, rejected: st.SearchStrategy[list[str]]
) -> Scene:
    document = Document(path="src/a.txt", text=prefix + suffix, language=language)
    return Scene(
        Cursor(document=document, offset=len(prefix)),
        draw(st.sampled_from(MODES)),
        trigger=draw(st.sampled_from(["automatic", "invoked"])),
        rejected=tuple(draw(rejected)),
        project=draw(st.sampled_from([None, Nothing()])),
    )


class Nothing:
    """A project that has nothing."""

    def has_module(self, language: str, name: str) -> bool | None:
        del language
        return False if name.startswith(".") else None

    def has_name(self, language: str, name: str) -> bool:
        del language, name
        return False

    has_attribute = has_name


moments = st.one_of(made_up(), damaged())


@settings(max_examples=60)
@given(moments)
def test_it_never_raises_and_a_second_time_changes_nothing(
    moment: tuple[Candidate, Scene],
) -> None:
    candidate, scene = moment
    result = postprocess(candidate, scene).result
    if isinstance(result, Drop):
        assert result.reason
        return
    again = postprocess(result, _fresh(scene)).result
    assert again == result


@settings(max_examples=60)
@given(moments)
def test_what_is_replaced_lies_on_the_rest_of_the_line(moment: tuple[Candidate, Scene]) -> None:
    candidate, scene = moment
    result = postprocess(candidate, scene).result
    if isinstance(result, Candidate):
        assert result.text.strip()
        assert 0 <= result.num_replaced_chars <= len(scene.line_after)


@settings(max_examples=60)
@given(moments)
def test_the_text_is_the_models_but_for_leading_white_space(
    moment: tuple[Candidate, Scene],
) -> None:
    candidate, scene = moment
    result = postprocess(candidate, scene).result
    if isinstance(result, Candidate):
        assert _without_margins(result.text) in _without_margins(candidate.text)
        assert replace(
            result, text="", num_replaced_chars=0, flags=(), finish_reason=""
        ) == replace(candidate, text="", num_replaced_chars=0, flags=(), finish_reason="")


@settings(max_examples=60)
@given(damaged())
def test_a_file_that_parses_still_parses_or_can_be_made_to_by_closing_brackets(
    moment: tuple[Candidate, Scene],
) -> None:
    candidate, scene = moment
    candidate = replace(candidate, finish_reason="stop")
    result = postprocess(candidate, scene).result
    if isinstance(result, Drop) or scene.tree is None or scene.tree.num_errors:
        return
    endings = (end for count in range(4) for end in product(CLOSERS, repeat=count))
    assert any(num_errors(scene, result, "".join(end)) == 0 for end in endings)


def num_errors(scene: Scene, candidate: Candidate, end: str) -> int:
    """Errors of the document with the candidate and `end` at the cursor, parsed from nothing."""
    cursor = scene.cursor
    suffix = cursor.suffix[candidate.num_replaced_chars :]
    text = cursor.prefix + candidate.text + end + suffix
    tree = parse(text, scene.language, around=cursor.offset)
    assert tree is not None
    return tree.num_errors


def _fresh(scene: Scene) -> Scene:
    return Scene(
        scene.cursor,
        scene.mode,
        trigger=scene.trigger,
        rejected=scene.rejected,
        project=scene.project,
    )


def _without_margins(text: str) -> str:
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join(line.strip() for line in lines).strip()
