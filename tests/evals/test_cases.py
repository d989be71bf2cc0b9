"""Cases: they cut a file without losing a character, and are the same every time."""

from __future__ import annotations

import io
import tokenize
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.evals.cases import Case, cut_cases
from paceline.evals.config import EvalConfig
from paceline.evals.text_class import classify, find_spans
from tests.evals.conftest import HELDOUT, make_document, make_source

CONFIG = EvalConfig(num_cases=48, comment_share=0.25)
LINES = st.lists(st.text(st.sampled_from("ab =.#'\"\t\\é"), max_size=12), min_size=12, max_size=40)


def line_start(case: Case) -> int:
    return case.prefix.rfind("\n") + 1


@given(lines=LINES, seed=st.integers(0, 5))
def test_a_case_is_the_rest_of_one_line(lines: list[str], seed: int) -> None:
    text = "\n".join(lines)
    config = EvalConfig(num_cases=20, seed=seed, min_prefix_chars=20)
    for case in cut_cases([make_document("p", 0, text)], config):
        assert case.prefix + case.middle + case.suffix == text
        assert "\n" not in case.middle
        assert case.suffix == "" or case.suffix.startswith("\n")
        assert sum(not char.isspace() for char in case.middle) >= config.min_middle_chars
        typed = case.prefix[line_start(case) :]
        assert bool(typed.strip()) == (case.stratum == "rest_of_line")
        assert case.prefix.count("\n") >= 10 or line_start(case) >= 20


def test_the_same_seed_gives_the_same_cases_in_any_order() -> None:
    first = cut_cases(HELDOUT, CONFIG)
    assert first == cut_cases(reversed(HELDOUT), CONFIG)
    assert len({case.case_id for case in first}) == len(first)
    other = EvalConfig(num_cases=48, comment_share=0.25, seed=1)
    assert {case.case_id for case in first} != {case.case_id for case in cut_cases(HELDOUT, other)}


def test_a_package_does_not_change_the_cases_of_another() -> None:
    alone = [document for document in HELDOUT if document.package == "held1"]
    config = EvalConfig(num_cases=16, comment_share=0.25)
    found = [case for case in cut_cases(HELDOUT, CONFIG) if case.package == "held1"]
    assert cut_cases(alone, config) == found


def test_cases_are_even_over_packages_strata_and_files() -> None:
    cases = cut_cases(HELDOUT, CONFIG)
    code = [case for case in cases if case.text_class == "code"]
    assert set(Counter((c.package, c.stratum) for c in code).values()) == {8}
    per_file = Counter((c.document_sha256, c.stratum) for c in code)
    assert set(per_file.values()) == {2}
    assert len(cases) - len(code) == 12


def test_no_file_gives_more_than_its_most() -> None:
    config = EvalConfig(num_cases=1000, comment_share=1.0, max_cases_per_file=3)
    counts = Counter(
        (c.document_sha256, c.stratum, c.text_class) for c in cut_cases(HELDOUT, config)
    )
    assert max(counts.values()) == 3


@pytest.mark.parametrize(
    ("marked", "expected"),
    [
        ("x = |'a'", "code"),
        ("x = 'a|b'", "comment_or_string"),
        ("x = rb'a\\'|b'", "comment_or_string"),
        ("x = f'{a|}' + b", "comment_or_string"),
        ("x = 'a' + |b", "code"),
        ("x = 'a'|", "code"),
        ("x = 1  |# note", "comment_or_string"),
        ("x = 1  # no|te", "comment_or_string"),
        ("x = 1  # note|", "comment_or_string"),
        ("# it's\ny = |1", "code"),
        ('    |"""Doc."""', "comment_or_string"),
        ('"""Doc.\n\n    more| text\n"""', "comment_or_string"),
        ('x = |"""text"""', "code"),
        ("    |'key': 1,", "code"),
        ('"""open\nuntil the |end', "comment_or_string"),
        ("x = 'broken\ny = |1", "code"),
    ],
)
def test_classes(marked: str, expected: str) -> None:
    offset = marked.index("|")
    assert classify(find_spans(marked.replace("|", "")), offset) == expected


def test_spans_are_those_of_tokenize() -> None:
    text = make_source(7) + "a = [b'x', r'\\', 'it\\'s', \"\"\"q\"q\\\"\"\"\", '''''']  # end\n"
    starts: list[int] = []
    line_offsets = [0]
    for line in text.splitlines(keepends=True):
        line_offsets.append(line_offsets[-1] + len(line))
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.STRING, tokenize.COMMENT):
            starts.append(line_offsets[token.start[0] - 1] + token.start[1])
    assert find_spans(text).starts == starts
