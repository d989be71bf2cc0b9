"""Where a completion is matched with known code, so that its origin and licence can be told.

Only the place: whoever has a corpus implements Attributor (the corpus issue); until then nothing matches.
"""

from __future__ import annotations

import re
from typing import Literal, Protocol

import msgspec
from msgspec.structs import replace

from paceline.core.types import Candidate, Drop

AttributionPolicy = Literal["show", "flag", "drop"]
"""show: completions stay as they are, with their origins; flag: what is not permissive is flagged as well;
drop: what is not permissive is not shown."""

MIN_MATCHED_CHARS = 150
"""Shorter texts are not matched: everybody writes them. About the length from which GitHub Copilot's filter
for public code looks, by its documentation."""

PERMISSIVE_LICENSES = frozenset(
    (
        "0bsd", "apache-2.0", "blueoak-1.0.0", "bsd", "bsd-2-clause", "bsd-3-clause", "bsl-1.0", "cc0-1.0",
        "isc", "mit", "mit-0", "ncsa", "postgresql", "psf-2.0", "python-2.0", "unlicense", "wtfpl", "x11",
        "zlib",
    )
)  # fmt: skip
"""SPDX identifiers, in lower case, of licences that ask for no more than to be named."""

_TERM = re.compile(r"\(|\)|[^\s()]+")
_MAX_TERMS = 64


class Attribution(msgspec.Struct, frozen=True, kw_only=True):
    """Known code that a completion equals in part."""

    package: str
    path: str
    license: str
    """An SPDX expression; empty: not known."""
    num_matched_tokens: int

    @property
    def is_permissive(self) -> bool:
        """May the code be used without more than naming it?"""
        return is_permissive(self.license)


class Attributor(Protocol):
    """Anything that knows code."""

    def match(self, text: str, language: str) -> tuple[Attribution, ...]:
        """Where a long part of `text` is known from, the longest first. Quick, and never raises."""
        ...


class NullAttributor:
    """Knows no code."""

    def match(self, text: str, language: str) -> tuple[Attribution, ...]:
        """Nothing."""
        return ()


def attribute(
    candidate: Candidate,
    language: str,
    *,
    attributor: Attributor,
    policy: AttributionPolicy,
    min_chars: int = MIN_MATCHED_CHARS,
) -> tuple[Candidate | Drop, tuple[Attribution, ...]]:
    """Match `candidate`, if it is long enough, and do as the policy says; return its origins too."""
    if len(candidate.text.strip()) < min_chars:
        return candidate, ()
    origins = attributor.match(candidate.text, language)
    bad = sorted({origin.license or "unknown" for origin in origins if not origin.is_permissive})
    if not bad or policy == "show":
        return candidate, origins
    if policy == "drop":
        return Drop("license"), origins
    flags = {*candidate.flags, *(f"license:{name}" for name in bad)}
    return replace(candidate, flags=tuple(sorted(flags))), origins


def is_permissive(expression: str) -> bool:
    """Does an SPDX expression allow use under permissive licences alone? `A OR B` leaves the choice.

    What cannot be read is not permissive.
    """
    terms = _TERM.findall(expression.lower())
    if not terms or len(terms) > _MAX_TERMS:
        return False
    value, end = _any_of(terms, 0)
    return value and end == len(terms)


def _any_of(terms: list[str], at: int) -> tuple[bool, int]:
    value, at = _all_of(terms, at)
    while at < len(terms) and terms[at] == "or":
        other, at = _all_of(terms, at + 1)
        value = value or other
    return value, at


def _all_of(terms: list[str], at: int) -> tuple[bool, int]:
    value, at = _one(terms, at)
    while at < len(terms) and terms[at] == "and":
        other, at = _one(terms, at + 1)
        value = value and other
    return value, at


def _one(terms: list[str], at: int) -> tuple[bool, int]:
    """A licence, perhaps with an exception (which only ever allows more), or an expression in brackets.

    What is missing or misplaced ends the reading before or beyond the end of the terms, or is no known licence.
    """
    if at >= len(terms):
        return False, at + 1
    if terms[at] == "(":
        value, at = _any_of(terms, at + 1)
        is_closed = at < len(terms) and terms[at] == ")"
        return value and is_closed, at + 1
    is_known = terms[at] in PERMISSIVE_LICENSES
    has_exception = at + 2 < len(terms) and terms[at + 1] == "with"
    return is_known, at + (3 if has_exception else 1)
