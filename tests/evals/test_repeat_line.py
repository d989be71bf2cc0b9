"""Repeat the line after the most similar one: by hand."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from paceline.evals.repeat_line import repeat_line

BODY = """\
def first(x):
    check_value(x)
    return first_of(x)

def second(y):
    prepare(y, deep=True)
    log.debug("second")

"""


def test_the_line_after_the_most_similar_line_is_repeated() -> None:
    assert repeat_line(BODY + "def third(z):\n    check_value(z)\n    ") == "return first_of(x)"


def test_the_typed_part_must_fit() -> None:
    assert repeat_line(BODY + "def third(z):\n    check_value(z)\n    lo") == 'g.debug("second")'


def test_the_nearest_of_equals_wins() -> None:
    prefix = "x = 0\na = 1\nuse(a)\nx = 0\na = 1\nuse(b)\nx = 0\na = 1\n"
    assert repeat_line(prefix) == "use(b)"


def test_blank_lines_are_looked_through() -> None:
    assert repeat_line("import os\n\nimport sys\nx = 1\n\nimport os\n\n") == "import sys"


def test_a_line_that_nothing_fits_ends_as_its_last_words_did() -> None:
    prefix = "value = self.get(name, default=None)\nother = 3\nresult = self.get("
    assert repeat_line(prefix) == "name, default=None)"


def test_it_abstains_when_there_is_nothing_to_repeat() -> None:
    assert repeat_line("") is None
    assert repeat_line("x = 1\n") is None
    assert repeat_line("x = 1\ny = 2\nzebra") is None


@given(prefix=st.text(st.sampled_from("ab( =\n"), max_size=60))
def test_a_proposal_is_a_rest_of_a_line_of_the_prefix(prefix: str) -> None:
    proposal = repeat_line(prefix)
    if proposal is not None:
        assert "\n" not in proposal
        assert any(line.endswith(proposal) for line in prefix.split("\n"))
