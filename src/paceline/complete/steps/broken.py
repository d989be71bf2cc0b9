"""Text that is no text of the document's kind: broken characters, and what leaked from prompts and chats."""

from __future__ import annotations

import re
from functools import cache

from paceline.complete.scene import Scene
from paceline.complete.steps.cut import cut, cut_start, with_text
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
    """Keep what stands before U+FFFD, control characters, half a surrogate pair.

    That is the text if it only ends with them, as where the last token was half a character; else its
    whole lines before.
    """
    found = _BROKEN.search(candidate.text)
    if found is None:
        return candidate
    if not _BROKEN.sub("", candidate.text[found.start() :]).strip():
        return cut(candidate, found.start(), if_empty="broken_text")
    return cut(
        candidate, max(candidate.text.rfind("\n", 0, found.start()), 0), if_empty="broken_text"
    )


def mend_line_ends(candidate: Candidate, scene: Scene) -> Candidate | Drop:
    """End lines as the document does near the cursor; with a line feed alone where it shows nothing."""
    if "\n" not in candidate.text and "\r" not in candidate.text:
        return candidate
    text, offset = scene.cursor.document.text, scene.cursor.offset
    near = text[max(offset - NEAR_CHARS, 0) : offset + NEAR_CHARS]
    whole = candidate.text.removesuffix("\r")  # half a line end, where a stream was cut
    mended = whole.replace("\r\n", "\n").replace("\r", "\n")
    if "\r\n" in near:
        mended = mended.replace("\n", "\r\n")
    return with_text(candidate, mended)


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
    text, start = candidate.text, 0
    for match in _FENCE.finditer(text):
        if len(_TRIPLE_QUOTE.findall(text[start : match.start()])) % 2:
            continue
        if text[start : match.start()].strip():
            text = text[: match.start()].rstrip()
            break
        start = match.end() + 1
    return cut_start(with_text(candidate, text), start, if_empty="fence")


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
