"""Snippets from imports: signatures of the imported names that stand near the cursor.

    import  ──resolve──>  open document, or file below the workspace  ──>  definition of the name

Only names in use are looked up: definitions help where they are resolved, not by likeness
(facts/retrieval.md §5). What was found is remembered by text and name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from posixpath import dirname

from paceline.core.types import Snippet
from paceline.prompt.context.admission import Admission
from paceline.prompt.context.blocks import blocks_of
from paceline.prompt.context.files import FileStore
from paceline.prompt.context.index import Query
from paceline.prompt.context.resolve import candidate_files, candidate_folders
from paceline.prompt.context.scope import Scope
from paceline.prompt.context.sources import Found, Piece
from paceline.prompt.context.types import SkippedContext
from paceline.syntax.imports import Import
from paceline.syntax.languages import Language, language_of
from paceline.syntax.outlines import definition_text
from paceline.syntax.symbols import symbols
from paceline.syntax.tree import parse

IMPORT_SCORE = 0.4
"""Beside the similarity: a name that is used and known for certain beats text that is only alike."""
MAX_HEAD_CHARS = 12_000
"""Imports stand at the top of a file."""
MAX_IMPORTS = 6
MAX_NAMES = 6
"""Definitions from one file."""
MAX_WANTED = 60
"""Names that are looked for in one file; an include does not say which it brings."""
MAX_FOLDER_FILES = 6
MAX_REMEMBERED = 1_024
MAX_DEFINITION_CHARS = 600
MAX_SNIPPET_CHARS = 1_000

_IMPORT_LINE = re.compile(
    r"^[ \t]*(?:import|from|use|using|#[ \t]*include|extern crate|export\b[^\n]{0,200}\bfrom)\b[^\n]*",
    re.M,
)
_WORD = re.compile(r"[^\W\d]\w*")
_DOTTED = re.compile(r"[^\W\d]\w*(?:(?:\.|::)[^\W\d]\w*)+")
_DOT = re.compile(r"\.|::")
MAX_DOTTED_PARTS = 6
MIN_WILD_CHARS = 4
"""Shorter words are hardly ever what a wildcard import is for."""


class ImportSource:
    """Looks imports up, and remembers what it read."""

    def __init__(self, files: FileStore) -> None:
        self._files = files
        self._sources: dict[Snippet, int] = {}

    def pieces(self, scope: Scope, query: Query, admission: Admission) -> Iterator[Found]:
        """A snippet for each imported file that defines a name near the cursor."""
        language = language_of(scope.document)
        if not language.has_grammar:
            return
        num_found, uses = 0, Uses(scope.query_text)
        for entry in imports_in(_head(scope.document.text), language):
            wanted = names_wanted(entry, uses)
            if not wanted:
                continue
            found = self._look_up(entry, wanted, language, scope, admission)
            if isinstance(found, Snippet):
                score = IMPORT_SCORE + query.similarity(found.text)
                yield Piece(snippet=found, origin="import", score=score, order=num_found)
                num_found += 1
            elif found is not None:
                yield found
            if num_found >= MAX_IMPORTS:
                return

    def _look_up(
        self,
        entry: Import,
        wanted: list[str],
        language: Language,
        scope: Scope,
        admission: Admission,
    ) -> Snippet | SkippedContext | None:
        """The definitions of `wanted` in the first file that has any."""
        skipped: SkippedContext | None = None
        for path, text, reason in self._files_of(entry, language, scope, admission):
            if reason:
                skipped = SkippedContext("import", path, reason)
                continue
            found = (definition_in(text, name, language) for name in wanted[:MAX_WANTED])
            joined = _within(list(islice(filter(None, found), MAX_NAMES)))
            if joined:
                snippet = Snippet(path=scope.shown_path(path), text=joined, origin="import")
                self._remember(snippet, text)
                return snippet
        return skipped

    def _remember(self, snippet: Snippet, text: str) -> None:
        self._sources.pop(snippet, None)
        self._sources[snippet] = hash(text)
        if len(self._sources) > MAX_REMEMBERED:
            del self._sources[next(iter(self._sources))]

    def still_defines(self, snippet: Snippet, scope: Scope) -> bool:
        """Is the file, if it is open, as it was when its definitions were taken?"""
        text = scope.open_text(snippet.path)
        return text is None or self._sources.get(snippet) == hash(text)

    def _files_of(
        self, entry: Import, language: Language, scope: Scope, admission: Admission
    ) -> Iterator[tuple[str, str, str]]:
        """(path, text, reason against it) of each file that the module may be; open ones first."""
        root, own = scope.context.workspace_root, scope.absolute_path(scope.path)
        folder = dirname(scope.shown_path(scope.path) if root else own.lstrip("/"))
        paths = _paths(entry, language, folder)
        if language.name == "go":
            paths = self._go_files(entry.module, scope)
        for path in paths:
            opened = _open_text(path, scope)
            if opened is not None:
                whole, text = opened
                yield whole, text, admission.reason_against(whole, is_sent=True)
            elif root and self._files.is_file(whole := f"{root}/{path}"):
                reason = admission.reason_against(whole, is_sent=False)
                result = None if reason else self._files.read(whole)
                yield (
                    whole,
                    result.text if result else "",
                    reason or (result.reason if result else ""),
                )

    def _go_files(self, module: str, scope: Scope) -> list[str]:
        """Go imports folders; those of its files that are open, or are there."""
        found: list[str] = []
        for folder in candidate_folders(module):
            for document in scope.context.open_documents:
                path = scope.absolute_path(document.path).lstrip("/")
                if path.endswith(".go") and f"/{dirname(path)}".endswith(f"/{folder}"):
                    found.append(path)
            if scope.context.workspace_root:
                names = self._files.list_folder(f"{scope.context.workspace_root}/{folder}")
                is_go = (name for name in names if name.endswith(".go") and "_test." not in name)
                found += [f"{folder}/{name}" for name in is_go][:MAX_FOLDER_FILES]
            if found:
                break
        return found


def _paths(entry: Import, language: Language, folder: str) -> Iterator[str]:
    """Files of the module, then of names that may be modules themselves."""
    module = entry.module
    if language.name == "python":
        module = "." * entry.level + module
    yield from candidate_files(module, language.name, folder)
    joint = {"python": "" if module.endswith(".") else ".", "java": "."}.get(language.name)
    if joint is not None:
        for name in entry.names[:MAX_NAMES]:
            yield from candidate_files(f"{module}{joint}{name.name}", language.name, folder)


def _open_text(path: str, scope: Scope) -> tuple[str, str] | None:
    """The open document that `path` names, from the end of its own path."""
    root = scope.context.workspace_root
    wanted = scope.absolute_path(path) if root else f"/{path}"
    for document in scope.context.open_documents:
        whole = scope.absolute_path(document.path)
        if whole == wanted or (not root and f"/{whole.lstrip('/')}".endswith(wanted)):
            return document.path, document.text
    return None


class Uses:
    """Names in a text, and what each is asked for: `store.load` asks `store` for `load`."""

    def __init__(self, text: str) -> None:
        self.words = dict.fromkeys(_WORD.findall(text))
        self._asked: dict[str, dict[str, None]] = {}
        for dotted in _DOTTED.findall(text):
            parts = _DOT.split(dotted)[:MAX_DOTTED_PARTS]
            for end in range(1, len(parts)):
                self._asked.setdefault(".".join(parts[:end]), {})[parts[end]] = None

    def asked_of(self, holder: str) -> list[str]:
        """Attributes of `holder`, in order of their first use."""
        return list(self._asked.get(holder.replace("::", "."), ()))


def names_wanted(entry: Import, uses: Uses) -> list[str]:
    """Names of the module that are used, in order of their first use."""
    names = [name for name in entry.names if name.bound in uses.words]
    wanted = [name.name for name in names if name.name != "default"]
    holders = [name.bound for name in names]
    if not entry.names and not entry.has_all:
        holders += [*entry.bound_names, entry.module]
    elif entry.alias:
        holders.append(entry.alias)
    for holder in holders:
        wanted += uses.asked_of(holder)
    if entry.has_all:
        wanted += [word for word in uses.words if len(word) >= MIN_WILD_CHARS]
    return list(dict.fromkeys(wanted))


def _head(text: str) -> str:
    """The text up to the last import at its top, with what that goes on with."""
    top = text[:MAX_HEAD_CHARS]
    lines = list(_IMPORT_LINE.finditer(top))
    if not lines:
        return ""
    last = lines[-1]
    end = last.end()
    closing = top.find("\n)", end, end + 1_500) if "(" in last[0] and ")" not in last[0] else -1
    brace = top.find("}", end, end + 1_500) if "{" in last[0] and "}" not in last[0] else -1
    end = max(end, closing + 2, brace + 1)
    line_end = top.find("\n", end)
    return top[: line_end if line_end >= 0 else None]


@lru_cache(maxsize=256)
def imports_in(head: str, language: Language) -> tuple[Import, ...]:
    """The imports at the top of a file."""
    tree = parse(head, language, around=0) if head else None
    return symbols(tree).imports if tree is not None else ()


@lru_cache(maxsize=1_024)
def definition_in(text: str, name: str, language: Language) -> str:
    """The definition of `name` without its body; empty if `text` does not have it."""
    block = blocks_of(text, name)
    tree = parse(block, language, around=0) if block else None
    found = definition_text(tree, name) if tree is not None else None
    return (found or "").rstrip()[:MAX_DEFINITION_CHARS]


def _within(definitions: list[str]) -> str:
    """As many as fit, one after the other."""
    kept: list[str] = []
    num_chars = 0
    for definition in definitions:
        num_chars += len(definition) + 1
        if num_chars > MAX_SNIPPET_CHARS:
            break
        kept.append(definition)
    return "\n".join(kept)
