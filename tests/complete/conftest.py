"""Bugs that the brain contains for its users are failures here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from paceline.complete import failures


@pytest.fixture(autouse=True)
def no_bug_is_contained() -> Iterator[None]:
    """Rules may not count on being contained: whatever was reported in a test fails it."""
    failures._reported.clear()
    yield
    reported = set(failures._reported)
    failures._reported.clear()
    assert not reported


@pytest.fixture
def reported_bugs(no_bug_is_contained: None) -> Iterator[set[tuple[str, str]]]:
    """For tests that inject bugs: (stage, kind of error) of each that was reported."""
    yield failures._reported
    failures._reported.clear()
