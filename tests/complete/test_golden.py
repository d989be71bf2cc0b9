"""The golden cases: what the model said, what the user should see. Format and contract: docs/golden.md."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from paceline.complete.postprocess import STEPS, postprocess
from tests.complete.golden_cases import Case, golden_files, read_cases

MIN_CASES = 300
MIN_LANGUAGES = 6
MIN_BROKEN_CASES = 3
"""Of each step, when it is switched off. These three are the issue's."""

STEP_NAMES = [step.__name__ for step in STEPS]


@cache
def cases_of(path: Path) -> list[Case]:
    return read_cases(path)


def failures(cases: list[Case], *disabled: str) -> list[str]:
    """One line per case that is judged otherwise than its file says."""
    complaints = (
        (
            case,
            case.complaint(
                postprocess(case.candidate(), case.scene(), disabled=frozenset(disabled)).result
            ),
        )
        for case in cases
    )
    return [f"{case.title}: {complaint}" for case, complaint in complaints if complaint]


@pytest.mark.parametrize("path", golden_files(), ids=lambda path: path.stem)
def test_every_case_is_judged_as_written(path: Path) -> None:
    wrong = failures(cases_of(path))
    assert not wrong, "\n" + "\n".join(wrong)


@pytest.mark.parametrize("step", STEP_NAMES)
def test_every_rule_is_needed(step: str) -> None:
    broken = 0
    for path in golden_files():
        broken += len(failures(cases_of(path), step))
        if broken >= MIN_BROKEN_CASES:
            return
    pytest.fail(f"Without {step} only {broken} cases break.")


def test_the_set_is_large_and_mostly_about_restraint() -> None:
    cases = [case for path in golden_files() for case in cases_of(path)]
    assert len(cases) >= MIN_CASES
    assert len({case.language for case in cases}) >= MIN_LANGUAGES
    assert sum(case.is_left_alone for case in cases) >= len(cases) / 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("=== a\ndocument:\n|x‸ \noutput:\n|y\ndrop: blank", "invisible white space"),
        ("=== a\ndocument:\n|\tx‸\noutput:\n|y\ndrop: blank", "invisible white space"),
        ("=== a\ndocument:\n|x\noutput:\n|y\ndrop: blank", "exactly one cursor mark"),
        ("=== a\ndocument:\n|x‸\noutput:\n|y", "either an expected"),
        ("=== a\ndocument:\n|x‸\noutput:\n|y\ndrop: blank\nmode: all", "all"),
        ("=== a\ndocument:\n|x‸\noutput:\n|y\ndrop: blank\ncolour: red", "unknown"),
        ("=== a\ndocument:\n|x‸\noutput: y\ndrop: blank", "neither a field"),
        ("=== a\n|x‸", "without a field"),
    ],
)  # fmt: skip
def test_a_case_that_is_not_as_described_is_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "family.python.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_cases(path)
