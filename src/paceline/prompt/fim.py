"""Fill-in-the-middle prompts: text parts to prompt ids. The one home used by training and serving.

    SPM    <|fim_prefix|><|fim_suffix|> suffix <|fim_middle|> prefix [middle <|endoftext|>]
    PSM    <|fim_prefix|> prefix <|fim_suffix|> suffix <|fim_middle|> [middle <|endoftext|>]
    plain                                     [<|endoftext|>] prefix

SPM is what the editor gets of our own models: typing appends to the end of the prompt, so a keystroke
changes only its last tokens. What other families want is in prompt/templates.py, what of a long text
is kept, in prompt/cut.py. Prefix, suffix and middle are always tokenized apart, so that training sees
the same broken words at the cursor as serving makes.

Source: Bavarian et al. 2022, arXiv:2207.14255, §3 and appendix D (SPM variant 2).
"""

from __future__ import annotations

from collections.abc import Sequence

from paceline.core.errors import EmptyPromptError, PromptTooLongError
from paceline.core.types import Snippet
from paceline.prompt.cut import (
    QUANTUM_TOKENS,
    cut_end,
    cut_start,
    tokenize_end,
    tokenize_start,
)
from paceline.prompt.templates import (
    TEMPLATES,
    FimIds,
    FimTemplate,
    Order,
    fim_ids,
    stop_token_ids,
    template_for,
)
from paceline.tokenizer.bpe import Tokenizer

__all__ = [
    "TEMPLATES",
    "FimIds",
    "FimTemplate",
    "Order",
    "arrange",
    "encode_end",
    "encode_start",
    "fim_ids",
    "keep_end",
    "render_fim",
    "render_plain",
    "share_budget",
    "stop_token_ids",
    "template_for",
]


def arrange(prefix: Sequence[int], suffix: Sequence[int], ids: FimIds, order: Order) -> list[int]:
    """Place tokenized parts between sentinels; what follows is the middle."""
    middle = [] if ids.middle is None else [ids.middle]
    if order == "spm":
        return [ids.prefix, ids.suffix, *suffix, *middle, *prefix]
    if order == "suffix_first":
        return [ids.suffix, *suffix, ids.prefix, *prefix, *middle]
    return [ids.prefix, *prefix, ids.suffix, *suffix, *middle]


def share_budget(
    num_prefix: int, num_suffix: int, budget: int, suffix_share: float
) -> tuple[int, int]:
    """Split `budget` tokens into (prefix, suffix) so that neither wastes what the other could use.

    Training's samples are filled to the token by it; prompts, whose far ends must hold still, are
    split by `allot_suffix`.
    """
    suffix_part = min(num_suffix, int(budget * suffix_share))
    prefix_part = min(num_prefix, budget - suffix_part)
    return prefix_part, min(num_suffix, budget - prefix_part)


def allot_suffix(num_prefix: int, budget: int, suffix_share: float) -> int:
    """Tokens that the suffix may use: its share, or what a short prefix leaves, in whole quanta.

    So a prefix that grows by a token does not shrink the suffix by one.
    """
    quantum = max(1, min(QUANTUM_TOKENS, budget // 8))
    left = max(budget - num_prefix, 0) // quantum * quantum
    return max(int(budget * suffix_share), left)


def keep_end(ids: list[int], count: int) -> list[int]:
    """The last `count` ids, or all if there are fewer."""
    return ids[max(len(ids) - count, 0) :]


def encode_end(text: str, tokenizer: Tokenizer, max_tokens: int) -> list[int]:
    """The last `max_tokens` ids of `text`, tokenizing little more of it than that."""
    return keep_end(tokenize_end(text, tokenizer, max_tokens).ids, max_tokens)


def encode_start(text: str, tokenizer: Tokenizer, max_tokens: int) -> list[int]:
    """The first `max_tokens` ids of `text`, tokenizing little more of it than that."""
    return tokenize_start(text, tokenizer, max_tokens).ids[:max_tokens]


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

    The same text around the cursor keeps the same far ends while the user types (prompt/cut.py); what
    is kept of a part that is cut fills at least 3/4 of what it may use, where lines are not longer.
    Snippets come first, whole or not at all, in order, as far as half of the budget reaches.

    Raises:
        PromptTooLongError: there is no room for the sentinels and one token.
    """
    start = [] if ids.begin is None else [ids.begin]
    num_sentinels = len(start) + len(arrange((), (), ids, template.order))
    budget = max_prompt_tokens - num_sentinels
    if budget < 1:
        raise PromptTooLongError(
            prompt_tokens=num_sentinels + 1, max_tokens=0, context_tokens=max_prompt_tokens
        )
    head = _render_snippets(snippets, tokenizer, ids, template, budget // 2)
    prefix_ids, suffix_ids = _fit(prefix, suffix, tokenizer, template, budget - len(head))
    if template.is_snippet_in_prefix:
        return start + arrange([*head, *prefix_ids], suffix_ids, ids, template.order)
    return start + head + arrange(prefix_ids, suffix_ids, ids, template.order)


def _fit(
    prefix: str, suffix: str, tokenizer: Tokenizer, template: FimTemplate, budget: int
) -> tuple[list[int], list[int]]:
    """Ids of what is kept of both parts."""
    lead = template.prefix_lead
    budget = max(budget - len(lead), 0)
    before = tokenize_end(prefix, tokenizer, budget)
    after = tokenize_start(suffix, tokenizer, budget)
    num_suffix = allot_suffix(before.num_steady(budget), budget, template.suffix_share)
    is_whole = before.is_whole and after.is_whole
    if is_whole and before.num_tokens + after.num_tokens <= budget:
        num_suffix = after.num_tokens
    elif after.is_whole:
        num_suffix = min(num_suffix, after.num_tokens)
    _, suffix_ids = cut_start(after, tokenizer, num_suffix)
    text, prefix_ids = cut_end(before, tokenizer, budget - num_suffix)
    if lead and text:
        prefix_ids = keep_end(tokenizer.encode(lead + text), budget - num_suffix + len(lead))
    return prefix_ids, suffix_ids


def _render_snippets(
    snippets: Sequence[Snippet],
    tokenizer: Tokenizer,
    ids: FimIds,
    template: FimTemplate,
    max_tokens: int,
) -> list[int]:
    separator = [] if ids.file_sep is None else [ids.file_sep]
    head = [] if ids.repo_sep is None else [ids.repo_sep, *tokenizer.encode("project\n")]
    tail = separator if template.is_file_separated else []
    num_before = len(head)
    for snippet in snippets:
        room = max_tokens - len(head) - len(separator) - len(tail)
        if room < 1:
            break
        text = template.snippet_form.format(path=snippet.path, text=snippet.text)
        piece = encode_start(text, tokenizer, room + 1)
        if len(piece) > room:
            break
        head += [*separator, *piece]
    return [*head, *tail] if len(head) > num_before else []


def render_plain(
    prefix: str,
    tokenizer: Tokenizer,
    ids: FimIds,
    *,
    max_prompt_tokens: int,
    is_truncatable: bool,
) -> list[int]:
    """Return ids for left-to-right continuation of `prefix`, after one id that starts a text.

    Raises:
        EmptyPromptError: `prefix` is empty.
        PromptTooLongError: it does not fit and must not be cut.
    """
    if not prefix:
        raise EmptyPromptError
    if is_truncatable:
        part = tokenize_end(prefix, tokenizer, max_prompt_tokens - 1)
        return [ids.start, *cut_end(part, tokenizer, max_prompt_tokens - 1)[1]]
    body = tokenizer.encode(prefix)
    if len(body) + 1 > max_prompt_tokens:
        raise PromptTooLongError(
            prompt_tokens=len(body) + 1, max_tokens=0, context_tokens=max_prompt_tokens
        )
    return [ids.start, *body]
