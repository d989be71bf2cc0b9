"""Modules that a piece of JavaScript, TypeScript or Rust imports, by the tree of the whole document."""

from __future__ import annotations

from collections.abc import Iterator

from tree_sitter import Node

from paceline.complete.steps.python_names import ImportUse, children_from
from paceline.syntax.tree import SyntaxTree

MAX_DEPTH = 200
"""Deeper code is not looked at."""


def imported_paths(tree: SyntaxTree, start: int, end: int) -> list[ImportUse]:
    """Modules named in `[start, end)`, offsets of the document: `./prices`; `self::x` for Rust's `mod x;`."""
    first, last = tree.byte_offset_of(start), tree.byte_offset_of(end)
    return [
        ImportUse(
            name=name,
            start=tree.offset_of(node.start_byte),
            end=tree.offset_of(node.end_byte),
            is_sure=is_sure,
        )
        for node, name, is_sure in _paths(tree, tree.root, first, last, True, 0)
        if node.start_byte < last and node.end_byte > first
    ]


def _paths(
    tree: SyntaxTree, node: Node, start: int, end: int, is_sure: bool, depth: int
) -> Iterator[tuple[Node, str, bool]]:
    if depth > MAX_DEPTH:
        return
    is_sure = is_sure and node.type not in ("ERROR", "try_statement")
    named = _named_module(node)
    if named is not None:
        name = tree.text_of(named).strip("\"'`")
        prefix = "self::" if node.type == "mod_item" else ""
        yield named, prefix + name, is_sure and not node.has_error
    for child in children_from(node, start):
        if child.start_byte >= end:
            return
        if child.is_named:
            yield from _paths(tree, child, start, end, is_sure, depth + 1)


def _named_module(node: Node) -> Node | None:
    """The part of an import that names the module; None if `node` is no import of a constant name."""
    if node.type in ("import_statement", "export_statement"):
        return node.child_by_field_name("source")
    if node.type == "mod_item":
        has_place = node.child_by_field_name("body") is not None or _has_attribute(node)
        return None if has_place else node.child_by_field_name("name")
    if node.type != "call_expression":
        return None
    called, arguments = node.child_by_field_name("function"), node.child_by_field_name("arguments")
    if called is None or called.text not in (b"require", b"import") or arguments is None:
        return None
    first = arguments.named_children[:1]
    return first[0] if first and first[0].type == "string" else None


def _has_attribute(node: Node) -> bool:
    """Rust's `#[path = "..."] mod x;` and `#[cfg(...)] mod x;`."""
    before = node.prev_named_sibling
    return before is not None and before.type == "attribute_item"
