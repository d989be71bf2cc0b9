"""Fill-in-the-middle templates: text parts to prompt ids. The one home used by training and serving.

    SPM  <|fim_prefix|><|fim_suffix|> suffix <|fim_middle|> prefix [middle <|endoftext|>]
    PSM  <|fim_prefix|> prefix <|fim_suffix|> suffix <|fim_middle|> [middle <|endoftext|>]
    plain                                   [<|endoftext|>] prefix

SPM is what the editor gets: typing appends to the end of the prompt, so a keystroke changes only its
last tokens. Prefix, suffix and middle are always tokenized apart, so that training sees the same
broken words at the cursor as serving makes.

Source: Bavarian et al. 2022, arXiv:2207.14255, §3 and appendix D (SPM variant 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from paceline.core.errors import EmptyPromptError, PromptTooLongError
from paceline.core.types import Snippet
from paceline.tokenizer.bpe import Tokenizer
from paceline.tokenizer.specials import (
    END_OF_TEXT,
    FILE_SEP,
    FIM_MIDDLE,
    FIM_PREFIX,
    FIM_SUFFIX,
)

Order = Literal["spm", "psm"]

CHARS_PER_TOKEN = 6
"""First guess at the text that fills a budget: tokenizing is the slowest part of a prompt."""
CUT_MARGIN_TOKENS = 8
"""Ids next to an arbitrary cut may differ from those of the whole text, so this many are thrown away."""


class FimTemplate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one model family wants its fill-in-the-middle prompts."""

    order: Order = "spm"
    suffix_share: float = 0.25
    """Share of the prompt budget that the suffix may always use; more if the prefix is short."""
    is_healed: bool = True
    """Is a half-typed word taken back from the end of the prompt and written again by the model?"""


class FimIds(msgspec.Struct, frozen=True):
    """Ids of the sentinels in one vocabulary."""

    end: int
    prefix: int
    suffix: int
    middle: int
    file_sep: int


def fim_ids(tokenizer: Tokenizer) -> FimIds:
    """Look the sentinels up.

    Raises:
        CheckpointError: the tokenizer lacks one of them.
    """
    names = (END_OF_TEXT, FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE, FILE_SEP)
    return FimIds(*(tokenizer.special_id(name) for name in names))


def arrange(prefix: Sequence[int], suffix: Sequence[int], ids: FimIds, order: Order) -> list[int]:
    """Place tokenized parts between sentinels; what follows is the middle."""
    if order == "spm":
        return [ids.prefix, ids.suffix, *suffix, ids.middle, *prefix]
    return [ids.prefix, *prefix, ids.suffix, *suffix, ids.middle]


def share_budget(
    num_prefix: int, num_suffix: int, budget: int, suffix_share: float
) -> tuple[int, int]:
    """Split `budget` tokens into (prefix, suffix) so that neither wastes what the other could use."""
    suffix_part = min(num_suffix, int(budget * suffix_share))
    prefix_part = min(num_prefix, budget - suffix_part)
    return prefix_part, min(num_suffix, budget - prefix_part)


def keep_end(ids: list[int], count: int) -> list[int]:
    """The last `count` ids, or all if there are fewer."""
    return ids[max(len(ids) - count, 0) :]


def encode_end(text: str, tokenizer: Tokenizer, max_tokens: int) -> list[int]:
    """The last `max_tokens` ids of `text`, tokenizing little more of it than that."""
    num_chars = max_tokens * CHARS_PER_TOKEN
    while num_chars < len(text):
        ids = tokenizer.encode(text[len(text) - num_chars :])
        if len(ids) >= max_tokens + CUT_MARGIN_TOKENS:
            return keep_end(ids, max_tokens)
        num_chars = 2 * num_chars + 1
    return keep_end(tokenizer.encode(text), max_tokens)


def encode_start(text: str, tokenizer: Tokenizer, max_tokens: int) -> list[int]:
    """The first `max_tokens` ids of `text`, tokenizing little more of it than that."""
    num_chars = max_tokens * CHARS_PER_TOKEN
    while num_chars < len(text):
        ids = tokenizer.encode(text[:num_chars])
        if len(ids) >= max_tokens + CUT_MARGIN_TOKENS:
            return ids[:max_tokens]
        num_chars = 2 * num_chars + 1
    return tokenizer.encode(text)[:max_tokens]


def render_fim(
    prefix: str,
    suffix: str,
    tokenizer: Tokenizer,
    ids: FimIds,
    template: FimTemplate,
    *,
    max_prompt_tokens: int,
    snippets: Sequence[Snippet] = (),
) -> list[int]:
    """Return prompt ids of at most `max_prompt_tokens`; far ends of prefix and suffix are cut.

    Snippets come first, whole or not at all, in order, as far as half of the budget reaches.
    """
    budget = max_prompt_tokens - 3
    if budget < 1:
        raise PromptTooLongError(prompt_tokens=4, max_tokens=0, context_tokens=max_prompt_tokens)
    head: list[int] = []
    for snippet in snippets:
        room = budget // 2 - len(head) - 1
        piece = encode_start(f"# {snippet.path}\n{snippet.text}\n", tokenizer, room + 1)
        if len(piece) > room:
            break
        head += [ids.file_sep, *piece]
    budget -= len(head)
    prefix_ids = encode_end(prefix, tokenizer, budget)
    suffix_ids = encode_start(suffix, tokenizer, budget)
    num_prefix, num_suffix = share_budget(
        len(prefix_ids), len(suffix_ids), budget, template.suffix_share
    )
    return head + arrange(
        keep_end(prefix_ids, num_prefix), suffix_ids[:num_suffix], ids, template.order
    )


def render_plain(
    prefix: str,
    tokenizer: Tokenizer,
    ids: FimIds,
    *,
    max_prompt_tokens: int,
    is_truncatable: bool,
) -> list[int]:
    """Return ids for left-to-right continuation of `prefix`, after one end-of-text id.

    Raises:
        EmptyPromptError: `prefix` is empty.
        PromptTooLongError: it does not fit and must not be cut.
    """
    if not prefix:
        raise EmptyPromptError
    if is_truncatable:
        return [ids.end, *encode_end(prefix, tokenizer, max_prompt_tokens - 1)]
    body = tokenizer.encode(prefix)
    if len(body) + 1 > max_prompt_tokens:
        raise PromptTooLongError(
            prompt_tokens=len(body) + 1, max_tokens=0, context_tokens=max_prompt_tokens
        )
    return [ids.end, *body]
