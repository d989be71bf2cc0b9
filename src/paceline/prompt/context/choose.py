"""Chooses the snippets of a prompt, and keeps the choice while the user types.

    sources ──> pieces with scores ──> budgets, duplicates ──> at a new place    what is best, old ones first
                                                               on a new line     the old choice; one may be added
                                                               within a line     the old choice

Snippets open the prompt, so a changed one costs the prefill of all that follows: a choice that is a little
better is not worth it. Knows no model and no tokenizer. Raises nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from paceline.core.types import Cursor, Snippet
from paceline.hygiene.paths import PathRules
from paceline.prompt.characters import repair
from paceline.prompt.context.admission import Admission, has_secret
from paceline.prompt.context.config import ContextConfig
from paceline.prompt.context.documents import (
    Indexed,
    from_documents,
    open_documents,
    same_directory,
)
from paceline.prompt.context.files import FileStore
from paceline.prompt.context.imports import ImportSource
from paceline.prompt.context.index import IndexStore, Query
from paceline.prompt.context.scope import Scope
from paceline.prompt.context.selection import Selection
from paceline.prompt.context.sources import (
    Found,
    Piece,
    from_cells,
    from_clipboard,
    from_diagnostics,
    from_edits,
)
from paceline.prompt.context.types import ChosenContext, EditorContext, Origin, SkippedContext
from paceline.prompt.context.validity import still_holds

INERTIA = 1.25
"""At a new place an old snippet counts so much more than a new one."""
REPLACEMENT_GAIN = 1.5
"""On a new line a new snippet takes the last one's place only if it is so much better."""
MAX_SKIPPED = 64

PROMPT_ORDER: tuple[Origin, ...] = (
    "client",
    "import",
    "same_directory",
    "notebook_cell",
    "open_document",
    "recent_edit",
    "clipboard",
    "diagnostic",
)
"""What changes least comes first, so that a change leaves most of the prompt as it was."""


class ContextChooser:
    """One for a server: it keeps indexes of the documents seen lately. Not for several threads at once."""

    def __init__(self, config: ContextConfig, rules: PathRules) -> None:
        self.config = config
        self._rules = rules
        self._indexes = IndexStore(config.max_new_chars)
        self._files = FileStore(
            max_file_bytes=config.max_file_bytes, max_reads=config.max_file_reads
        )
        self._imports = ImportSource(self._files)
        self._admission = Admission(rules, "")

    def choose(
        self, cursor: Cursor, context: EditorContext, previous: ChosenContext | None = None
    ) -> ChosenContext:
        """Return the snippets for a prompt at `cursor`, in prompt order, and what was left out.

        Args:
            previous: the last choice for this document; as long as the cursor stays in the same function it
                is kept, as far as its snippets still hold. None chooses anew: after a pause or an accept.
        """
        return self._choose(cursor, context, previous, is_unlimited=False)

    def prepare(self, cursor: Cursor, context: EditorContext) -> None:
        """Read and index all that `choose` would look at, without its limits per call; for idle time."""
        self._choose(cursor, context, None, is_unlimited=True)

    def _choose(
        self,
        cursor: Cursor,
        context: EditorContext,
        previous: ChosenContext | None,
        *,
        is_unlimited: bool,
    ) -> ChosenContext:
        if not self.config.is_enabled:
            return ChosenContext()
        self._indexes.start_call(is_unlimited=is_unlimited)
        self._files.start_call(is_unlimited=is_unlimited)
        scope = Scope(cursor, context, self.config)
        admission = self._admission_to(context.workspace_root)
        selection = Selection(scope)
        self._add_client(selection, scope, admission)
        old = (
            [snippet for snippet in previous.snippets if snippet.origin != "client"]
            if previous
            else []
        )
        old = [snippet for snippet in old if still_holds(snippet, scope, admission, self._imports)]
        if previous is None or not _is_same_block(previous, scope):
            self._choose_anew(selection, scope, admission, old)
        elif previous.place.line == scope.place.line:
            selection.keep(old)
            selection.skipped += [item for item in previous.skipped if item.origin != "client"]
        else:
            self._choose_more(selection, scope, admission, old)
        return ChosenContext(
            snippets=tuple(_repaired(snippet) for snippet in selection.snippets),
            skipped=tuple(selection.skipped[:MAX_SKIPPED]),
            place=scope.place,
        )

    def _admission_to(self, root: str) -> Admission:
        if self._admission.root != root:
            self._admission = Admission(self._rules, root)
        self._admission.start_call()
        return self._admission

    def _add_client(self, selection: Selection, scope: Scope, admission: Admission) -> None:
        """The client's own snippets come first, as they are."""
        if not self.config.client.is_enabled:
            return
        for snippet in scope.context.client_snippets:
            reason = admission.reason_against(snippet.path, is_sent=True)
            selection.add_sent(replace(snippet, origin="client"), reason)

    def _choose_anew(
        self, selection: Selection, scope: Scope, admission: Admission, old: list[Snippet]
    ) -> None:
        query, found = self._found(scope, admission, selection)
        pieces = [piece for piece in found if piece.snippet not in old]
        pieces += [self._rescored(snippet, found, query, INERTIA) for snippet in old]
        for piece in sorted(pieces, key=lambda piece: -piece.score):
            selection.add(piece)
        selection.arrange(old, PROMPT_ORDER)

    def _choose_more(
        self, selection: Selection, scope: Scope, admission: Admission, old: list[Snippet]
    ) -> None:
        """Keep `old`, and add the best of what is new: at the end, or in place of the last."""
        query, found = self._found(scope, admission, selection)
        selection.keep(old)
        fresh = sorted(
            (piece for piece in found if piece.snippet not in old), key=lambda piece: -piece.score
        )
        if any(selection.add(piece, is_reported=False) for piece in fresh) or not old:
            return
        last = self._rescored(old[-1], found, query, REPLACEMENT_GAIN)
        if fresh and fresh[0].score > last.score:
            selection.replace_last(fresh[0])

    def _rescored(self, snippet: Snippet, found: list[Piece], query: Query, gain: float) -> Piece:
        """A snippet of an earlier choice as a piece of this one."""
        for piece in found:
            if piece.snippet == snippet:
                return replace(piece, score=piece.score * gain)
        origin: Origin = snippet.origin  # type: ignore[assignment]
        score = query.similarity(snippet.text) * self.config.source(origin).weight
        return Piece(snippet=snippet, origin=origin, score=score * gain)

    def _found(
        self, scope: Scope, admission: Admission, selection: Selection
    ) -> tuple[Query, list[Piece]]:
        """Pieces of all sources that are on, and the query that they were compared with."""
        documents: list[Indexed] = []
        for item in self._documents(scope, admission):
            documents.append(item) if isinstance(item, Indexed) else selection.skipped.append(item)
        query = Query(scope.query_text, [document.index for document in documents])
        pieces: list[Piece] = []
        for item in self._pieces(scope, admission, query, documents):
            if isinstance(item, SkippedContext):
                selection.skipped.append(item)
            elif has_secret(item.snippet.text):
                selection.skip(item, "secret")
            else:
                weight = self.config.source(item.origin).weight
                pieces.append(replace(item, score=item.score * weight))
        return query, pieces

    def _documents(self, scope: Scope, admission: Admission) -> Iterator[Indexed | SkippedContext]:
        if self.config.open_document.is_enabled:
            yield from open_documents(scope, admission, self._indexes)
        if self.config.same_directory.is_enabled:
            yield from same_directory(scope, admission, self._files, self._indexes)

    def _pieces(
        self, scope: Scope, admission: Admission, query: Query, documents: list[Indexed]
    ) -> Iterator[Found]:
        config = self.config
        yield from from_documents(scope, query, documents)
        if config.imports.is_enabled:
            yield from self._imports.pieces(scope, query, admission)
        if config.recent_edit.is_enabled:
            yield from from_edits(scope, query, admission)
        if config.notebook_cell.is_enabled:
            yield from from_cells(scope, admission)
        if config.clipboard.is_enabled:
            yield from from_clipboard(scope, query)
        if config.diagnostic.is_enabled:
            yield from from_diagnostics(scope)


def _is_same_block(previous: ChosenContext, scope: Scope) -> bool:
    place = previous.place
    return (place.path, place.block) == (scope.place.path, scope.place.block)


def _repaired(snippet: Snippet) -> Snippet:
    path, text = repair(snippet.path), repair(snippet.text)
    is_same = path is snippet.path and text is snippet.text
    return snippet if is_same else replace(snippet, path=path, text=text)
