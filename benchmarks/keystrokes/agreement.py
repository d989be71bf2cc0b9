"""Do two engines write the same? Compared by ids where both send them, else by text."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.keystrokes.measure import Round
from benchmarks.keystrokes.stats import shares_of_agreement
from paceline.tokenizer.bpe import Tokenizer

FIRST_TOKENS = 8


def agreement(
    ours: Sequence[Round], theirs: Sequence[Round], tokenizer: Tokenizer
) -> tuple[float, float] | None:
    """(share of identical answers, share that agrees in the first 8 tokens); None without answers."""
    mine = [answer for one in ours for answer in one.answers]
    other = [answer for one in theirs for answer in one.answers]
    if not mine or len(mine) != len(other):
        return None
    if all(ids for ids, _ in [*mine, *other]):
        written = ["".join(map(chr, ids)) for ids, _ in mine]
        read = [("".join(map(chr, ids)), "".join(map(chr, ids[:FIRST_TOKENS]))) for ids, _ in other]
    else:
        written = [text for _, text in mine]
        read = [(tokenizer.decode(ids), tokenizer.decode(ids[:FIRST_TOKENS])) for ids, _ in other]
    return shares_of_agreement(written, [whole for whole, _ in read], [start for _, start in read])
