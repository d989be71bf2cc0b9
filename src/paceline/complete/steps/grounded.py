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
from paceline.complete.words import MAX_CHARS, has_word
from paceline.core.types import Candidate, Drop
from paceline.syntax.symbols import symbols
from paceline.syntax.tree import SyntaxTree

MAX_CHECKED_CHARS = 8_000
"""A longer candidate is not checked: no completion is that long."""

MAX_DEPTH = 200
"""Of what is nested more deeply nobody can say which function it is in."""

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

_MAKES_ATTRIBUTES = ("__getattr__", "__getattribute__", "setattr", "__dict__", "vars(")
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
    text, language, project = scene.cursor.document.text, scene.language.name, scene.project
    scope = _scope(tree, scene.cursor.offset, end)
    new = [
        use
        for use in names.reads
        if not (use.name in BUILTINS or use.name in names.bound or scope.has(use.name))
    ]
    if not new:
        return
    module = symbols(tree)
    is_whole = _is_whole(tree, scene)
    for use in new:
        name = use.name
        is_seen = has_word(text, name)
        if name in module.names or module.has_wildcard_import or (is_seen and not is_whole):
            continue
        if project is None or not project.has_name(language, name):
            is_nowhere = not (is_seen or project is None or project.has_module(language, name))
            is_certain = is_nowhere and is_whole and not _mentions(text, _MAKES_NAMES)
            yield "unknown_name", use, is_certain


def _attributes(names: Names, tree: SyntaxTree, scene: Scene) -> Iterator[Found]:
    text, language, project = scene.cursor.document.text, scene.language.name, scene.project
    own = names.stored_attributes | names.bound
    for use in names.attributes:
        name = use.name
        is_closed = _is_closed_class(use, tree, text)
        known = OBJECT_ATTRIBUTES if is_closed else KNOWN_ATTRIBUTES
        if name in known or name in own or has_word(text, name):
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


class _Scope(msgspec.Struct, frozen=True, kw_only=True):
    """The outermost function around the candidate, else its class or statement; without the candidate. All of the text where
    the code around does not parse, so that nobody can say."""

    text: str = ""
    start: int = 0
    candidate_start: int = 0
    candidate_end: int = 0
    end: int = 0

    def has(self, name: str) -> bool:
        """Does `name` stand there, and so may be bound there?"""
        return has_word(self.text, name, self.start, self.candidate_start) or has_word(
            self.text, name, self.candidate_end, self.end
        )


def _scope(tree: SyntaxTree, start: int, end: int) -> _Scope:
    at, begin = tree.byte_offset_of(start), tree.first_offset
    outermost = _outermost(tree.root.descendant_for_byte_range(at, at), tree.root)
    if outermost is None:
        return _Scope()
    return _Scope(
        text=tree.text,
        start=tree.offset_of(outermost.start_byte) - begin,
        candidate_start=start - begin,
        candidate_end=end - begin,
        end=tree.offset_of(outermost.end_byte) - begin,
    )


def _outermost(node: Node | None, root: Node) -> Node | None:
    """The outermost function around `node`, else the statement of the module that it is in, if any; `root` where the code
    around is broken or too deep."""
    function = statement = None
    for _ in range(MAX_DEPTH):
        if node is None or node.type == "ERROR":
            return root
        if node.parent is None:
            return function or statement
        function = node if node.type == "function_definition" else function
        statement, node = node, node.parent
    return root


def _mentions(text: str, parts: tuple[str, ...]) -> bool:
    return any(part in text for part in parts)
