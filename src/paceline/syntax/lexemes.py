"""The tokens that matter for structure: comments, strings, brackets, line ends. One regular expression a language."""

from __future__ import annotations

import re
from functools import lru_cache

from paceline.syntax.languages import Language

REGEX_MAY_FOLLOW = re.compile(
    r"(?:^|[(\[{,;=:!&|?+\-*%^~<>]|\b(?:return|typeof|case|in|of|void|delete|throw|yield|await|else|do))\s*$"
)
"""JavaScript: after this a `/` begins a regular expression; elsewhere it divides."""

_REGEX = r"(?P<regex>/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n]){0,200}\]|[^/\\\[\n]){1,500}/[a-z]*)"
_CHAR = r"(?P<char>'(?:\\[^\n']{0,9}'|\\''|[^\\'\n]'))"
_RAW = {"rust": r'(?P<raw>\bb?r(#{0,8})")', "cpp": r'(?P<raw>\b(?:u8|[uUL])?R"([^()\\\s]{0,16})\()'}


@lru_cache(maxsize=256)
def code_pattern(language: Language) -> re.Pattern[str]:
    """What to look for in code. Groups: newline, block, line, whole, raw, regex, char, quote, open, close, semi."""
    parts = [r"(?P<newline>\n[ \t\r\f]*)", r"(?P<joined>\\\r?\n[ \t]*)"]
    if language.block_comment:
        parts.append(f"(?P<block>{re.escape(language.block_comment[0])})")
    if language.line_comments:
        marks = "|".join(re.escape(mark) for mark in language.line_comments)
        space = r"(?<![^\s;&|(])" if language.name in ("shell", "makefile", "dockerfile") else ""
        parts.append(rf"(?P<line>{space}(?:{marks})[^\n]*)")
    if language.name in _RAW:
        parts.append(_RAW[language.name])
    if language.has_char_quote:
        parts.append(_CHAR)
    if language.quotes:
        parts.append(f"(?P<whole>{'|'.join(_whole(language, quote) for quote in language.quotes)})")
        parts.append(f"(?P<quote>{'|'.join(re.escape(quote) for quote in language.quotes)})")
    if language.name.startswith(("javascript", "typescript")):
        parts.append(_REGEX)
    parts.extend((r"(?P<open>[(\[{])", r"(?P<close>[)\]}])", r"(?P<semi>;)"))
    return re.compile("|".join(parts), re.DOTALL)


def _whole(language: Language, quote: str) -> str:
    """A whole string within its line. One that may go over lines, or hold code, is read piece by piece."""
    if len(quote) > 1 or quote in language.multiline_quotes:
        return r"(?!)"
    not_longer = "".join(f"(?!{other})" for other in language.quotes if other.startswith(quote * 2))
    if quote in language.raw_quotes:
        return rf"{not_longer}{quote}[^{quote}\n]*{quote}"
    return rf"{not_longer}{quote}[^{quote}\\\n]*(?:\\.[^{quote}\\\n]*)*{quote}"


@lru_cache(maxsize=256)
def string_pattern(language: Language, quote: str) -> re.Pattern[str]:
    """What to look for in a string that `quote` opened. Groups: end, hole (code in a template), newline."""
    parts = [f"(?P<end>{re.escape(quote)})"]
    if quote not in language.raw_quotes and quote in language.quotes:
        parts.append(r"\\.")
    if quote == "`" and quote not in language.raw_quotes:
        parts.append(r"(?P<hole>\$\{)")
    if quote in language.quotes and quote not in language.multiline_quotes:
        parts.append(r"(?P<newline>\n)")
    return re.compile("|".join(parts), re.DOTALL)


@lru_cache(maxsize=64)
def comment_pattern(language: Language) -> re.Pattern[str]:
    """What to look for in a block comment. Groups: end, and begin where such comments nest."""
    begin, end = language.block_comment or ("(?!)", "(?!)")
    parts = [f"(?P<end>{re.escape(end)})"]
    if language.is_block_comment_nested:
        parts.append(f"(?P<begin>{re.escape(begin)})")
    return re.compile("|".join(parts))


def closing_of_raw(language: Language, match: re.Match[str]) -> str:
    """What ends the raw string that `match` (group raw) begins."""
    mark = match.group(match.lastindex or 0) or ""
    if language.name == "rust":
        return '"' + "#" * match.group().count("#")
    return ")" + mark.rpartition('"')[2].removesuffix("(") + '"'
