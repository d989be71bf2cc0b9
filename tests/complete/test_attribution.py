"""Where completions are matched with known code, and what follows from a licence."""

from __future__ import annotations

import pytest

from paceline.complete.attribution import (
    MIN_MATCHED_CHARS,
    Attribution,
    AttributionPolicy,
    NullAttributor,
    attribute,
    is_permissive,
)
from paceline.core.types import Candidate, Drop

LONG = Candidate(text="x" * MIN_MATCHED_CHARS, flags=("unknown_name:x",))
GPL = Attribution(package="p", path="p/a.py", license="GPL-3.0-only", num_matched_tokens=60)
MIT = Attribution(package="q", path="q/b.py", license="MIT", num_matched_tokens=50)


class Knows:
    """Knows every text from the same places."""

    def __init__(self, *origins: Attribution) -> None:
        self.origins, self.num_calls = origins, 0

    def match(self, text: str, language: str) -> tuple[Attribution, ...]:
        """All places."""
        self.num_calls += 1
        return self.origins


def judged(
    policy: AttributionPolicy, *origins: Attribution
) -> tuple[Candidate | Drop, tuple[Attribution, ...]]:
    return attribute(LONG, "python", attributor=Knows(*origins), policy=policy)


def test_policies() -> None:
    assert judged("show", GPL) == (LONG, (GPL,))
    assert judged("drop", MIT, GPL) == (Drop("license"), (MIT, GPL))
    assert judged("drop", MIT) == (LONG, (MIT,))
    flagged, _ = judged("flag", GPL, MIT)
    assert isinstance(flagged, Candidate)
    assert flagged.flags == ("license:GPL-3.0-only", "unknown_name:x")


def test_short_texts_are_not_matched() -> None:
    attributor = Knows(GPL)
    short = Candidate(text=" " * 500 + "x")
    assert attribute(short, "", attributor=attributor, policy="drop") == (short, ())
    assert attributor.num_calls == 0


def test_the_null_attributor_knows_nothing() -> None:
    assert attribute(LONG, "", attributor=NullAttributor(), policy="drop") == (LONG, ())


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("MIT", True),
        ("mit OR GPL-2.0-only", True),
        ("MIT AND GPL-2.0-only", False),
        ("(MIT AND BSD-3-Clause) OR GPL-2.0-only", True),
        ("MIT AND (GPL-2.0-only OR ISC)", True),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("GPL-2.0-only WITH Classpath-exception-2.0", False),
        ("", False),
        ("MIT OR", False),
        ("(MIT", False),
        ("MIT)", False),
        ("MIT MIT", False),
        ("OR MIT", False),
        ("Proprietary", False),
        ("(" * 500 + "MIT", False),
    ],
)
def test_expressions(expression: str, expected: bool) -> None:
    assert is_permissive(expression) is expected
