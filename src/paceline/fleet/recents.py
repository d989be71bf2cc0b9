"""What was written lately at which place: guesses for the next keystroke there. Text only, in memory.

    earlier   prefix "... self.re"    written "adings = []"
    now       prefix "... self.rea"   so probably "dings = []" comes

A guess only ever saves time: the model verifies each token of it. Places are told apart by the text right
before and after them and by the user, so that nobody's guesses come from somebody else's code.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

TAIL_CHARS = 48
"""Text before and after a place that makes it that place."""
MAX_TYPED_CHARS = 48
"""How far back an earlier place is looked for."""
MAX_PLACES = 4096
MAX_TEXT_CHARS = 2000


class _Place(NamedTuple):
    user_id: str
    before: str
    after: str


class Recents:
    """Remembers the last texts of MAX_PLACES places."""

    def __init__(self) -> None:
        self._texts: OrderedDict[_Place, str] = OrderedDict()

    def remember(self, user_id: str, prefix: str, suffix: str, text: str) -> None:
        """`text` was written between `prefix` and `suffix`."""
        if not text.strip():
            return
        place = _Place(user_id, prefix[-TAIL_CHARS:], suffix[:TAIL_CHARS])
        self._texts[place] = text[:MAX_TEXT_CHARS]
        self._texts.move_to_end(place)
        if len(self._texts) > MAX_PLACES:
            self._texts.popitem(last=False)

    def guesses(self, user_id: str, prefix: str, suffix: str) -> list[str]:
        """What may come between `prefix` and `suffix`, likeliest first; at most two.

        First what is left of a text that agrees with all that was typed since; then the newest that
        does not agree, whole: what was typed may be an insertion into it.
        """
        after = suffix[:TAIL_CHARS]
        divergent: str | None = None
        for num_typed in range(min(MAX_TYPED_CHARS, len(prefix)) + 1):
            end = len(prefix) - num_typed
            place = _Place(user_id, prefix[max(end - TAIL_CHARS, 0) : end], after)
            text = self._texts.get(place)
            if text is None:
                continue
            typed = prefix[end:]
            if text.startswith(typed):
                rest = text[num_typed:]
                return [rest] if divergent is None else [rest, divergent]
            divergent = divergent or text
        return [] if divergent is None else [divergent]
