"""What is told of another server's failures."""

from __future__ import annotations

from datetime import UTC, datetime

from paceline.generate.remote.errors import retry_after_s, sanitized


def test_retry_after_in_all_forms() -> None:
    now = datetime(2026, 11, 25, 4, 0, tzinfo=UTC)
    assert retry_after_s("Wed, 25 Nov 2026 04:00:30 GMT", now) == 30
    assert [retry_after_s(value, now) for value in ("12", "-3", "", "soon", "9" * 9)] == [
        12,
        1,
        1,
        1,
        3600,
    ]


def test_reasons_are_one_short_printable_line() -> None:
    assert sanitized("a\x1b[31m\n\tb ") == "a [31m b"
    assert len(sanitized("x y " * 200)) <= 160
    assert sanitized("at: def area(width, height)", "x\ndef area(width,\n  height): pass") == ""
