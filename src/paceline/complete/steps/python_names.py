"""Which names a piece of Python reads, and which it binds, by the tree of the whole document."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import msgspec
from msgspec.structs import replace
from tree_sitter import Node

from paceline.syntax.tree import SyntaxTree

Mode = Literal["load", "bind", "pattern"]
"""What an identifier means where we are: it is read, it is given a value, it is part of a `case` pattern."""


MAX_LISTED_CHILDREN = 64
"""Of a larger node (a module of many statements) only the children from the piece on are looked at."""


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """A name that is read."""

    name: str
    start: int
    """Offset in the document with the candidate."""
    end: int
    is_sure: bool
    """The statement around it parses, and no `try` catches what would go wrong."""


class AttributeUse(Use, frozen=True, kw_only=True):
    """`.name` that is read."""

    own_class: Node | None = None
    """The class around, if it is read from a method's own object."""


class ImportUse(Use, frozen=True, kw_only=True):
    """A module that is imported; `name` is as written, dots included."""


class Names(msgspec.Struct):
    """What a piece of code does with names."""

    reads: list[Use] = []
    attributes: list[AttributeUse] = []
    imports: list[ImportUse] = []
    bound: set[str] = set()
    stored_attributes: set[str] = set()


class _Around(msgspec.Struct, frozen=True, kw_only=True):
    """What encloses the node that is read."""

    is_sure: bool = True
    in_try: bool = False
    own_class: Node | None = None
    """The innermost class, if no function is in between, or ..."""
    self_name: str = ""
    """... with the name of the object in its method."""


def names_in(tree: SyntaxTree, start: int, end: int) -> Names:
    """Names in `[start, end)`, offsets of the document; those that reach into it count whole.

    A name counts as bound wherever in the piece it is bound: this errs towards knowing it. Of code that is nested too
    deeply nothing is known.
    """
    reader = _Reader(tree, start, end)
    try:
        reader.visit(tree.root, "load", _Around())
    except RecursionError:
        return Names()
    return reader.names


class _Reader:
    """Goes down the tree where the piece is, and tells apart what identifiers are for."""

    def __init__(self, tree: SyntaxTree, start: int, end: int) -> None:
        self.tree = tree
        self.start, self.end = tree.byte_offset_of(start), tree.byte_offset_of(end)
        self.names = Names()
        self._readers: dict[str, Callable[[Node, Mode, _Around], None]] = {
            "identifier": self._identifier,
            "attribute": self._attribute,
            "keyword_argument": self._keyword_argument,
            "assignment": self._assignment,
            "augmented_assignment": self._assignment,
            "for_statement": self._assignment,
            "for_in_clause": self._assignment,
            "function_definition": self._function,
            "lambda": self._function,
            "class_definition": self._class,
            "type_alias_statement": self._assignment,
            "named_expression": self._named,
            "default_parameter": self._named,
            "typed_default_parameter": self._named,
            "typed_parameter": self._typed_parameter,
            "as_pattern": self._as_pattern,
            "import_statement": self._import,
            "import_from_statement": self._import,
            "future_import_statement": self._skip,
            "global_statement": self._bind_all,
            "nonlocal_statement": self._bind_all,
            "subscript": self._subscript,
            "dotted_name": self._dotted_name,
            "case_pattern": self._pattern,
            "keyword_pattern": self._keyword_pattern,
            "try_statement": self._try,
            "ERROR": self._error,
        }

    def visit(self, node: Node, mode: Mode, around: _Around) -> None:
        """Read one node, if it reaches into the piece."""
        if node.start_byte >= self.end or node.end_byte <= self.start:
            return
        reader = self._readers.get(node.type)
        if reader is None:
            self._children(node, mode, around)
        else:
            reader(node, mode, around)

    def _children(self, node: Node, mode: Mode, around: _Around) -> None:
        is_block = node.type in ("module", "block")
        for child in children_from(node, self.start):
            if child.start_byte >= self.end:
                return
            if child.is_named:
                inner = around
                if is_block and around.is_sure and child.has_error:
                    inner = replace(around, is_sure=False)
                self.visit(child, mode, inner)

    def _skip(self, node: Node, mode: Mode, around: _Around) -> None:
        del node, mode, around

    def _error(self, node: Node, mode: Mode, around: _Around) -> None:
        self._children(node, mode, replace(around, is_sure=False))

    def _identifier(self, node: Node, mode: Mode, around: _Around) -> None:
        name = self.tree.text_of(node)
        if mode == "load":
            self.names.reads.append(Use(name=name, **self._place(node, around)))
        else:
            self.names.bound.add(name)

    def _place(self, node: Node, around: _Around) -> dict[str, Any]:
        return {
            "start": self.tree.offset_of(node.start_byte),
            "end": self.tree.offset_of(node.end_byte),
            "is_sure": around.is_sure and not around.in_try,
        }

    def _field(self, node: Node, name: str, mode: Mode, around: _Around) -> None:
        for child in node.children_by_field_name(name):
            self.visit(child, mode, around)

    def _attribute(self, node: Node, mode: Mode, around: _Around) -> None:
        owner, attribute = node.child_by_field_name("object"), node.child_by_field_name("attribute")
        self._field(node, "object", "load", around)
        if attribute is None or owner is None or attribute.end_byte <= self.start:
            return
        if attribute.start_byte >= self.end:
            return
        name = self.tree.text_of(attribute)
        if mode == "bind":
            self.names.stored_attributes.add(name)
            return
        is_own = around.self_name and self.tree.text_of(owner) == around.self_name
        self.names.attributes.append(
            AttributeUse(
                name=name,
                own_class=around.own_class if is_own else None,
                **self._place(attribute, around),
            )
        )

    def _subscript(self, node: Node, mode: Mode, around: _Around) -> None:
        del mode
        self._children(node, "load", around)

    def _keyword_argument(self, node: Node, mode: Mode, around: _Around) -> None:
        self._field(node, "value", mode, around)

    def _assignment(self, node: Node, mode: Mode, around: _Around) -> None:
        """What has a left side that is bound; all else in it is read."""
        del mode
        left = node.child_by_field_name("left")
        for child in node.named_children:
            self.visit(child, "bind" if child == left else "load", around)

    def _named(self, node: Node, mode: Mode, around: _Around) -> None:
        del mode
        self._field(node, "name", "bind", around)
        self._field(node, "type", "load", around)
        self._field(node, "value", "load", around)

    def _typed_parameter(self, node: Node, mode: Mode, around: _Around) -> None:
        del mode
        type_ = node.child_by_field_name("type")
        for child in node.named_children:
            self.visit(child, "load" if child == type_ else "bind", around)

    def _function(self, node: Node, mode: Mode, around: _Around) -> None:
        del mode
        inner = replace(around, in_try=False)
        if node.type != "lambda" and around.own_class is not None and not around.self_name:
            inner = replace(inner, self_name=self._first_parameter(node))
        self._field(node, "name", "bind", around)
        self._field(node, "type_parameters", "bind", around)
        self._field(node, "parameters", "bind", around)
        self._field(node, "return_type", "load", around)
        self._field(node, "body", "load", inner)

    def _first_parameter(self, function: Node) -> str:
        """The name of a method's own object; empty if it has none."""
        parameters = function.child_by_field_name("parameters")
        first = next(iter(parameters.named_children), None) if parameters else None
        parent = function.parent
        if first is None or first.type != "identifier":
            return ""
        if parent is not None and parent.type == "decorated_definition":
            decorators = [child for child in parent.named_children if child.type == "decorator"]
            if any(self.tree.text_of(one) == "@staticmethod" for one in decorators):
                return ""
        return self.tree.text_of(first)

    def _class(self, node: Node, mode: Mode, around: _Around) -> None:
        del mode
        inner = replace(around, own_class=node, self_name="")
        self._field(node, "name", "bind", around)
        self._field(node, "type_parameters", "bind", around)
        self._field(node, "superclasses", "load", around)
        self._field(node, "body", "load", inner)

    def _as_pattern(self, node: Node, mode: Mode, around: _Around) -> None:
        """`value as name`, in `with`, `except` and `case`."""
        children = node.named_children
        for child in children[:-1]:
            self.visit(child, mode, around)
        if children:
            self.visit(children[-1], "bind" if len(children) > 1 else mode, around)

    def _import(self, node: Node, mode: Mode, around: _Around) -> None:
        del mode
        module = node.child_by_field_name("module_name")
        names = node.children_by_field_name("name")
        for name in names:
            alias = name.child_by_field_name("alias")
            path = name.child_by_field_name("name") or name
            bound = self.tree.text_of(alias or path)
            self.names.bound.add(bound.partition(".")[0])
            if module is None:
                self._imported(path, around)
        if module is not None:
            self._imported(module, around)

    def _imported(self, node: Node, around: _Around) -> None:
        if self.start < node.end_byte and node.start_byte < self.end:
            name = "".join(self.tree.text_of(node).split())
            self.names.imports.append(ImportUse(name=name, **self._place(node, around)))

    def _bind_all(self, node: Node, mode: Mode, around: _Around) -> None:
        del mode
        self._children(node, "bind", around)

    def _pattern(self, node: Node, mode: Mode, around: _Around) -> None:
        del mode
        self._children(node, "pattern", around)

    def _keyword_pattern(self, node: Node, mode: Mode, around: _Around) -> None:
        for child in node.named_children[1:]:
            self.visit(child, mode, around)

    def _dotted_name(self, node: Node, mode: Mode, around: _Around) -> None:
        """In a pattern, one name alone is bound, unless it is a class or has dots."""
        children = node.named_children
        parent = node.parent
        is_read = len(children) > 1 or (parent is not None and parent.type == "class_pattern")
        if children:
            self.visit(children[0], "load" if mode == "pattern" and is_read else mode, around)

    def _try(self, node: Node, mode: Mode, around: _Around) -> None:
        self._children(node, mode, replace(around, in_try=True))


def children_from(node: Node, start: int) -> Iterator[Node]:
    """The children that do not end before byte `start`, without listing thousands of others."""
    if node.child_count <= MAX_LISTED_CHILDREN:
        yield from (child for child in node.children if child.end_byte > start)
        return
    walk = node.walk()
    is_there = walk.goto_first_child_for_byte(start) is not None
    while is_there and walk.node is not None:
        yield walk.node
        is_there = walk.goto_next_sibling()
