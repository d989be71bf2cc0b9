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

MAX_CHARS_PER_TOKEN = 16
"""Text beyond this many characters per token of budget is not even tokenized (keeps latency flat)."""


class FimTemplate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one model family wants its fill-in-the-middle prompts."""

    order: Order = "spm"
    suffix_share: float = 0.25
    """Share of the prompt budget that the suffix may always use; more if the prefix is short."""


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
    """The last `count` ids; none for 0."""
    return ids[len(ids) - count :] if count else []


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
        piece = [ids.file_sep, *tokenizer.encode(f"# {snippet.path}\n{snippet.text}\n")]
        if len(head) + len(piece) > budget // 2:
            break
        head += piece
    budget -= len(head)
    max_chars = budget * MAX_CHARS_PER_TOKEN
    prefix_ids = tokenizer.encode(prefix[-max_chars:])
    suffix_ids = tokenizer.encode(suffix[:max_chars])
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
    text = prefix[-max_prompt_tokens * MAX_CHARS_PER_TOKEN :] if is_truncatable else prefix
    body = tokenizer.encode(text)
    if len(body) + 1 > max_prompt_tokens:
        if not is_truncatable:
            raise PromptTooLongError(
                prompt_tokens=len(body) + 1, max_tokens=0, context_tokens=max_prompt_tokens
            )
        body = keep_end(body, max_prompt_tokens - 1)
    return [ids.end, *body]
