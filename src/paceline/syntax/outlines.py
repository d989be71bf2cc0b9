"""A definition without its body, for a prompt: signature and what its documentation says first."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import tree_sitter

from paceline.syntax.nodes import BINDERS, CLASSES, CONTAINERS, body_of, name_node, names_bound_by
from paceline.syntax.symbols import class_members, definitions_in, has_methods, signature_of
from paceline.syntax.tree import SyntaxTree

MAX_MEMBERS = 40
"""Members of a class that are listed."""
MAX_FIELD_CHARS = 120
"""A field or module-level value is cut here."""
MAX_VALUE_CHARS = 200
_COMMENTS = ("comment", "line_comment", "block_comment")
_WRAPPERS = ("export_statement", "decorated_definition", "template_declaration", "lexical_declaration",
             "variable_declaration", "ambient_declaration", "type_declaration", "const_declaration", "var_declaration",
             "expression_statement", "var_spec_list")  # fmt: skip
_COMMENT_MARKS = "/*#! \t\r\n"


def definition_text(tree: SyntaxTree, name: str) -> str | None:
    """The outline of what the file defines as `name` at its top level; None if it defines no such thing.

    A function: its signature and the first line of its documentation. A class: so much of it, and of each method, and
    its fields. A value: the statement that gives it, cut at MAX_VALUE_CHARS. Methods that stand apart from their class
    (Go, Rust, C++) are listed with it.
    """
    is_indent = tree.language.block_style == "indent"
    parts: list[str] = []
    for definition in _definitions(tree, name):
        if not has_methods(definition):
            parts.append(_function(tree, definition))
        else:
            parts.append(_class(tree, definition, is_indent=is_indent))
    parts.extend(_methods_apart(tree, name))
    if not parts:
        return _value(tree, name)
    return "\n".join(parts)


def _definitions(tree: SyntaxTree, name: str) -> Iterator[tree_sitter.Node]:
    data = name.encode("utf-8", "replace")
    for child in tree.root.named_children:
        if data not in tree.offsets.data[child.start_byte : child.end_byte]:
            continue
        for definition in definitions_in(child):
            named = name_node(definition)
            if named is not None and tree.text_of(named).partition("<")[0] == name:
                yield definition


def _methods_apart(tree: SyntaxTree, name: str) -> Iterator[str]:
    """Go's methods of the type `name`; C++'s, whose names begin with it, and Rust's `impl` come as definitions."""
    if tree.language.name != "go":
        return
    for child in tree.root.named_children:
        if child.type == "method_declaration":
            receiver = child.child_by_field_name("receiver")
            text = tree.text_of(receiver) if receiver is not None else ""
            words = text.strip("()").replace("*", " ").split()
            if words and words[-1].partition("[")[0] == name:
                yield _function(tree, child)


def _outermost(node: tree_sitter.Node) -> tree_sitter.Node:
    """`node` with the export, decorators or declaration that it is the only content of."""
    parent = node.parent
    while parent is not None and parent.type in _WRAPPERS:
        node, parent = parent, parent.parent
    return node


def _function(tree: SyntaxTree, node: tree_sitter.Node, indent: str = "") -> str:
    documentation, text = _documentation(tree, node), _signature(tree, node)
    if tree.language.name != "python":
        comment = f"// {documentation}\n" if documentation else ""
        return textwrap.indent(f"{comment}{text};", indent)
    docstring = f'\n    """{documentation}"""' if documentation else " ..."
    return textwrap.indent(text + docstring, indent)


def _signature(tree: SyntaxTree, node: tree_sitter.Node) -> str:
    """The signature with what stands before it in its statement, without the indentation of its first line."""
    outer = _outermost(node)
    before = tree.offsets.data[outer.start_byte : node.start_byte].decode("utf-8", "replace")
    if "\n" not in before and "\t" in before:
        before = before.lstrip()
    text = " " * outer.start_point.column + before + signature_of(tree, node)
    return textwrap.dedent(text)


def _class(tree: SyntaxTree, node: tree_sitter.Node, *, is_indent: bool) -> str:
    documentation, body = _documentation(tree, node), body_of(node)
    members = [] if body is None else list(class_members(body))
    lines = [_member(tree, member) for member in members[:MAX_MEMBERS]]
    lines = [line for line in lines if line]
    head = _signature(tree, node)
    if is_indent:
        docstring = [f'    """{documentation}"""'] if documentation else []
        return "\n".join([head, *docstring, *(lines or ([] if docstring else ["    ..."]))])
    comment = [f"// {documentation}"] if documentation else []
    named = name_node(node) if node.type == "type_definition" else None
    end = f"}} {tree.text_of(named)};" if named is not None else "}"
    return "\n".join([*comment, head + " {", *lines, end])


def _member(tree: SyntaxTree, member: tree_sitter.Node) -> str:
    """One method's outline or one field; empty for what is neither."""
    if member.type in _COMMENTS:
        return ""
    if member.type == "access_specifier":
        return f"  {tree.text_of(member)}:"
    for definition in definitions_in(member):
        if has_methods(definition):
            return ""
        return _function(tree, definition, "    ")
    text = " ".join(tree.text_of(member).split())
    if tree.language.name == "python" and not _is_field(member):
        return ""
    return f"    {text[:MAX_FIELD_CHARS]}"


def _is_field(member: tree_sitter.Node) -> bool:
    inner = member.named_children[:1] if member.type == "expression_statement" else [member]
    return any(node.type == "assignment" for node in inner)


def _documentation(tree: SyntaxTree, node: tree_sitter.Node) -> str:
    """The first line that says something: of the docstring, or of the comment right above."""
    if tree.language.name == "python":
        body = body_of(node)
        first = body.named_child(0) if body is not None else None
        string = (
            first.named_child(0)
            if first is not None and first.type == "expression_statement"
            else first
        )
        if string is None or string.type != "string":
            return ""
        text = tree.text_of(string).lstrip("rRuUbBfF").strip("\"'")
        return _first_line(text).replace('"""', "")
    outer = _outermost(node)
    above = outer.prev_named_sibling
    while above is not None and above.type == "attribute_item":
        outer, above = above, above.prev_named_sibling
    first_comment = None
    row = outer.start_point.row
    while above is not None and above.type in _COMMENTS and above.end_point.row >= row - 1:
        first_comment, row = above, above.start_point.row
        above = above.prev_named_sibling
    return _first_line(tree.text_of(first_comment)) if first_comment is not None else ""


def _first_line(text: str) -> str:
    for line in text.split("\n"):
        said = line.strip(_COMMENT_MARKS).strip()
        if said and not said.startswith("@"):
            return said[:MAX_VALUE_CHARS]
    return ""


def _value(tree: SyntaxTree, name: str) -> str | None:
    data = name.encode("utf-8", "replace")
    for child in tree.root.named_children:
        if data in tree.offsets.data[child.start_byte : child.end_byte]:
            found = _binder_of(tree, child, name)
            if found is not None:
                text = tree.text_of(_outermost(found)).rstrip()
                return (
                    text if len(text) <= MAX_VALUE_CHARS else text[: MAX_VALUE_CHARS - 4] + " ..."
                )
    return None


def _binder_of(tree: SyntaxTree, node: tree_sitter.Node, name: str) -> tree_sitter.Node | None:
    """The statement in `node`, not in a function or class of it, that binds `name`."""
    if node.type in BINDERS and any(tree.text_of(leaf) == name for leaf in names_bound_by(node)):
        return node
    if node.type in CONTAINERS and node.type not in CLASSES:
        for child in node.named_children:
            found = _binder_of(tree, child, name)
            if found is not None:
                return found
    return None
