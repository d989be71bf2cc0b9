"""Token healing: the half-typed word before the cursor is taken back and written again by the model.

The editor cuts `self.readings` after `self.rea`; the prompt would end in ids that the model has hardly
ever seen in front of the rest of the word. So the ids of the last word are left out of the prompt, and the
output is held to begin with its characters: each step may only draw ids that agree with what is left of
them. The typed characters are then dropped from the text that comes out.

Source: the idea is Lundberg's (guidance, "prompt boundaries and token healing", 2023); we take back the
whole pre-token, not one token, because a half-typed word is often several.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence

from paceline.tokenizer.bpe import Tokenizer

MAX_HEALED_TOKENS = 4
"""A longer word is left in the prompt: writing it again would take a step for each of its ids."""


class TokenTable:
    """All ids that are text, by their bytes."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._bytes = tokenizer.vocabulary_bytes()
        ordered = sorted((text, token_id) for token_id, text in self._bytes.items())
        self._texts = [text for text, _ in ordered]
        self._ids = [token_id for _, token_id in ordered]
        self._id_of = {text: token_id for token_id, text in self._bytes.items()}

    def bytes_of(self, token_id: int) -> bytes:
        """The bytes of an id; none for one that is not text."""
        return self._bytes.get(token_id, b"")

    def agreeing(self, rest: bytes) -> list[int]:
        """Ids whose bytes begin with `rest`, or with which `rest` begins."""
        low = bisect.bisect_left(self._texts, rest)
        high = low
        if rest:
            end = rest.rstrip(b"\xff")
            bound = end[:-1] + bytes([end[-1] + 1]) if end else None
            high = bisect.bisect_left(self._texts, bound) if bound else len(self._texts)
        shorter = (self._id_of.get(rest[:length]) for length in range(1, len(rest)))
        return self._ids[low:high] + [token_id for token_id in shorter if token_id is not None]


class Healing:
    """A Guide that holds the output to begin with `word`."""

    def __init__(self, word: str, table: TokenTable) -> None:
        self.word = word
        self._bytes = word.encode()
        self._table = table

    def allowed_ids(self, output_ids: Sequence[int]) -> list[int] | None:
        """Ids that agree with what is left of the word; None once it is written."""
        rest = self._bytes
        for token_id in output_ids:
            rest = rest[len(self._table.bytes_of(token_id)) :]
            if not rest:
                return None
        return self._table.agreeing(rest)


def heal(
    prompt_ids: list[int], prefix: str, tokenizer: Tokenizer, table: TokenTable
) -> tuple[list[int], Healing | None]:
    """Take the last word of `prefix` off the end of a prompt that ends with it.

    Nothing is taken back at the start of a line, if the word is long, or if it does not end the prompt
    whole.
    """
    word = tokenizer.last_word(prefix)
    if not word or word[-1] in "\r\n":
        return prompt_ids, None
    ids = tokenizer.encode(word)
    if len(ids) > MAX_HEALED_TOKENS or prompt_ids[-len(ids) :] != ids:
        return prompt_ids, None
    if not table.agreeing(word.encode()):
        return prompt_ids, None
    return prompt_ids[: -len(ids)], Healing(word, table)
