"""Text that goes in circles: inside the candidate, and of what stands above the cursor.

Real code repeats itself too (rows of a table, series of assertions), so only exact repetition counts, and
a loop that the document itself began is left alone.
"""

from __future__ import annotations

import re
from itertools import islice

from paceline.complete.lines import indentation
from paceline.complete.scene import Scene
from paceline.complete.steps.cut import cut, cut_start
from paceline.core.types import Candidate, Drop

_TOKEN = re.compile(r"\w+|([^\w\s])\1*")
LOOPS: tuple[tuple[int, int], ...] = ((1, 10), (5, 24), (10, 30), (20, 45), (30, 60))
"""(longest period, tokens that must have it): Copilot's settings (suggestions/anomalyDetection.ts) and one
more. There a token is a BPE token; ours are words and runs of one sign, so the same text has fewer."""
MAX_LOOP_TOKENS = 2_000
"""Of a longer candidate only the last tokens are looked at."""
MIN_SAME_LINES = 3
"""A line or block this often in a row is a loop. Tabby asks for 5 lines or 2 blocks that differ by 10 %
at most; ours are equal."""
MIN_BLOCK_CHARS = 40
"""A block of several lines that is this long is one when it comes twice."""
MAX_BLOCK_LINES = 12
"""Longest block whose repetition is looked for."""
MIN_LINE_CHARS = 6
"""Of a line that is compared with those above: `end`, `pass` and `});` come again all the time."""
_CALL = re.compile(r"[\w.!:]+\s*\(.*\)\s*;?$|.*(?:\+\+|--);?$")
MIN_ECHO_CHARS = 8
"""A shorter beginning of the line may well come twice: `self.`, `x = x + 1`."""
MAX_ABOVE_LINES = 40
MAX_ABOVE_CHARS = 4_000
"""How far above the cursor repeated lines are looked for."""


def drop_repeated_tokens(candidate: Candidate, scene: Scene) -> Candidate | Drop:
    """Cut back to the last whole line before a loop of tokens that lasts to the end; drop without one."""
    tokens = list(islice(_TOKEN.finditer(candidate.text), MAX_LOOP_TOKENS + 1))
    if len(tokens) > MAX_LOOP_TOKENS:
        tokens = list(_TOKEN.finditer(candidate.text))[-MAX_LOOP_TOKENS:]
    texts = [match.group() for match in tokens]
    start = _loop_start(texts) or _loop_start(texts[:-1])  # the last word may have been cut
    if start is None or _is_loop_of_document(tokens, start, scene):
        return candidate
    end = candidate.text.rfind("\n", 0, tokens[start].start())
    return cut(candidate, max(end, 0), if_empty="repetition")


def cut_repeated_lines(candidate: Candidate, scene: Scene) -> Candidate | Drop:
    """Keep the first of several equal lines or blocks of lines in a row."""
    text = candidate.text
    lines = text.split("\n")
    whole = [line.rstrip() for line in lines]
    whole[0] = scene.line_before + whole[0]
    for first in range(len(lines)):
        if not whole[first].strip():
            continue
        for size in range(1, min(MAX_BLOCK_LINES, (len(lines) - first) // 2) + 1):
            if _repeats(whole, first, size):
                end = sum(len(line) + 1 for line in lines[: first + size]) - 1
                return cut(candidate, end)
    return candidate


def drop_repeated_above(candidate: Candidate, scene: Scene) -> Candidate | Drop:
    """Drop a line that stands twice above the cursor already, and two or more lines that are those above.

    Only for a candidate that begins a line, so that whole lines are compared.
    """
    if scene.line_before.strip() or not candidate.text.strip():
        return candidate
    lines = (scene.line_before + candidate.text.strip("\r\n")).split("\n")
    new = [line.strip() for line in lines if line.strip()]
    above = _lines_above(scene, max(len(new), 2))
    if not any(_has_word(line) and len(line) >= MIN_LINE_CHARS for line in new):
        return candidate
    if len(new) == 1:
        is_repeat = above[-1:] == new and (
            above[-2:-1] == new or not _is_wanted_twice(new[0], scene)
        )
    else:
        is_repeat = above[-len(new) :] == new or (above[-1:] == new[:1] and len(set(new)) == 1)
    return Drop("repeats_above") if is_repeat else candidate


def _is_wanted_twice(line: str, scene: Scene) -> bool:
    """A call or an element of a list may come twice in a row; an assignment, import or comment does nothing."""
    frame = scene.scanner.state.frames[-1]
    return not frame.is_block or _CALL.match(line) is not None


def cut_echo(candidate: Candidate, scene: Scene) -> Candidate | Drop:
    """Cut the beginning of the line that the model, as chat models do, writes once more."""
    before = scene.line_before.strip()
    if len(before) < MIN_ECHO_CHARS or not re.search(r"\w\s+\S", before):
        return candidate
    start = len(candidate.text) - len(candidate.text.lstrip(" \t"))
    if not candidate.text.startswith(before, start):
        return candidate
    start += len(before)
    if scene.line_before[-1:].isspace():
        start += len(candidate.text[start:]) - len(candidate.text[start:].lstrip(" \t"))
    return cut_start(candidate, start, if_empty="repeats_prefix")


def _loop_start(tokens: list[str]) -> int | None:
    """Index of the first token of the second round of a loop that lasts to the end."""
    for max_period, num_tokens in LOOPS:
        if len(tokens) < num_tokens:
            break
        for period in range(1, max_period + 1):
            start = len(tokens)
            while start > period and tokens[start - 1] == tokens[start - 1 - period]:
                start -= 1
            if len(tokens) - start + period >= num_tokens:
                return start
    return None


def _is_loop_of_document(tokens: list[re.Match[str]], start: int, scene: Scene) -> bool:
    """Does the line's beginning, or the line above, go in the same circle? Then it is a table."""
    texts = [match.group() for match in tokens[max(start - 3, 0) : start + 3]]
    near = scene.line_before if scene.line_before.strip() else "\n".join(_lines_above(scene, 1))
    found = [match.group() for match in _TOKEN.finditer(near)]
    return len(set(found)) <= len(set(texts)) + 2 and len(found) >= 6 and set(texts) <= set(found)


def _repeats(lines: list[str], first: int, size: int) -> bool:
    """Do the `size` lines from `first` on come again right below, often enough to be a loop?"""
    if lines[first] != lines[first + size]:
        return False
    block = lines[first : first + size]
    if not any(_has_word(line) for line in block) or not _begins_block(block):
        return False
    rounds = 1
    while lines[first + rounds * size : first + (rounds + 1) * size] == block:
        rounds += 1
    is_long = size > 1 and sum(len(line.strip()) for line in block) >= MIN_BLOCK_CHARS
    return rounds >= (2 if is_long else MIN_SAME_LINES)


def _begins_block(block: list[str]) -> bool:
    """Is no line less indented than the first, and the first no closing bracket?"""
    widths = [indentation(line) for line in block if line.strip()]
    return bool(block[0].strip()) and widths[0] == min(widths) and block[0].lstrip()[0] not in ")]}"


def _lines_above(scene: Scene, count: int) -> list[str]:
    """The last `count` lines above the cursor's that are not blank, without indentation, in order."""
    text, end = scene.cursor.document.text, scene.cursor.offset
    near = text[max(end - MAX_ABOVE_CHARS, 0) : end].split("\n")[:-1]
    found = [line.strip() for line in near if line.strip()]
    return found[-min(count, MAX_ABOVE_LINES) :]


def _has_word(line: str) -> bool:
    return re.search(r"\w", line) is not None
