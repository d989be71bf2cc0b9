"""Which names hold at a place: what the functions around it and the module bind, in every language by grammar."""

from __future__ import annotations

from collections.abc import Iterator

import tree_sitter

from paceline.syntax.frames import width_of
from paceline.syntax.nodes import FUNCTIONS, NAME_LEAVES, SCOPES, body_of, names_in_pattern
from paceline.syntax.symbols import bound_names, parameters_of, symbols
from paceline.syntax.tree import SyntaxTree

MAX_DEPTH = 400
"""Ancestors of a place that are looked at."""


def names_in_scope(tree: SyntaxTree, offset: int) -> frozenset[str]:
    """Names that are bound where code at `offset` of the document would stand.

    Parameters and locals of every function around it, comprehensions' and handlers' names, imports, and the module's
    names. A name counts throughout its function, also above its binding. A class's names count in its body, not in its
    methods (except in languages where they do). Where code does not parse every identifier in the broken part counts,
    so that nothing is called unknown that may be known. Builtins are not in it.
    """
    names = set(symbols(tree).names)
    is_innermost = True
    for scope in _scopes_at(tree, offset):
        if scope.type == "ERROR":
            names.update(_identifiers(tree, scope))
        elif scope.type in SCOPES:
            is_class = scope.type == "class_definition"
            if not is_class or is_innermost:
                names.update(_bound_in(tree, scope))
            is_innermost = is_innermost and is_class
        elif tree.language.name != "python":
            names.update(_bound_in(tree, scope))
    return frozenset(names)


def _scopes_at(tree: SyntaxTree, offset: int) -> Iterator[tree_sitter.Node]:
    """Functions, comprehensions, classes and broken parts around `offset`, innermost first."""
    byte, column = tree.byte_offset_of(offset), None
    if tree.language.block_style == "indent":
        byte, column = _last_code(tree.offsets.data, byte)
    node = tree.root.descendant_for_byte_range(max(byte - 1, 0), max(byte - 1, 0))
    for _ in range(MAX_DEPTH):
        if node is None:
            return
        if node.type in SCOPES or node.type in ("ERROR", *_CLASS_BODIES):
            is_left = column is not None and _column(tree, node) >= column
            is_inside = node.type == "ERROR" or column is not None or _is_inside(node, byte)
            if is_inside and not is_left:
                yield node
        node = node.parent


def _last_code(data: bytes, byte: int) -> tuple[int, int | None]:
    """Where the code before `byte` ends; and if only white space stands before it on its line, its column.

    At the very beginning of a line, the column is that of the line's text.
    """
    line = data.rfind(b"\n", 0, byte) + 1
    if data[line:byte].strip():
        return line + len(data[line:byte].rstrip()), None
    end = byte
    while end < len(data) and byte == line and data[end : end + 1] in (b" ", b"\t"):
        end += 1
    code_end = line
    while code_end > 0 and data[code_end - 1 : code_end].isspace():
        code_end -= 1
    return code_end, width_of(data[line:end].decode("ascii", "replace"))


_CLASS_BODIES = (
    "class_body",
    "enum_body",
    "interface_body",
    "field_declaration_list",
    "declaration_list",
)


def _column(tree: SyntaxTree, node: tree_sitter.Node) -> int:
    line = node.start_byte - node.start_point.column
    before = tree.offsets.data[line : node.start_byte].decode("utf-8", "replace")
    return width_of(before[: len(before) - len(before.lstrip(" \t"))])


def _is_inside(node: tree_sitter.Node, byte: int) -> bool:
    """Whether code at `byte` is in the scope that `node` makes: not in a function's header."""
    body = body_of(node)
    return body is None or body.start_byte <= byte


def _bound_in(tree: SyntaxTree, scope: tree_sitter.Node) -> set[str]:
    names: set[str] = set()
    for child in scope.children:
        names |= bound_names(tree, child)
    if scope.type in FUNCTIONS:
        names.update(tree.text_of(leaf) for leaf in parameters_of(scope))
    for field in ("parameter", "parameters", "declarator", "receiver", "result"):
        part = scope.child_by_field_name(field)
        if part is not None and part.type in NAME_LEAVES:
            names.add(tree.text_of(part))
        elif part is not None and field in ("parameters", "parameter"):
            names.update(tree.text_of(leaf) for leaf in names_in_pattern(part))
    return names


def _identifiers(tree: SyntaxTree, node: tree_sitter.Node) -> Iterator[str]:
    stack = [node]
    while stack:
        inner = stack.pop()
        if inner.type in NAME_LEAVES:
            yield tree.text_of(inner)
        stack.extend(inner.named_children)
