"""Which names a range of code reads: names, attributes with what they are read of, imported modules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec
import tree_sitter

from paceline.syntax.imports import imports_of
from paceline.syntax.nodes import BINDERS, CLASSES, FUNCTIONS, IMPORTS, name_node, names_bound_by
from paceline.syntax.tree import SyntaxTree

UseKind = Literal["name", "attribute", "module"]

MAX_RECEIVER_CHARS = 120
"""A longer receiver is not told: nobody looks it up."""
MAX_USES = 2_000

_NAMES = frozenset(("identifier", "type_identifier", "shorthand_property_identifier", "namespace_identifier",
                    "package_identifier"))  # fmt: skip
_MEMBERS = frozenset(("property_identifier", "field_identifier", "private_property_identifier"))
_ACCESSES: dict[str, tuple[str, str]] = {
    "attribute": ("object", "attribute"),
    "member_expression": ("object", "property"),
    "field_access": ("object", "field"),
    "method_invocation": ("object", "name"),
    "selector_expression": ("operand", "field"),
    "qualified_type": ("package", "name"),
    "field_expression": ("argument", "field"),
    "scoped_identifier": ("path", "name"),
    "scoped_type_identifier": ("path", "name"),
    "qualified_identifier": ("scope", "name"),
}
"""Nodes that read a member: the fields of the receiver (Rust: `value`, Java: `scope`) and of the member."""


class NameUse(msgspec.Struct, frozen=True, kw_only=True):
    """A name that is read."""

    name: str
    """Of a module: as the language writes it, leading dots of a relative import included."""
    kind: UseKind
    receiver: str = ""
    """What an attribute is read of, as written: `self`, `os.path`; empty if unknown."""
    start: int
    """Offset in the document."""
    is_in_error: bool = False
    """The code around it does not parse, so that its kind is a guess."""


def names_used(tree: SyntaxTree, start: int, end: int) -> tuple[NameUse, ...]:
    """The names that `[start, end)` of the document reads, in order. What it defines or assigns is left out."""
    first, last = tree.byte_offset_of(start), tree.byte_offset_of(end)
    uses: list[NameUse] = []
    for use in _uses(tree, tree.root, first, last):
        uses.append(use)
        if len(uses) == MAX_USES:
            break
    return tuple(uses)


def _uses(tree: SyntaxTree, root: tree_sitter.Node, first: int, last: int) -> Iterator[NameUse]:
    stack: list[tuple[tree_sitter.Node, bool]] = [(root, False)]
    bound: set[int] = set()
    while stack:
        node, in_error = stack.pop()
        in_error = in_error or node.is_error
        if node.type in IMPORTS:
            yield from _modules(tree, node, in_error=in_error)
            continue
        if node.type in BINDERS and node.type not in ("labeled_statement", "condition_clause"):
            bound.update(leaf.id for leaf in names_bound_by(node))
        if node.type in FUNCTIONS or node.type in CLASSES:
            named = name_node(node)
            bound.update({named.id} if named is not None else ())
        if node.type in _NAMES or node.type in _MEMBERS:
            if node.id not in bound:
                use = _use(tree, node, in_error=in_error)
                if use is not None:
                    yield use
            continue
        stack.extend((child, in_error) for child in reversed(_children(node, first, last)))


def _children(node: tree_sitter.Node, first: int, last: int) -> list[tree_sitter.Node]:
    """The named children that reach into the range; few of a large node are listed."""
    walk, found = node.walk(), list[tree_sitter.Node]()
    is_there = walk.goto_first_child_for_byte(first) is not None
    while is_there and walk.node is not None and walk.node.start_byte < last:
        if walk.node.is_named and walk.node.end_byte > first:
            found.append(walk.node)
        is_there = walk.goto_next_sibling()
    return found


def _modules(tree: SyntaxTree, node: tree_sitter.Node, *, in_error: bool) -> Iterator[NameUse]:
    for entry in imports_of(tree, node):
        dots = "." * entry.level if tree.language.name == "python" else ""
        yield NameUse(
            name=dots + entry.module,
            kind="module",
            start=tree.offset_of(node.start_byte),
            is_in_error=in_error or node.has_error,
        )


def _use(tree: SyntaxTree, node: tree_sitter.Node, *, in_error: bool) -> NameUse | None:
    parent = node.parent
    name, start = tree.text_of(node), tree.offset_of(node.start_byte)
    if parent is None or _is_key(parent, node):
        return None
    receiver_field, member_field = _ACCESSES.get(parent.type, ("", ""))
    member = parent.child_by_field_name(member_field) if member_field else None
    if member is not None and member.id == node.id:
        receiver = _receiver(parent, receiver_field)
        if receiver is None and parent.type in ("method_invocation", "qualified_identifier"):
            return NameUse(name=name, kind="name", start=start, is_in_error=in_error)
        text = tree.text_of(receiver) if receiver is not None else ""
        text = text if len(text) <= MAX_RECEIVER_CHARS else ""
        return NameUse(
            name=name, kind="attribute", receiver=text, start=start, is_in_error=in_error
        )
    before = tree.offsets.data[max(node.start_byte - 2, 0) : node.start_byte]
    if before.endswith((b".", b"->", b"::")):
        return NameUse(name=name, kind="attribute", start=start, is_in_error=in_error)
    if node.type in _MEMBERS:
        return None
    return NameUse(name=name, kind="name", start=start, is_in_error=in_error)


def _receiver(parent: tree_sitter.Node, field: str) -> tree_sitter.Node | None:
    for name in (field, "value", "scope"):
        found = parent.child_by_field_name(name)
        if found is not None:
            return found
    return None


_KEYED = {"keyword_argument": "name", "pair": "key", "keyed_element": "key", "labeled_statement": "label",
          "keyword_pattern": "name", "field_initializer": "field", "element_value_pair": "key"}  # fmt: skip


def _is_key(parent: tree_sitter.Node, node: tree_sitter.Node) -> bool:
    """Whether `node` names a parameter or a key, not something that is read."""
    if parent.type == "literal_element" and parent.parent is not None:
        key = parent.parent.child_by_field_name("key")
        return key is not None and key.id == parent.id
    field = _KEYED.get(parent.type)
    if field is None:
        return False
    key = parent.child_by_field_name(field)
    return key is not None and key.id == node.id
