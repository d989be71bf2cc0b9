"""What a file defines and imports, and which names hold at a place in it. By grammar.

    symbols(tree)                  functions, classes with members, module-level names, imports
    names_in_scope(tree, offset)   every name that is bound there (scopes.py)
    names_used(tree, start, end)   every name that is read there (uses.py)
    definition_text(tree, name)    a definition without its body, for a prompt (outlines.py)

What a top-level statement or a class's member holds is remembered by its text, so after a keystroke only the
statement that changed is looked at again.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator
from threading import Lock
from typing import TypeVar

import msgspec
import tree_sitter

from paceline.syntax.imports import Import, imports_of
from paceline.syntax.nodes import (
    BINDERS,
    CLASSES,
    CONTAINERS,
    FIELDS,
    FUNCTIONS,
    IMPORTS,
    SCOPES,
    body_of,
    name_node,
    names_bound_by,
    names_in_pattern,
    nodes_within,
    words,
)
from paceline.syntax.tree import SyntaxTree

MAX_REMEMBERED = 16_384
"""Statements and members whose symbols are remembered, of all documents."""
_SELF = {"python": ("self", "cls"), "rust": ("self",)}

_T = TypeVar("_T")


class FunctionSymbol(msgspec.Struct, frozen=True, kw_only=True):
    """A function or method."""

    name: str
    parameters: tuple[str, ...] = ()
    """Their names, `self` included."""
    signature: str = ""
    """Its text up to the body."""


class ClassSymbol(msgspec.Struct, frozen=True, kw_only=True):
    """A class, struct, interface, enum, trait, or a block of methods for one (`impl`)."""

    name: str
    bases: tuple[str, ...] = ()
    methods: tuple[FunctionSymbol, ...] = ()
    attributes: tuple[str, ...] = ()
    """Fields, constants, enum members, and what its methods assign to `self.` or `this.`."""


class FileSymbols(msgspec.Struct, frozen=True, kw_only=True):
    """What a file, or the part of it that was parsed, defines and imports."""

    functions: tuple[FunctionSymbol, ...] = ()
    """At module level, in namespaces and in `if` or `try` at module level; Go's methods too."""
    classes: tuple[ClassSymbol, ...] = ()
    names: tuple[str, ...] = ()
    """Every name bound at module level, imports, functions and classes included. Sorted."""
    imports: tuple[Import, ...] = ()
    """All of them, those in functions too."""
    attributes: tuple[str, ...] = ()
    """Every method and attribute of its classes. Sorted."""

    @property
    def has_wildcard_import(self) -> bool:
        """Whether names come in that are not listed."""
        return any(entry.has_all for entry in self.imports)


class Memo:
    """Values by (language, text), the most recently used ones. Safe for threads."""

    def __init__(self, max_entries: int = MAX_REMEMBERED) -> None:
        self._values: OrderedDict[tuple[str, str, bytes], object] = OrderedDict()
        self._max, self._lock = max_entries, Lock()

    def get(self, tree: SyntaxTree, node: tree_sitter.Node, make: Callable[..., _T]) -> _T:
        """`make(tree, node)`, which must depend on the node's text alone; from memory if it is known."""
        data = tree.offsets.data[node.start_byte : node.end_byte]
        key = (make.__name__, tree.language.name, data)
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]  # type: ignore[return-value]
        value = make(tree, node)
        with self._lock:
            self._values[key] = value
            while len(self._values) > self._max:
                self._values.popitem(last=False)
        return value


_memo = Memo()


def symbols(tree: SyntaxTree) -> FileSymbols:
    """What the parsed text defines and imports at its top level."""
    parts = [_memo.get(tree, child, _statement_symbols) for child in tree.root.named_children]
    return _merged(parts)


def _merged(parts: list[FileSymbols]) -> FileSymbols:
    return FileSymbols(
        functions=tuple(entry for part in parts for entry in part.functions),
        classes=tuple(entry for part in parts for entry in part.classes),
        names=tuple(sorted({name for part in parts for name in part.names})),
        imports=tuple(entry for part in parts for entry in part.imports),
        attributes=tuple(sorted({name for part in parts for name in part.attributes})),
    )


def _statement_symbols(tree: SyntaxTree, node: tree_sitter.Node) -> FileSymbols:
    """What one statement at module level defines."""
    functions: list[FunctionSymbol] = []
    classes: list[ClassSymbol] = []
    names = set[str]()
    for definition in definitions_in(node):
        if has_methods(definition):
            classes.append(_class_symbol(tree, definition))
        else:
            functions.append(_function_symbol(tree, definition))
    imports = tuple(
        entry
        for found in nodes_within(node, IMPORTS, tree.language)
        for entry in imports_of(tree, found)
    )
    names.update(bound_names(tree, node))
    members = {method.name for entry in classes for method in entry.methods}
    members.update(name for entry in classes for name in entry.attributes)
    members.update(function.name for function in functions if tree.language.name == "go")
    return FileSymbols(
        functions=tuple(functions),
        classes=tuple(classes),
        names=tuple(names - {""}),
        imports=imports,
        attributes=tuple(members - {""}),
    )


def definitions_in(node: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
    """Functions and classes that `node` is or contains, without looking into them."""
    if node.type in FUNCTIONS or (node.type in CLASSES and name_node(node) is not None):
        yield node
    elif node.type in ("variable_declarator", "field_definition", "public_field_definition"):
        value = node.child_by_field_name("value")
        if value is not None and value.type in FUNCTIONS | CLASSES:
            yield node
    elif _declares_function(node) or _names_class(node):
        yield node
    elif node.type in CONTAINERS or not node.parent:
        for child in node.named_children:
            yield from definitions_in(child)


def has_methods(definition: tree_sitter.Node) -> bool:
    """Whether a definition is of a class or the like; else it is a function."""
    value = definition.child_by_field_name("value")
    return (
        definition.type in CLASSES
        or definition.type == "type_definition"
        or (value is not None and value.type in CLASSES)
    )


def _declares_function(node: tree_sitter.Node) -> bool:
    """C's prototypes, and methods that are declared in a class."""
    if node.type not in ("declaration", "field_declaration"):
        return False
    inner = node.child_by_field_name("declarator")
    while inner is not None and inner.type in ("pointer_declarator", "reference_declarator"):
        inner = inner.child_by_field_name("declarator") or inner.named_child(0)
    return inner is not None and inner.type == "function_declarator"


def _names_class(node: tree_sitter.Node) -> bool:
    """C's `typedef struct { ... } name;`."""
    inner = node.child_by_field_name("type") if node.type == "type_definition" else None
    return inner is not None and inner.type in CLASSES and body_of(inner) is not None


_WRAPPERS = ("decorated_definition", "export_statement", "template_declaration")


def bound_names(tree: SyntaxTree, node: tree_sitter.Node) -> set[str]:
    """Names that `node` binds in the scope it stands in, imports included: without those in its functions."""
    if node.type in _WRAPPERS:
        return {name for child in node.named_children for name in bound_names(tree, child)}
    if node.type in FUNCTIONS | CLASSES and node.type != "enum_specifier":
        named = name_node(node)
        return {tree.text_of(named)} if named is not None and node.type in BINDERS else set()
    inner = _outermost_scopes(tree, node)
    starts = [scope.start_byte for scope in inner]
    names = set[str]()
    for binder in nodes_within(node, BINDERS | IMPORTS, tree.language):
        at = bisect_right(starts, binder.start_byte) - 1
        is_inside = at >= 0 and binder.end_byte <= inner[at].end_byte
        if is_inside and (binder.id != inner[at].id or binder.type in _NAMELESS):
            continue
        if binder.type in IMPORTS:
            names.update(name for entry in imports_of(tree, binder) for name in entry.bound_names)
        else:
            names.update(tree.text_of(leaf) for leaf in names_bound_by(binder))
    return names - {""}


_NAMELESS = ("arrow_function", "lambda_expression", "function_expression")
"""What binds nothing in the scope around it: a parameter, or a name for itself alone."""


def _outermost_scopes(tree: SyntaxTree, node: tree_sitter.Node) -> list[tree_sitter.Node]:
    """The scopes in `node` that stand in no other of them, in the order of the text."""
    scopes = nodes_within(node, SCOPES, tree.language)
    outermost: list[tree_sitter.Node] = []
    for scope in sorted(scopes, key=lambda scope: (scope.start_byte, -scope.end_byte)):
        if not outermost or scope.start_byte >= outermost[-1].end_byte:
            outermost.append(scope)
    return outermost


def _function_symbol(tree: SyntaxTree, node: tree_sitter.Node) -> FunctionSymbol:
    named = name_node(node)
    return FunctionSymbol(
        name=tree.text_of(named) if named is not None else "",
        parameters=tuple(tree.text_of(leaf) for leaf in parameters_of(node)),
        signature=signature_of(tree, node),
    )


def parameters_of(node: tree_sitter.Node) -> list[tree_sitter.Node]:
    """The leaves that name a function's parameters."""
    value = node.child_by_field_name("value")
    if node.type not in FUNCTIONS and value is not None:
        return parameters_of(value)
    one = node.child_by_field_name("parameter")
    if one is not None:
        return [one]
    holder = node
    for _ in range(6):
        parameters = holder.child_by_field_name("parameters")
        if parameters is not None:
            return [
                leaf for part in parameters.named_children for leaf in _leaves_of_parameter(part)
            ]
        inner = holder.child_by_field_name("declarator") or (
            holder.named_child(0) if holder.type == "reference_declarator" else None
        )
        if inner is None:
            return []
        holder = inner
    return []


def _leaves_of_parameter(part: tree_sitter.Node) -> list[tree_sitter.Node]:
    if part.type == "self_parameter":
        return [child for child in part.named_children if child.type == "self"]
    if part.type == "type_identifier":  # C: `int f(size)` names a type
        return []
    names = part.children_by_field_name("name") or part.children_by_field_name("pattern")
    names = names or part.children_by_field_name("declarator")
    if not names and part.type.endswith("parameter_declaration"):
        return []
    return [leaf for name in names or [part] for leaf in names_in_pattern(name)]


def signature_of(tree: SyntaxTree, node: tree_sitter.Node) -> str:
    """The text of a definition up to its body, without trailing punctuation; at most its first 400 characters."""
    body = body_of(node)
    end = body.start_byte if body is not None else node.end_byte
    if body is not None and body.type == "interface_type":
        end += len("interface")
    text = tree.offsets.data[node.start_byte : min(end, node.start_byte + 1600)].decode(
        "utf-8", "replace"
    )
    return text.rstrip(" \t\r\n;{=")[:400]


def _class_symbol(tree: SyntaxTree, node: tree_sitter.Node) -> ClassSymbol:
    named = name_node(node)
    body = body_of(node)
    members = list(class_members(body)) if body is not None else []
    parts = [_memo.get(tree, member, _member_symbols) for member in members]
    attributes = {name for part in parts for name in part.attributes}
    if node.type == "record_declaration":
        attributes.update(tree.text_of(leaf) for leaf in parameters_of(node))
    return ClassSymbol(
        name=tree.text_of(named) if named is not None else "",
        bases=tuple(_bases(tree, node)),
        methods=tuple(method for part in parts for method in part.functions),
        attributes=tuple(sorted(attributes - {""})),
    )


def class_members(body: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
    """Methods and fields in a class's body, as small as they can be looked at alone."""
    for child in body.named_children:
        if child.type in ("enum_body_declarations", "field_declaration_list"):
            yield from class_members(child)
        elif child.type != "comment":
            yield child


def _member_symbols(tree: SyntaxTree, node: tree_sitter.Node) -> FileSymbols:
    """The methods and attributes that one member of a class adds to it."""
    functions = tuple(
        _function_symbol(tree, found) for found in definitions_in(node) if found.type not in CLASSES
    )
    attributes = set[str]()
    if node.type in ("property_identifier", "type_identifier", "enum_constant"):
        leaf = name_node(node)
        attributes.add(tree.text_of(leaf) if leaf is not None else "")
    if not functions:
        attributes.update(bound_names(tree, node))
        for field in nodes_within(node, FIELDS, tree.language):
            attributes.update(_field_names(tree, field))
    else:
        attributes.update(_assigned_to_self(tree, node))
    return FileSymbols(functions=functions, attributes=tuple(attributes - {""}))


def _field_names(tree: SyntaxTree, field: tree_sitter.Node) -> Iterator[str]:
    for kind in ("name", "declarator", "property", "left"):
        for part in field.children_by_field_name(kind):
            leaf = name_node(part) if part.type not in ("identifier", "field_identifier") else part
            if leaf is not None:
                yield tree.text_of(leaf)


_ASSIGNMENTS = frozenset(("assignment", "augmented_assignment", "assignment_expression"))
_ATTRIBUTES = frozenset(("attribute", "member_expression", "field_access", "field_expression"))


def _assigned_to_self(tree: SyntaxTree, node: tree_sitter.Node) -> Iterator[str]:
    """Attributes that a method assigns to its own object; TypeScript's parameter properties."""
    for assignment in nodes_within(node, _ASSIGNMENTS, tree.language):
        left = assignment.child_by_field_name("left")
        if left is None:
            continue
        targets = [left] if left.type in _ATTRIBUTES else left.named_children
        for target in targets:
            if target.type in _ATTRIBUTES and target.named_child_count >= 2:
                first, last = target.named_children[0], target.named_children[-1]
                if tree.text_of(first) in ("self", "cls", "this"):
                    yield tree.text_of(last)
    parameters = node.child_by_field_name("parameters")
    for part in parameters.named_children if parameters is not None else ():
        if any(child.type in ("accessibility_modifier", "readonly") for child in part.children):
            yield from (tree.text_of(leaf) for leaf in _leaves_of_parameter(part))


_BASE_NODES = words(
    "superclass super_interfaces extends_interfaces class_heritage base_class_clause extends_type_clause"
    " extends_clause implements_clause argument_list type_list trait_bounds"
)


def _bases(tree: SyntaxTree, node: tree_sitter.Node) -> Iterator[str]:
    trait = node.child_by_field_name("trait")
    if trait is not None:
        yield tree.text_of(trait)
    holders = [child for child in node.children if child.type in _BASE_NODES]
    while holders:
        holder = holders.pop(0)
        for child in holder.named_children:
            if child.type in _BASE_NODES:
                holders.append(child)
            elif child.type not in (
                "access_specifier",
                "keyword_argument",
                "comment",
                "type_arguments",
            ):
                yield tree.text_of(child)
