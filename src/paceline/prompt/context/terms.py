"""Words of code for comparing pieces of it: identifiers and their parts, lower case.

    getUserName  ->  getusername get user name

Source: facts/retrieval.md §5, BM25 over identifiers and sub-words.
"""

from __future__ import annotations

import re
from functools import lru_cache

_WORD = re.compile(r"[^\W\d]\w+")
_PART = re.compile(r"[^\W\d_]?[a-zß-öø-ÿ]+|[A-ZÀ-ÖØ-Þ]+(?![a-z])|[^\W_]+")
MIN_PART_CHARS = 3
MAX_WORD_CHARS = 80
"""Longer runs are data."""

COMMON_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
    and any args async await bool break case catch char class const continue def default del do double
    elif else enum err except export extends false final finally float fn for from func function get go
    if impl implements import in int interface is kwargs lambda let long mut new nil none not null object
    or package pass private protected pub public raise return self set static str string struct super
    switch the this throw throws to true try type undefined use val var void when while with yield
    """,
    )
)
"""Every file has them, in one language or another, so they say nothing of what it is about."""


@lru_cache(maxsize=65_536)
def terms_of_word(word: str) -> tuple[str, ...]:
    """Terms of one identifier, each once."""
    if len(word) > MAX_WORD_CHARS:
        return ()
    whole = word.lower()
    found = [] if whole in COMMON_WORDS else [whole.strip("_")]
    if not (word.islower() or word.isupper()) or "_" in word:
        parts = (part.lower() for part in _PART.findall(word))
        found += [part for part in parts if len(part) >= MIN_PART_CHARS]
    return tuple({term for term in found if term and term not in COMMON_WORDS})


def terms_of(text: str) -> set[str]:
    """All terms of `text`."""
    terms: set[str] = set()
    for word in set(_WORD.findall(text)):
        terms.update(terms_of_word(word))
    return terms


@lru_cache(maxsize=1_024)
def known_terms(text: str) -> frozenset[str]:
    """The same for a short text that is asked for again and again."""
    return frozenset(terms_of(text))
