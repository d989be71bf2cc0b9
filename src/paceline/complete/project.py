"""What is known of the project beyond the document at the cursor: names, attributes and modules, for groundedness.

Fed with documents as they are opened, read or changed; asked for every completion. It over-counts on purpose (words in
comments are names too): a name that was seen anywhere is not called invented.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

import msgspec

from paceline.complete.modules import Modules, builtin_module
from paceline.complete.scene import ProjectNames
from paceline.complete.words import Words, words_of
from paceline.core.types import Document
from paceline.hygiene.paths import PathRules, plain_path
from paceline.syntax.languages import language_of

MAX_DOCUMENTS = 256
"""Of one user, known at once; the one updated longest ago is forgotten first."""

MAX_NAMES = 1_000_000
"""Names of all users' known documents together, about 100 MB if no two documents shared a word. Beyond it, documents
of the user who has been away longest are forgotten."""

MAX_NEW_CHARS = 50_000
"""Of documents never seen before, so much is read for one keystroke, about 10 ms: an editor opens with many at once."""

MAX_ROOTS = 8

FAMILIES = {
    "javascriptreact": "javascript", "typescript": "javascript", "typescriptreact": "javascript",
    "vue": "javascript", "svelte": "javascript", "cpp": "c", "objective-c": "c", "cython": "python",
    "jupyter": "python",
}  # fmt: skip
"""Languages that import each other's files."""


class _Known(msgspec.Struct, frozen=True):
    family: str
    text_hash: int
    num_chars: int
    words: Words


class ProjectIndex:
    """Names of known documents and modules of known workspaces. Not bound to a document: relative imports are unknown
    to it; `seen_from` gives what a Scene needs.

    What one user's documents hold is never told to another: every method is asked on behalf of an `owner`, who is empty
    where users are not told apart.
    """

    def __init__(self, rules: PathRules | None = None) -> None:
        self._rules = rules or PathRules()
        self._owners: OrderedDict[str, OrderedDict[str, _Known]] = OrderedDict()
        """Documents by path, of each owner; who was here last is last."""
        self._modules: OrderedDict[str, Modules] = OrderedDict()
        self._num_names = 0

    def update(self, document: Document, owner: str = "") -> None:
        """Take in a document's newest text. An unchanged one costs a hash, a keystroke the paragraph it is in."""
        key = plain_path(document.path)
        documents = self._owners.setdefault(owner, OrderedDict())
        self._owners.move_to_end(owner)
        known = documents.pop(key, None)
        text_hash, num_chars = hash(document.text), len(document.text)
        if known is None or (known.text_hash, known.num_chars) != (text_hash, num_chars):
            self._num_names -= _size(known)
            known = _Known(
                family_of(language_of(document).name), text_hash, num_chars, words_of(document.text)
            )
            self._num_names += _size(known)
        documents[key] = known
        if len(documents) > MAX_DOCUMENTS:
            self._forget_oldest(owner)
        while self._num_names > MAX_NAMES and self.num_documents > 1:
            self._forget_oldest(next(iter(self._owners)))

    def update_all(self, documents: Iterable[Document], owner: str = "") -> bool:
        """Take in documents, as far as MAX_NEW_CHARS goes for new ones, the first of these in any case.

        Files of secrets are left out.

        Returns:
            Whether all are known now. If not, a name that is not found may be in one that is not read yet.
        """
        num_new_chars, is_complete = 0, True
        for document in documents:
            if self._rules.reason_against(document.path) == "secret_file":
                continue
            num_chars = len(document.text)
            if plain_path(document.path) not in self._owners.get(owner, ()):
                if num_new_chars and num_new_chars + num_chars > MAX_NEW_CHARS:
                    is_complete = False
                    continue
                num_new_chars += num_chars
            self.update(document, owner)
        return is_complete

    def forget(self, path: str, owner: str = "") -> None:
        """A document is gone."""
        documents = self._owners.get(owner)
        if documents is not None:
            self._num_names -= _size(documents.pop(plain_path(path), None))

    @property
    def num_documents(self) -> int:
        """Known at this time, of all users."""
        return sum(map(len, self._owners.values()))

    def seen_from(self, document: Document, root: str = "", owner: str = "") -> ProjectNames:
        """The project as `document` sees it.

        Args:
            root: absolute folder of the workspace; empty: no folder is listed, and relative imports are unknown.
        """
        return _View(self, plain_path(document.path), root, owner)

    def has_module(self, language: str, name: str, owner: str = "") -> bool | None:
        """Does an import of `name` resolve? None if that cannot be known."""
        return self.module_from("", "", language, name, owner)

    def has_name(self, language: str, name: str, owner: str = "") -> bool:
        """Is `name` seen anywhere in the known documents of this language and those that go with it?"""
        family = family_of(language)
        return any(
            known.family == family and name in known.words.names
            for known in self._documents_of(owner)
        )

    def has_attribute(self, language: str, name: str, owner: str = "") -> bool:
        """Is `.name` seen, or defined where it could be meant, anywhere in the known documents of this language?"""
        family = family_of(language)
        return any(
            known.family == family and name in known.words.attributes
            for known in self._documents_of(owner)
        )

    def module_from(
        self, path: str, root: str, language: str, name: str, owner: str = ""
    ) -> bool | None:
        """Does an import of `name` resolve in the document at `path` of the workspace `root`?"""
        family = family_of(language)
        is_relative = name.startswith((".", "self::"))
        if not root or not path or "\0" in name:
            found = builtin_module(family, name)
        else:
            found = self._modules_of(root).has(family, name, _real_path(path, root))
        if found or is_relative:
            return found
        is_imported = any(
            known.family == family and name in known.words.modules
            for known in self._documents_of(owner)
        )
        return True if is_imported else found

    def _documents_of(self, owner: str) -> Iterable[_Known]:
        documents = self._owners.get(owner)
        return () if documents is None else documents.values()

    def _forget_oldest(self, owner: str) -> None:
        documents = self._owners[owner]
        if documents:
            self._num_names -= _size(documents.popitem(last=False)[1])
        if not documents:
            del self._owners[owner]

    def _modules_of(self, root: str) -> Modules:
        modules = self._modules.get(root)
        if modules is None:
            modules = self._modules[root] = Modules(root, self._rules)
            if len(self._modules) > MAX_ROOTS:
                self._modules.popitem(last=False)
        return modules


class _View:
    """The index, asked on behalf of one document."""

    def __init__(self, index: ProjectIndex, path: str, root: str, owner: str) -> None:
        self._index, self._path, self._root, self._owner = index, path, root, owner

    def has_module(self, language: str, name: str) -> bool | None:
        return self._index.module_from(self._path, self._root, language, name, self._owner)

    def has_name(self, language: str, name: str) -> bool:
        return self._index.has_name(language, name, self._owner)

    def has_attribute(self, language: str, name: str) -> bool:
        return self._index.has_attribute(language, name, self._owner)


def family_of(language: str) -> str:
    """The languages that import each other's files go by one name."""
    return FAMILIES.get(language, language)


def _real_path(path: str, root: str) -> str:
    """The document's file, links followed; the text itself where no file can have that name."""
    try:
        return os.path.realpath(path if Path(path).is_absolute() else f"{root}/{path}")
    except (OSError, ValueError):
        return path


def _size(known: _Known | None) -> int:
    return len(known.words.names) + len(known.words.attributes) if known else 0
