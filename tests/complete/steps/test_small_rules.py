"""The smaller rules, one by one: what each cuts, drops or covers, and what it must leave alone."""

from __future__ import annotations

import pytest

from paceline.complete.scene import Scene
from paceline.complete.steps.broken import (
    cut_broken_text,
    cut_fences,
    cut_path_lines,
    cut_sentinels,
    mend_line_ends,
)
from paceline.complete.steps.following import cut_repeated_line, drop_near_following
from paceline.complete.steps.midline import cover_closers, meet_rest
from paceline.complete.steps.parse import check_parse
from paceline.complete.steps.rejected import drop_rejected
from paceline.complete.steps.repetition import (
    cut_echo,
    cut_repeated_lines,
    drop_repeated_above,
    drop_repeated_tokens,
)
from paceline.complete.steps.suffix import cut_repeated_rest, imbalance
from paceline.complete.steps.trivial import drop_trivial
from paceline.complete.steps.types import Step
from paceline.core.types import Candidate, Cursor, Document, Drop


def scene_at(marked: str, path: str = "a.py", **more: object) -> Scene:
    prefix, _, suffix = marked.partition("|")
    document = Document(path=path, text=prefix + suffix)
    return Scene(Cursor(document=document, offset=len(prefix)), **more)  # type: ignore[arg-type]


LONG = "    total = compute_everything(first, second)\n"
CASES: list[tuple[Step, str, str, str | Drop]] = [
    (cut_broken_text, "x = |", "caf\ufffd", "caf"),
    (cut_broken_text, "x = |", "ca\ufffdf", Drop("broken_text")),
    (cut_broken_text, "|", "a\nb\x00c", "a"),
    (cut_broken_text, "|", "a\tb\f\nc\u05d0", "a\tb\f\nc\u05d0"),
    (cut_broken_text, "|", "\u202eab", Drop("broken_text")),
    (mend_line_ends, "a\r\n|", "b\nc\r\n", "b\r\nc\r\n"),
    (mend_line_ends, "a\n|", "b\r\nc", "b\nc"),
    (cut_sentinels, "x = |", "1<|fim_pad|>2", "1"),
    (cut_sentinels, "x = |", "1</s>", "1"),
    (cut_sentinels, "x = |", "'<s>a</s>b'", "'<s>a</s>b'"),
    (cut_sentinels, "a = '[PREFIX]'\nx = |", "'[SUFFIX]'", "'[SUFFIX]'"),
    (cut_fences, "|", "```python\nx = 1\n```\nThat is it.", "x = 1"),
    (cut_fences, "|", 'x = """\n```\na\n```\n"""', 'x = """\n```\na\n```\n"""'),
    (cut_path_lines, "|", "x = 1\n# src/a/b.py\ny", "x = 1"),
    (cut_path_lines, "|", "# Path: b.py\ny", Drop("path_line")),
    (cut_path_lines, "|", "# see a/b for more", "# see a/b for more"),
    (drop_repeated_tokens, "x = |", "a.b" * 20, Drop("repetition")),
    (drop_repeated_tokens, "|", "x = 1\ny = " + "n.p." * 20, "x = 1"),
    (drop_repeated_tokens, "|", "a = [1, 2, 3, 4, 5]", "a = [1, 2, 3, 4, 5]"),
    (drop_repeated_tokens, "|", "# " + "-" * 70, "# " + "-" * 70),
    (drop_repeated_tokens, "T = [\n    0, 0, 0, 0,\n    |", "0, " * 30, "0, " * 30),
    (cut_repeated_lines, "|", "f(a)\nf(a)\nf(a)", "f(a)"),
    (cut_repeated_lines, "|", "f(a)\nf(a)\ng(b)", "f(a)\nf(a)\ng(b)"),
    (cut_repeated_lines, "|", "}\n}\n}\n}", "}\n}\n}\n}"),
    (cut_repeated_lines, "|", (LONG + "    return total\n") * 2, LONG + "    return total"),
    (drop_repeated_above, "a = f(b)\n|", "a = f(b)", Drop("repeats_above")),
    (drop_repeated_above, "step(b)\n|", "step(b)", "step(b)"),
    (drop_repeated_above, "step(b)\nstep(b)\n|", "step(b)", Drop("repeats_above")),
    (drop_repeated_above, "x = [\n    a.b.c,\n    |", "a.b.c,", "a.b.c,"),
    (cut_echo, "return total|", "return total + 1", " + 1"),
    (cut_echo, "x = |", "x = 1", "x = 1"),
    (cut_repeated_rest, "x = price * |;", "count;", "count"),
    (cut_repeated_rest, "#include <|>", "vector>", "vector"),
    (cut_repeated_rest, "if a > b and c|>", "d >", "d >"),
    (cut_repeated_line, "|\n    return x\n    y", "    a\n    return x\n    z = 1\n", "    a\n    return x\n    z = 1\n"),
    (cut_repeated_line, "|\n    return x\n    y", "    a\n    return x\n    y", "    a"),
    (drop_near_following, "|\nsize = width * height", "size = width*height", Drop("repeats_following")),
    (drop_near_following, "|\nself.check(first, 2)", "self.check(first, 1)", "self.check(first, 1)"),
    (drop_near_following, "|\nself.check(b, other)", "self.check(a, other)", "self.check(a, other)"),
    (meet_rest, "x = f(|, b)", "a\n", "a"),
    (meet_rest, "x = f(|, b)", "g(a", Drop("mid_line")),
    (meet_rest, "x = f(|, b)", "g(a)", "g(a)"),
    (meet_rest, "f(|)", "a\n", "a\n"),
    (check_parse, "def f():\n    |\n", "a b c", Drop("parses_worse")),
    (check_parse, "def f():\n    |\n", "a = 1\n    b c", "a = 1"),
    (check_parse, "def f():\n    |\n", "a = g(", "a = g("),
    (check_parse, "def f():\n    |\n", "if a:", "if a:"),
    (check_parse, "@a\n|", "@b", "@b"),
    (check_parse, "x = |y * 2\n", "f(a)", Drop("mid_line")),
    (check_parse, '"""Some |\n"""\n', "words (and", "words (and"),
    (drop_trivial, "|", ")", Drop("trivial")),
    (drop_trivial, "|", "});", Drop("trivial")),
    (drop_trivial, "|", "x", Drop("trivial")),
    (drop_trivial, "|", '")"', '")"'),
    (drop_trivial, "|", "ok", "ok"),
]  # fmt: skip


@pytest.mark.parametrize(("step", "marked", "text", "expected"), CASES)
def test_rule(step: Step, marked: str, text: str, expected: str | Drop) -> None:
    result = step(Candidate(text=text), scene_at(marked))
    assert (result if isinstance(result, Drop) else result.text) == expected


def test_closers_in_the_middle_are_covered() -> None:
    scene = scene_at("def f(|)")
    result = cover_closers(Candidate(text="a, b):"), scene)
    assert result == Candidate(text="a, b):", num_replaced_chars=1)
    assert isinstance(result, Candidate)
    assert cover_closers(result, scene) == result
    call = cover_closers(Candidate(text="a).b();"), scene_at("x(|);", "a.js"))
    assert call == Candidate(text="a).b();", num_replaced_chars=2)


def test_text_that_ran_out_of_tokens_is_flagged_not_dropped() -> None:
    candidate = Candidate(text="a b c", finish_reason="length")
    result = check_parse(candidate, scene_at("def f():\n    |\n"))
    assert isinstance(result, Candidate)
    assert result.flags == ("parses_worse",)


def test_rejected_text_does_not_come_back() -> None:
    scene = scene_at("x = |", rejected=("foo( a )",))
    assert drop_rejected(Candidate(text="foo(a)"), scene) == Drop("rejected_here")
    assert drop_rejected(Candidate(text="foo(b)"), scene) == Candidate(text="foo(b)")


def test_who_asks_gets_closers() -> None:
    assert drop_trivial(Candidate(text=")"), scene_at("f(|", trigger="invoked")) == Candidate(
        text=")"
    )


def test_imbalance() -> None:
    assert imbalance("f(a[0])") == 0
    assert imbalance('f((a]"') == 4
