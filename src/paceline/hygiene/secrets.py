"""Secrets in text: tokens with a known shape, private keys, passwords in addresses, random strings given to key-like names.

The shapes are those of detect-secrets' plugins, asked directly: nothing is verified, no network is used. Its generic
plugins (keyword, high entropy, public IP) are not used as they are: on ordinary code they are mostly wrong; `entropy`
here joins the first two. Placeholders (`YOUR_TOKEN`, `AKIAIOSFODNN7EXAMPLE`, `xxxxxxxx`) are no secrets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from detect_secrets.plugins.jwt import JwtTokenDetector

from paceline.hygiene.entropy import find_random_values, is_placeholder, is_template
from paceline.hygiene.findings import Finding
from paceline.hygiene.secret_shapes import SHAPES, Shape

MAX_PIECE_CHARS = 4_000
"""Longer lines are looked at in pieces, so that no pattern meets more at once."""

PIECE_OVERLAP_CHARS = 400
"""A secret that a border of pieces would part is seen whole in one of them."""

_KEY_BODY = re.compile(
    r"(?:-----)?(?:\\[nr]|[\s\"'+,#/*>|()]|[A-Z][A-Za-z-]+: [^\n]{0,80}\n){0,40}[A-Za-z0-9+/=]{16,}"
)
"""What must follow a private key's header for a key to be there: code that reads keys has the header alone."""

_KEY_END = re.compile(r"-----END [A-Z0-9 ]+-----")
MAX_KEY_CHARS = 16_000


def find_secrets(text: str) -> list[Finding]:
    """All secrets in `text`, in order, none twice. Line by line, but a private key is one finding. Never raises."""
    shapes = [shape for shape in SHAPES if any(literal in text for literal in shape.literals)]
    found: list[Finding] = []
    for start, line in _pieces(text):
        for shape in shapes:
            found += _of_shape(shape, line, start, text)
        found += (
            Finding(start=start + first, end=start + end, kind=kind)
            for first, end, kind in find_random_values(line)
        )
    return _without_overlaps(found)


def _of_shape(shape: Shape, line: str, start: int, text: str) -> Iterator[Finding]:
    if not any(literal in line for literal in shape.literals):
        return
    for pattern in shape.patterns:
        for match in pattern.finditer(line):
            group = 1 if shape.has_secret_group and pattern.groups and match[1] else 0
            first, end = match.span(group)
            if shape.kind == "private_key":
                end = _end_of_key(text, start + end) - start
                is_secret = end > match.end()
            else:
                is_secret = not _is_harmless(shape, match[group])
            if is_secret:
                yield Finding(start=start + first, end=start + end, kind=shape.kind)


def _is_harmless(shape: Shape, value: str) -> bool:
    if shape.kind == "json_web_token":
        return not JwtTokenDetector.is_formally_valid(value)
    if shape.kind == "basic_auth":
        return (
            len(value) < 4
            or value.lower() in _WEAK_WORDS
            or is_placeholder(value)
            or is_template(value)
        )
    return is_placeholder(value)


_WEAK_WORDS = frozenset(
    {"pass", "pwd", "user", "admin", "root", "test", "guest", "token", "port", "host"}
)
"""Passwords in addresses that only show where one goes: `postgres://user:pass@host`."""


def _end_of_key(text: str, offset: int) -> int:
    """Where the private key ends whose header ends at `offset`; `offset` itself if no key follows."""
    body = _KEY_BODY.match(text, offset)
    if body is None:
        return offset
    end = _KEY_END.search(text, body.end(), body.end() + MAX_KEY_CHARS)
    return end.end() if end else body.end()


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """The lines of `text` with where each begins; a long one in overlapping pieces."""
    start = 0
    for line in text.split("\n"):
        for first in range(
            0, max(len(line) - PIECE_OVERLAP_CHARS, 1), MAX_PIECE_CHARS - PIECE_OVERLAP_CHARS
        ):
            yield start + first, line[first : first + MAX_PIECE_CHARS]
        start += len(line) + 1


def _without_overlaps(found: list[Finding]) -> list[Finding]:
    """In order of place; of two that overlap the one that begins first, or the longer."""
    kept: list[Finding] = []
    for finding in sorted(found, key=lambda one: (one.start, -one.end)):
        if not kept or finding.start >= kept[-1].end:
            kept.append(finding)
    return kept
