"""Cuts what a stream wrote beyond the shown completion into the completions that would be asked next.

A stream often runs past the text that is shown: chunks arrive whole, and a client may have asked for more.
Whoever accepts the shown text is asked next right behind it, and the stream has already answered:

    shown      "total = 0"
    raw        "total = 0\\n    for row in rows:\\n        total += row\\n"
    pieces     after "total = 0"                            "\\n    for row in rows:"
               after "total = 0\\n    for row in rows:"      "\\n        total += row"

A piece is one line, as single_line mode would give it: raw model output that still has to be judged there.

The idea is that of other clients, which cut their streams too (facts/clients.md section 2.2).
"""

from __future__ import annotations

import re

from paceline.complete.cache import Spot

MAX_PIECES = 8
"""Each later one is asked for only if all before it were accepted as they are."""

_LINE = re.compile(r"(?:[^\S\n]*(?=\n))?(?P<text>\n?[^\n]*\S[^\n]*)(?=\n|\Z)")
"""White space that ends the line before, then one line that is not blank with the break before it."""


def pieces(
    spot: Spot,
    raw_text: str,
    shown_text: str,
    *,
    num_replaced_chars: int = 0,
    is_raw_finished: bool = False,
) -> list[tuple[Spot, str]]:
    """Return (spot after accepting all before, text of one line), nearest first; empty if nothing is left.

    Appended one after another to the shown text, the texts are a beginning of `raw_text`, but for white space
    at line ends. They end at the first blank line, where a new thought begins that nobody has asked for, and
    before a last line that may have been cut.

    Args:
        spot: where both texts start.
        raw_text: what the model wrote, of any line ends.
        shown_text: what is left of it after judging. If it was changed, not only cut, nothing can be said.
        num_replaced_chars: how many characters after the cursor the shown text takes the place of.
        is_raw_finished: did the model end by itself? Then the last line is whole too.
    """
    raw, shown = raw_text.replace("\r\n", "\n"), shown_text.replace("\r\n", "\n")
    if not shown or not raw.startswith(shown):
        return []
    found: list[tuple[Spot, str]] = []
    spot, start = spot.accept(shown, num_replaced_chars), len(shown)
    while len(found) < MAX_PIECES:
        line = _LINE.match(raw, start)
        if line is None or (line.end() == len(raw) and not is_raw_finished):
            break
        text = line["text"].rstrip()
        found.append((spot, text))
        spot, start = spot.accept(text), line.end()
    return found
