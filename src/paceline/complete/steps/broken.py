"""Text that is no text of the document's kind: broken characters, and what leaked from prompts and chats."""

from __future__ import annotations

import re
from functools import cache

from paceline.complete.scene import Scene
from paceline.complete.steps.cut import cut, cut_start
from paceline.core.types import Candidate, Cursor, Drop
from paceline.prompt.templates import TEMPLATES
from paceline.tokenizer.specials import NAMED

_BROKEN = re.compile(
    "[\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffd\ufffe\uffff\u202a-\u202e\u2066-\u2069]"
)
"""U+FFFD stands for bytes that are no text; control characters but tab, line ends and form feed; halves of
surrogate pairs; and the signs that turn the direction of text, which can hide what code does
(CVE-2021-42574, "Trojan Source")."""

_OTHER_SENTINELS = (
    "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|fim_pad|>", "<|file_sep|>", "<|repo_name|>",
    "<|cursor|>", "<|eot_id|>", "<|end_of_text|>", "<|im_sep|>", "<|eom_id|>", "[PREFIX]", "[SUFFIX]", "[MIDDLE]",
    "<PRE>", "<SUF>", "<MID>", "<EOT>", "<end_of_turn>",
)  # fmt: skip
"""Of families that run behind a server of another's: those whose templates are not ours."""
_ORDINARY = frozenset({"<s>", "</s>", "<filename>"})
"""Sentinels that are also HTML or a usage line; a lone `</s>` at the very end is cut all the same."""
NEAR_CHARS = 4_000
"""A document that has a sentinel this near to the cursor is about them."""

_FENCE = re.compile(r"^[ \t]*(?:```|~~~)[\w+#.-]*[ \t]*\r?$", re.MULTILINE)
_PATH_LINE = re.compile(
    r"^[ \t]*(?://|#|--|;|/\*|<!--|%)[ \t]*(?:(?i:path|file(?:name)?)[ \t]*:[ \t]*\S+|(?:[\w.@-]+/)+[\w.@-]+\.\w{1,8})"
    r"[ \t]*(?:\*/|-->)?[ \t]*\r?$|^\+{5} \S+[ \t]*\r?$",
    re.MULTILINE,
)
"""How snippets are headed in prompts: `# pkg/names.py` (ours), `// Path: a.ts` (Continue), `+++++ a.py`
(Codestral)."""
_TRIPLE_QUOTE = re.compile(r'"""|' + "'''")


def cut_broken_text(candidate: Candidate, scene: Scene) -> Candidate | Drop:
    """Cut before what is no text: U+FFFD, control characters, half a surrogate pair."""
    found = _BROKEN.search(candidate.text)
    return cut(candidate, found.start() if found else None, if_empty="broken_text")


def cut_sentinels(candidate: Candidate, scene: Scene) -> Candidate | Drop:
    """Cut before a sentinel of the model's template that leaked as text."""
    found = _sentinel_pattern().search(candidate.text)
    if found is None or _is_about_sentinels(scene.cursor):
        return candidate
    return cut(candidate, found.start(), if_empty="sentinel")


def cut_fences(candidate: Candidate, scene: Scene) -> Candidate | Drop:
    """Take code out of its Markdown fence; text after the closing fence is talk.

    Not where fences belong: in prose, comments and strings, those that the candidate opens included.
    """
    if "```" not in candidate.text and "~~~" not in candidate.text:
        return candidate
    place = scene.place
    if not scene.language.is_code or place.is_in_comment or place.is_in_string:
        return candidate
    for match in _FENCE.finditer(candidate.text):
        if len(_TRIPLE_QUOTE.findall(candidate.text, 0, match.start())) % 2:
            continue
        if candidate.text[: match.start()].strip():
            return cut(candidate, len(candidate.text[: match.start()].rstrip()))
        return cut_start(candidate, match.end() + 1, if_empty="fence")
    return candidate


def cut_path_lines(candidate: Candidate, scene: Scene) -> Candidate | Drop:
    """Cut before a line that heads the next file, as snippets are headed in the prompt."""
    if not scene.language.is_code:
        return candidate
    for match in _PATH_LINE.finditer(candidate.text):
        if match.start() or not scene.line_before.strip():
            end = len(candidate.text[: match.start()].rstrip())
            return cut(candidate, end, if_empty="path_line")
    return candidate


@cache
def _sentinel_pattern() -> re.Pattern[str]:
    known = {*_OTHER_SENTINELS, *NAMED}
    for template in TEMPLATES.values():
        named = (template.begin, template.prefix, template.suffix, template.middle, template.end)
        more = (template.file_sep, template.repo_sep, *template.other_ends)
        known.update(text.lstrip("▁") for text in (*named, *more) if text and len(text) > 2)
    known -= _ORDINARY
    longest_first = sorted(known, key=lambda text: (-len(text), text))
    return re.compile("|".join(re.escape(text) for text in longest_first) + r"|</s>(?=\s*\Z)")


def _is_about_sentinels(cursor: Cursor) -> bool:
    text = cursor.document.text
    near = text[max(cursor.offset - NEAR_CHARS, 0) : cursor.offset + NEAR_CHARS]
    return _sentinel_pattern().search(near) is not None or "<s>" in near
