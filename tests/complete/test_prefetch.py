"""Asking ahead: what, and when it is worth it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.complete.prefetch import (
    AFTER_CHARS,
    BEFORE_CHARS,
    MAX_COPIED_CHARS,
    after_accept,
    should_prefetch,
)
from paceline.core.types import Cursor, Document


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=10), st.integers(-1, 30))
@settings(max_examples=60, deadline=None)
def test_the_document_is_as_after_accepting(before: str, after: str, text: str, num: int) -> None:
    cursor = Cursor(
        document=Document(path="a.py", text=before + after, language="python"), offset=len(before)
    )
    moved = after_accept(cursor, text, num)
    assert moved.prefix == before + text
    assert moved.suffix == after[max(num, 0) :]
    assert (moved.document.path, moved.document.language) == ("a.py", "python")


def test_a_huge_document_becomes_a_window() -> None:
    half = MAX_COPIED_CHARS
    cursor = Cursor(document=Document(path="", text="a" * half + "b" * half), offset=half)
    moved = after_accept(cursor, "xyz", 2)
    assert moved.prefix == "a" * BEFORE_CHARS + "xyz"
    assert moved.suffix == "b" * (AFTER_CHARS - 2)


@pytest.mark.parametrize(
    ("probability", "is_finished", "is_busy", "is_known", "reason", "is_wanted"),
    [
        (0.9, True, False, False, "likely_to_be_kept", True),
        (0.9, True, True, False, "server_busy", False),
        (0.9, True, False, True, "known", False),
        (0.1, True, False, False, "unlikely_to_be_kept", False),
        (0.25, False, False, False, "end_was_cut", True),
        (None, True, False, False, "probability_unknown", False),
    ],
)
def test_when(
    probability: float | None,
    is_finished: bool,
    is_busy: bool,
    is_known: bool,
    reason: str,
    is_wanted: bool,
) -> None:
    wanted = should_prefetch(
        probability, is_finished=is_finished, mode="single_line", is_server_busy=is_busy, is_known=is_known
    )  # fmt: skip
    assert (wanted.is_wanted, wanted.reason) == (is_wanted, reason)


def test_blocks_take_more_certainty_than_lines() -> None:
    wanted = {
        mode: should_prefetch(0.4, is_finished=True, mode=mode, is_server_busy=False).is_wanted
        for mode in ("single_line", "block_body", "multi_line")
    }
    assert wanted == {"single_line": True, "block_body": False, "multi_line": False}
