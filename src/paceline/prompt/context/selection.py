"""The list of snippets while it is being made: budgets, duplicates, order."""

from __future__ import annotations

from collections import Counter

from paceline.core.types import Snippet
from paceline.prompt.context.scope import Scope, distinct_lines
from paceline.prompt.context.sources import Piece, cost_chars
from paceline.prompt.context.types import Origin, SkippedContext

DUPLICATE_SHARE = 0.7
"""Of a snippet's lines, in the prompt already."""


class Selection:
    """Snippets chosen so far, and what was left out."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self.snippets: list[Snippet] = []
        self.skipped: list[SkippedContext] = []
        self._spent: Counter[str] = Counter()
        self._orders: dict[Snippet, int] = {}

    def add_sent(self, snippet: Snippet, reason: str) -> None:
        """The client's own snippet: only rules and budget may keep it out."""
        if not reason and not self._has_room(snippet, "client"):
            reason = "budget"
        if not reason and not snippet.text.strip():
            reason = "empty"
        if reason:
            self.skipped.append(SkippedContext("client", snippet.path, reason))
        else:
            self._append(snippet)

    def keep(self, snippets: list[Snippet]) -> None:
        """Take over an earlier choice, as far as the budget goes; what is behind is dropped."""
        for snippet in snippets:
            origin: Origin = snippet.origin  # type: ignore[assignment]
            if not self._has_room(snippet, origin):
                return
            self._append(snippet)

    def add(self, piece: Piece, *, is_reported: bool = True) -> bool:
        """Append `piece` if it fits and brings something new; say whether it did."""
        reason = self._reason_against(piece)
        if not reason:
            self._append(piece.snippet)
            self._orders[piece.snippet] = piece.order
        elif is_reported:
            self.skip(piece, reason)
        return not reason

    def skip(self, piece: Piece, reason: str) -> None:
        """Note why a piece was left out."""
        self.skipped.append(SkippedContext(piece.origin, piece.snippet.path, reason))

    def replace_last(self, piece: Piece) -> None:
        """Put `piece` where the last snippet is, if it fits there."""
        last = self.snippets.pop()
        self._spent[last.origin] -= cost_chars(last)
        if not self.add(piece, is_reported=False):
            self._append(last)

    def arrange(self, old: list[Snippet], order: tuple[Origin, ...]) -> None:
        """Bring the snippets into prompt order: the client's, then those of the earlier choice as they were,
        then new ones by source; within a source as they were added, cells by their number."""
        place = {snippet: number for number, snippet in enumerate(old)}

        def key(snippet: Snippet) -> tuple[int, int, int, int]:
            if snippet.origin == "client":
                return (0, 0, 0, 0)
            if snippet in place:
                return (1, place[snippet], 0, 0)
            origin: Origin = snippet.origin  # type: ignore[assignment]
            number = self._orders.get(snippet, 0) if origin == "notebook_cell" else 0
            return (2, 0, order.index(origin), number)

        self.snippets.sort(key=key)

    def _append(self, snippet: Snippet) -> None:
        self.snippets.append(snippet)
        self._spent[snippet.origin] += cost_chars(snippet)

    def _has_room(self, snippet: Snippet, origin: Origin) -> bool:
        config, cost = self._scope.config, cost_chars(snippet)
        if self._spent.total() + cost > config.max_chars:
            return False
        return self._spent[origin] + cost <= config.source_chars(origin)

    def _reason_against(self, piece: Piece) -> str:
        if not self._has_room(piece.snippet, piece.origin):
            return "budget"
        lines = distinct_lines(piece.snippet.text)
        if _is_known(lines, self._scope.seen_lines):
            return "duplicate"
        for other in self.snippets:
            known = distinct_lines(other.text)
            if other.text == piece.snippet.text or _is_known(lines, known):
                return "duplicate"
        return ""


def _is_known(lines: frozenset[str], known: frozenset[str]) -> bool:
    return bool(lines) and len(lines & known) >= DUPLICATE_SHARE * len(lines)
