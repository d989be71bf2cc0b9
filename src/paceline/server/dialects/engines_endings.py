"""Answers that end where a block ends, told by indentation, while they are written.

A line is judged when its first word is there; until then it is held back, and so are blank lines before it, so
that nothing is sent that would have to be taken back.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import NamedTuple

from msgspec.structs import replace

from paceline.complete.generation import open_stream
from paceline.generate.types import TextChunk

HAS_FIRST_WORD = re.compile(r"\s*(\w+\W|[^\w\s])")
FIRST_WORD = re.compile(r"\w*")
CLOSERS = (")", "]", "}")
C_WORDS = frozenset(("else", "catch", "finally"))
END_WORDS = frozenset(("end", "else", "elsif", "elseif", "rescue", "ensure", "until", "when", "in"))
SHELL_WORDS = frozenset(("fi", "done", "esac", "else", "elif", "then", "do"))
WORDS: dict[str, frozenset[str]] = {
    "python": frozenset(("else", "elif", "except", "finally")),
    "ruby": END_WORDS,
    "lua": END_WORDS,
    "elixir": END_WORDS,
    "julia": END_WORDS | C_WORDS,
    "shellscript": SHELL_WORDS,
    "bash": SHELL_WORDS,
    "makefile": SHELL_WORDS,
}
"""First words of lines that go on with a block at the indentation of its heading, by VS Code's names of languages;
C_WORDS for all others."""


class Found(NamedTuple):
    """How much of a text is settled."""

    num_chars: int
    """These stay, whatever follows."""
    is_over: bool
    """The answer ends there."""


class Ending(NamedTuple):
    """Where an answer ends."""

    is_end: Callable[[str], bool]
    """Does the answer end before this line? It is not blank, and its first word is there."""
    is_first_code_kept: bool
    """Is the first line that is not blank part of the answer in any case? Else only the line that the answer
    begins in the middle of."""

    def find(self, text: str, *, is_final: bool = False) -> Found:
        """Judge what has been written; `is_final`: no more follows."""
        num_settled, start, has_code = 0, 0, False
        lines = text.split("\n")
        for index, line in enumerate(lines):
            is_whole = is_final or index < len(lines) - 1
            is_judged = has_code if self.is_first_code_kept else index > 0
            if line.strip():
                if is_judged and not is_whole and not HAS_FIRST_WORD.match(line):
                    break
                if is_judged and self.is_end(line):
                    return Found(num_settled, is_over=True)
                num_settled, has_code = start + len(line), True
            start += len(line) + 1
        return Found(len(text) if is_final else num_settled, is_over=False)

    def is_over(self, text: str) -> bool:
        """For GenerateParams.stop_when."""
        return self.find(text).is_over


def ending_by_indent(num_chars: int) -> Ending:
    """llama.cpp's `n_indent`: before a later line that is indented by fewer white characters."""

    def is_end(line: str) -> bool:
        return _indent_of(line) < num_chars

    return Ending(is_end, is_first_code_kept=False)


def ending_of_block(num_chars: int, language: str) -> Ending:
    """Copilot's trimming: before a line at that indentation or less that does not go on with the block."""
    words = WORDS.get(language, C_WORDS)

    def is_end(line: str) -> bool:
        indent, code = _indent_of(line), line.lstrip()
        if indent != num_chars:
            return indent < num_chars
        word = FIRST_WORD.match(code)
        is_going_on = code.startswith(CLOSERS) or (word is not None and word[0] in words)
        return not is_going_on

    return Ending(is_end, is_first_code_kept=True)


def _indent_of(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))


async def cut_stream(
    stream: AsyncIterator[TextChunk], ending: Ending
) -> AsyncGenerator[TextChunk, None]:
    """Pass `stream` on as far as `ending` lets it; what it holds back comes with the next chunk.

    Closing it closes `stream`. Tokens are reported as they are written, cut or not. One more chunk is read after the
    end: a generator that knows the rule as its `stop_when` says there what the prompt has cost.
    """
    text, num_sent = "", 0
    async with open_stream(stream):
        async for chunk in stream:
            text += chunk.text
            found = ending.find(text, is_final=chunk.finish_reason is not None)
            num_before, num_sent = num_sent, max(num_sent, found.num_chars)
            piece = replace(chunk, text=text[num_before:num_sent], marks=())
            if not found.is_over:
                yield piece
                continue
            last = None if chunk.finish_reason else await anext(stream, None)
            last = last or TextChunk(text="")
            yield replace(
                piece,
                finish_reason="stop",
                num_tokens=piece.num_tokens + last.num_tokens,
                logprob=piece.logprob + last.logprob,
                prompt_tokens=max(piece.prompt_tokens, last.prompt_tokens),
                cached_tokens=max(piece.cached_tokens, last.cached_tokens),
            )
            return
