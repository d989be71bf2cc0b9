"""Values that look random, or like a real password, and are given to a name that says key, token or password."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator

from detect_secrets.filters.heuristic import is_sequential_string

MIN_RANDOM_CHARS = 16
"""Shortest random value: 16 hexadecimal digits are 64 bits, the least that anyone uses as a key."""

MIN_ENTROPY_BITS = 3.0
"""Per character. detect-secrets' limit for hexadecimal strings; its 4.5 for base64 cannot be met by under 23 characters."""

MAX_WORD_SHARE = 0.4
"""Of the pairs of neighbouring letters, those that are among the hundred commonest in names. In names 0.7 (counted over the
104,000 names of Python's standard library); in random base64, base36 and base62 of 24 characters it is under 0.4 in 97 % of
draws, in names of 16 characters and more that hold a digit in 1 %."""

MIN_LETTER_PAIRS = 4
"""Fewer pairs of letters say nothing about words: dates, versions."""

MIN_OF_EACH_IN_HEX = 3
"""Digits and letters in a hexadecimal value, so that neither a number nor a word passes for one."""

MIN_DISTINCT_CHARS = 7
"""Fewer different characters are a placeholder: `xxxxxxxx`, `0000-0000`."""

_NAME = r"(?:key|secret|token|passw(?:or)?d|pwd|passphrase|credential|auth(?:orization)?|bearer)"
_ASSIGNED = re.compile(
    rf"(?P<name>{_NAME})\w{{0,20}}[\"'`\])]{{0,3}}(?:\s{{0,3}}:\s{{0,3}}[\w.\[\]| ]{{1,30}})?\s{{0,8}}(?::=|=>|==?|:|,|\()\s{{0,8}}\w{{0,2}}"
    r"[\"'`](?:(?:bearer|basic|token)\s)?(?P<value>[^\s\"'`]{8,300})(?=[\"'`])",
    re.IGNORECASE,
)
_BEARER = re.compile(r"\b(?:bearer|basic)\s(?P<value>[A-Za-z0-9+/=_.~-]{16,300})", re.IGNORECASE)
_COMMON_PAIRS = """
ac ad al am an ar as at ba ca ce ch ck cl co ct de di ea ec ed ef el em en ep er es et ex fi fo ge ha he ic ig il im in
io is it ke la le li ll lo ma me mo mp na nc nd ne ng no ns nt oc od om on op or ot ou pa pe pl po pr pt ra re ri ro rr
rs rt se si ss st su ta te th ti to tr ts ul un ur ut ve wi
"""
COMMON_PAIRS = frozenset(_COMMON_PAIRS.split())
"""Two thirds of all pairs of letters in names; counted as MAX_WORD_SHARE says."""

_LETTER_PAIRS = re.compile(r"(?=([a-z]{2}))")
_HEX = re.compile(r"[0-9a-f]+|[0-9A-F]+")
_TOKEN = re.compile(r"[A-Za-z0-9+/=_.~-]+")
_PASSWORD_NAME = re.compile(r"passw|pwd|passphrase", re.IGNORECASE)
_QUICK = re.compile(
    r"key|secret|token|passw|pwd|passphrase|credential|auth|bearer|basic", re.IGNORECASE
)

_PLACEHOLDERS = re.compile(
    r"example|sample|dummy|fake|placeholder|change.?me|replace|insert|your|xxxx|\*\*\*|\.\.\.|…|123456|abcdef|qwerty|"
    r"deadbeef|passw[o0]rd|secret|letmein|hunter2|redacted|hidden|default|foobar|lorem",
    re.IGNORECASE,
)
_TEMPLATE = re.compile(r"^[<{$%\[(]|\{\w*\}|\$\{|%\w|%\(|^\w+://|^/|^\./")


def find_random_values(line: str) -> Iterator[tuple[int, int, str]]:
    """Yield (start, end, kind) of suspicious values in one line; kind is `random_value` or `password`."""
    if not _QUICK.search(line):
        return
    for match in _ASSIGNED.finditer(line):
        kind = _kind(match["value"], is_password=bool(_PASSWORD_NAME.match(match["name"])))
        if kind:
            yield *match.span("value"), kind
    for match in _BEARER.finditer(line):
        if is_random(match["value"]) and not is_placeholder(match["value"]):
            yield *match.span("value"), "random_value"


def _kind(value: str, *, is_password: bool) -> str:
    if is_placeholder(value) or is_template(value):
        return ""
    if is_random(value):
        return "random_value"
    return "password" if is_password and _is_strong_password(value) else ""


def is_random(value: str) -> bool:
    """Does `value` look drawn by chance: long enough, many different characters, letters and digits that make no words?"""
    if len(value) < MIN_RANDOM_CHARS or not _TOKEN.fullmatch(value):
        return False
    num_digits = sum(char.isdigit() for char in value)
    if not num_digits or entropy_bits(value) < MIN_ENTROPY_BITS:
        return False
    if _HEX.fullmatch(value):
        return min(num_digits, len(value) - num_digits) >= MIN_OF_EACH_IN_HEX
    pairs = _LETTER_PAIRS.findall(value.lower())
    num_common = sum(pair in COMMON_PAIRS for pair in pairs)
    return len(pairs) >= MIN_LETTER_PAIRS and num_common <= MAX_WORD_SHARE * len(pairs)


def is_placeholder(value: str) -> bool:
    """Does `value` say that a secret goes here: a word such as `example`, a sequence, one character often?"""
    return (
        bool(_PLACEHOLDERS.search(value))
        or len(set(value)) < min(MIN_DISTINCT_CHARS, len(value))
        or is_sequential_string(value)
    )


def is_template(value: str) -> bool:
    """Is `value` filled in later, or the address of something: `{token}`, `%(key)s`, `/etc/key`, `https://...`?"""
    return bool(_TEMPLATE.search(value))


def entropy_bits(value: str) -> float:
    """Shannon's entropy of the characters of `value`, in bits per character."""
    counts = Counter(value).values()
    return -sum(count / len(value) * math.log2(count / len(value)) for count in counts)


def _is_strong_password(value: str) -> bool:
    """Three of: small letters, capitals, digits, signs; and no dotted or snake_case name."""
    classes = (
        any(char.islower() for char in value),
        any(char.isupper() for char in value),
        any(char.isdigit() for char in value),
        any(not char.isalnum() and char not in "_-./:" for char in value),
    )
    return sum(classes) >= 3 and classes[2]
