"""Names, attributes and modules that the candidate makes up: flagged if they are nowhere, dropped if that is certain.

    where a name may come from          not there       dropped if
    the candidate, its scope, builtins  next row        -
    another document of the project     flagged         it stands nowhere in the document either, all of the
                                                        document is known and nothing in it makes names at run time

Python is read exactly (python_names.py); of JavaScript, TypeScript and Rust only imports are checked. What other languages
read is not judged.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

import msgspec
from msgspec.structs import replace
from tree_sitter import Node

from paceline.complete.project import family_of
from paceline.complete.scene import Scene
from paceline.complete.steps.cut import cut
from paceline.complete.steps.import_paths import imported_paths
from paceline.complete.steps.inserted import tree_with
from paceline.complete.steps.python_known import (
    BUILTINS,
    KNOWN_ATTRIBUTES,
    OBJECT_ATTRIBUTES,
)
from paceline.complete.steps.python_names import AttributeUse, ImportUse, Names, Use, names_in
from paceline.complete.steps.statements import end_of_statements_before
from paceline.complete.words import MAX_CHARS, Words, words_of
from paceline.core.types import Candidate, Drop
from paceline.syntax.symbols import symbols
from paceline.syntax.tree import SyntaxTree

MAX_CHECKED_CHARS = 8_000
"""A longer candidate is not checked: no completion is that long."""

KINDS = ("unknown_name", "unknown_attribute", "unknown_import")
"""Flags are one of these and the name, `unknown_name:frobnicate`; drop reasons are these."""

_MAKES_NAMES = (
    "import *",
    "exec(",
    "globals(",
    "locals(",
    "vars(",
    "__builtins__",
    "builtins",
    "sys.modules",
    "%run",
)
"""Text with which names can come into a module that no statement binds."""

_MAKES_ATTRIBUTES = ("__getattr__", "setattr", "__dict__", "vars(", "__slots__ = [*", "type(")
_OPEN_CLASS_NAME = re.compile(r"mixin|base|abstract|interface|protocol|plugin", re.IGNORECASE)
"""A class of such a name is completed by others."""

_PYTHON_FILE = re.compile(r"\.pyi?$", re.IGNORECASE)
"""Notebooks, build files and nameless buffers get names from elsewhere: nothing is certain in them."""


class Invention(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is nowhere to be found."""

    kind: str
    name: str
    offset: int
    """In the candidate; below 0 if the word began before the cursor."""
    is_certain: bool


def flag_ungrounded(candidate: Candidate, scene: Scene) -> Candidate | Drop:
    """Flag what the candidate makes up; cut before the statement that certainly does, or drop the candidate."""
    while True:
        if not candidate.text.strip() or len(candidate.text) > MAX_CHECKED_CHARS:
            return candidate
        found = list(inventions(candidate, scene))
        certain = min(
            (one for one in found if one.is_certain), key=lambda one: one.offset, default=None
        )
        if certain is None:
            return _with_flags(candidate, found)
        shorter = cut(
            candidate,
            end_of_statements_before(candidate, scene, certain.offset),
            if_empty=certain.kind,
        )
        if isinstance(shorter, Drop) or len(shorter.text) >= len(candidate.text):
            return Drop(certain.kind)
        candidate = shorter


def inventions(candidate: Candidate, scene: Scene) -> Iterator[Invention]:
    """What the candidate makes up, in any order."""
    family = family_of(scene.language.name)
    if family not in ("python", "javascript", "rust"):
        return
    if family != "python" and not _may_import(candidate.text):
        return
    tree = tree_with(candidate, scene)
    if tree is None:
        return
    start = scene.cursor.offset
    end = start + len(candidate.text)
    if family == "python":
        names = names_in(tree, start, end)
        found = (
            *_names(names, tree, scene, end),
            *_attributes(names, tree, scene),
            *_imports(names.imports, scene),
        )
    else:
        found = _imports(imported_paths(tree, start, end), scene)
    may_go_on = candidate.finish_reason != "stop"
    for kind, use, is_certain in found:
        if use.end < end or not may_go_on:
            is_certain = is_certain and use.is_sure and use.end <= end
            yield Invention(
                kind=kind, name=use.name, offset=use.start - start, is_certain=is_certain
            )


def _with_flags(candidate: Candidate, found: list[Invention]) -> Candidate:
    others = {flag for flag in candidate.flags if not flag.startswith(KINDS)}
    flags = tuple(sorted(others | {f"{one.kind}:{one.name}" for one in found}))
    return candidate if flags == candidate.flags else replace(candidate, flags=flags)


def _may_import(text: str) -> bool:
    return "import" in text or "require" in text or "mod " in text or " from " in text


Found = tuple[str, Use, bool]


def _names(names: Names, tree: SyntaxTree, scene: Scene, end: int) -> Iterator[Found]:
    new = [use for use in names.reads if use.name not in BUILTINS and use.name not in names.bound]
    if not new:
        return
    text, language, project = scene.cursor.document.text, scene.language.name, scene.project
    seen = document_words(text).names
    module = symbols(tree)
    if module.has_wildcard_import:
        return
    scope = _scope_words(tree, scene.cursor.offset, end)
    is_known_whole = _is_whole(tree, scene)
    in_module = set(module.names)
    for use in new:
        name = use.name
        if name in in_module or (
            name in seen if scope is None or not is_known_whole else name in scope
        ):
            continue
        if project is not None and project.has_name(language, name):
            continue
        is_nowhere = (
            name not in seen and project is not None and not project.has_module(language, name)
        )
        yield (
            "unknown_name",
            use,
            is_nowhere and is_known_whole and not _mentions(text, _MAKES_NAMES),
        )


def _attributes(names: Names, tree: SyntaxTree, scene: Scene) -> Iterator[Found]:
    text, language, project = scene.cursor.document.text, scene.language.name, scene.project
    seen = document_words(text).names if names.attributes else frozenset[str]()
    for use in names.attributes:
        name = use.name
        is_closed = _is_closed_class(use, tree, text)
        known = OBJECT_ATTRIBUTES if is_closed else KNOWN_ATTRIBUTES
        if name in seen or name in known or name in names.stored_attributes or name in names.bound:
            continue
        if project is None or not project.has_attribute(language, name):
            yield (
                "unknown_attribute",
                use,
                is_closed and project is not None and _is_whole(tree, scene),
            )


def _imports(imports: list[ImportUse], scene: Scene) -> Iterator[Found]:
    if scene.project is None:
        return
    for use in imports:
        if scene.project.has_module(scene.language.name, use.name) is False:
            yield "unknown_import", use, use.name.startswith((".", "self::"))


def _is_whole(tree: SyntaxTree, scene: Scene) -> bool:
    """Is all of the document known, and is it a module like others?"""
    document, known = scene.cursor.document, scene.tree
    return (
        bool(_PYTHON_FILE.search(document.path))
        and tree.first_offset == 0
        and known is not None
        and len(known.text) == len(document.text) <= MAX_CHARS
    )


def _is_closed_class(use: AttributeUse, tree: SyntaxTree, text: str) -> bool:
    """Is the class such that its own text says all attributes of its objects?"""
    node = use.own_class
    if node is None or _mentions(text, _MAKES_ATTRIBUTES):
        return False
    name, bases = node.child_by_field_name("name"), node.child_by_field_name("superclasses")
    is_alone = bases is None or tree.text_of(bases) in ("()", "(object)")
    is_plain = node.parent is None or node.parent.type != "decorated_definition"
    return (
        is_alone
        and is_plain
        and name is not None
        and not _OPEN_CLASS_NAME.search(tree.text_of(name))
    )


def _scope_words(tree: SyntaxTree, start: int, end: int) -> frozenset[str] | None:
    """All words of the outermost function around the candidate, else of the class or statement; without its own.

    None where the code around does not parse, so that nobody can say.
    """
    at = tree.byte_offset_of(start)
    node = tree.root.descendant_for_byte_range(at, at)
    around: list[Node] = []
    while node is not None and node.parent is not None:
        if node.type == "ERROR" or node.parent.type == "ERROR":
            return None
        around.append(node)
        node = node.parent
    if not around:
        return frozenset()
    functions = [one for one in around if one.type == "function_definition"]
    outermost = functions[-1] if functions else around[-1]
    first, last = tree.offset_of(outermost.start_byte), tree.offset_of(outermost.end_byte)
    begin = tree.first_offset
    before, after = tree.text[first - begin : start - begin], tree.text[end - begin : last - begin]
    return words_of(before).names | words_of(after).names


def _mentions(text: str, parts: tuple[str, ...]) -> bool:
    return any(part in text for part in parts)


@lru_cache(maxsize=16)
def document_words(text: str) -> Words:
    """The words of a document's text, found once for all candidates at it."""
    return words_of(text)
