"""What a file imports: modules, names, aliases. By grammar, in the forms of each language."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import tree_sitter

from paceline.syntax.tree import SyntaxTree


class ImportedName(msgspec.Struct, frozen=True):
    """One name out of a module."""

    name: str
    alias: str = ""

    @property
    def bound(self) -> str:
        """The name it has in the importing file."""
        return self.alias or self.name


class Import(msgspec.Struct, frozen=True, kw_only=True):
    """One imported module. `a/b`, `a.b` and `a::b` stay as the language writes them."""

    module: str
    names: tuple[ImportedName, ...] = ()
    """Empty: the module itself is imported."""
    alias: str = ""
    """Of the module."""
    level: int = 0
    """Leading dots of a relative import in Python; 1 for `#include "x.h"` and for `./x` in JavaScript."""
    has_all: bool = False
    """`import *`, a glob or an include: names that are not listed come in."""

    @property
    def bound_names(self) -> tuple[str, ...]:
        """The names that it binds, as far as they are listed."""
        if self.names or self.has_all or not (self.alias or self.module):
            return (
                (self.alias, *(name.bound for name in self.names))
                if self.alias
                else tuple(name.bound for name in self.names)
            )
        return (self.alias or _last_part(self.module),)


def _last_part(module: str) -> str:
    """What an import of a whole module binds: Python's first part, Go's last one without its version."""
    if "/" in module:
        parts = [part for part in module.split("/") if part]
        last = parts[-1] if parts else ""
        if len(parts) > 1 and last[:1] == "v" and last[1:].isdigit():
            last = parts[-2]
        return last.partition(".")[0].replace("-", "_")
    return module.rpartition("::")[2] if "::" in module else module.partition(".")[0]


def imports_of(tree: SyntaxTree, node: tree_sitter.Node) -> tuple[Import, ...]:
    """The imports that an import node (nodes.IMPORTS) makes."""
    read = _READERS.get(tree.language.name)
    return tuple(read(tree, node)) if read else ()


def _field(tree: SyntaxTree, node: tree_sitter.Node, field: str) -> str:
    child = node.child_by_field_name(field)
    return tree.text_of(child) if child is not None else ""


def _python(tree: SyntaxTree, node: tree_sitter.Node) -> Iterator[Import]:
    names: list[ImportedName] = []
    for child in node.children_by_field_name("name"):
        if child.type == "aliased_import":
            names.append(ImportedName(_field(tree, child, "name"), _field(tree, child, "alias")))
        else:
            names.append(ImportedName(tree.text_of(child)))
    if node.type == "import_statement":
        for name in names:
            yield Import(module=name.name, alias=name.alias)
        return
    module = (
        "__future__"
        if node.type == "future_import_statement"
        else _field(tree, node, "module_name")
    )
    path = module.lstrip(". ")
    has_all = any(child.type == "wildcard_import" for child in node.children)
    level = module[: len(module) - len(path)].count(".")
    yield Import(module=path, names=tuple(names), level=level, has_all=has_all)


def _unquoted(text: str) -> str:
    return text.strip("\"'`<>")


def _script(tree: SyntaxTree, node: tree_sitter.Node) -> Iterator[Import]:
    source = node.child_by_field_name("source")
    names: list[ImportedName] = []
    alias = ""
    for part in _script_parts(node):
        if part.type == "import_require_clause":
            source = part.child_by_field_name("source")
            alias = tree.text_of(part.named_children[0]) if part.named_children else ""
        elif part.type == "identifier":
            names.append(ImportedName("default", tree.text_of(part)))
        elif part.type == "namespace_import":
            alias = tree.text_of(part.named_children[0]) if part.named_children else ""
        else:
            names.append(ImportedName(_field(tree, part, "name"), _field(tree, part, "alias")))
    if source is not None:
        module = _unquoted(tree.text_of(source))
        bare = not names and not alias
        level = int(module.startswith("."))
        yield Import(module=module, names=tuple(names), alias=alias, level=level, has_all=bare)


def _script_parts(node: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
    for child in node.named_children:
        if child.type in ("import_clause", "named_imports"):
            yield from _script_parts(child)
        elif child.type in (
            "identifier",
            "namespace_import",
            "import_specifier",
            "import_require_clause",
        ):
            yield child


def _java(tree: SyntaxTree, node: tree_sitter.Node) -> Iterator[Import]:
    path = next((child for child in node.named_children if "identifier" in child.type), None)
    if path is None:
        return
    text = tree.text_of(path)
    if any(child.type == "asterisk" for child in node.children):
        yield Import(module=text, has_all=True)
        return
    module, _, name = text.rpartition(".")
    yield Import(module=module, names=(ImportedName(name),))


def _go(tree: SyntaxTree, node: tree_sitter.Node) -> Iterator[Import]:
    for child in node.named_children:
        if child.type == "import_spec_list":
            yield from _go(tree, child)
        elif child.type == "import_spec":
            alias = _field(tree, child, "name")
            module = _unquoted(_field(tree, child, "path"))
            yield Import(
                module=module, alias=alias if alias != "." else "", has_all=alias in (".", "_")
            )


def _rust(tree: SyntaxTree, node: tree_sitter.Node) -> Iterator[Import]:
    if node.type == "extern_crate_declaration":
        yield Import(module=_field(tree, node, "name"), alias=_field(tree, node, "alias"))
        return
    argument = node.child_by_field_name("argument")
    if argument is not None:
        yield from _rust_use(tree, argument, "")


def _rust_use(tree: SyntaxTree, node: tree_sitter.Node, base: str) -> Iterator[Import]:
    if node.type == "use_list":
        for child in node.named_children:
            yield from _rust_use(tree, child, base)
    elif node.type == "scoped_use_list":
        inner = node.child_by_field_name("list")
        if inner is not None:
            yield from _rust_use(tree, inner, _joined(base, _field(tree, node, "path")))
    elif node.type == "use_wildcard":
        path = tree.text_of(node).removesuffix("*").removesuffix("::")
        yield Import(module=_joined(base, path), has_all=True)
    elif node.type == "self":
        yield Import(module=base)
    else:
        aliased = node.type == "use_as_clause"
        path = _joined(base, _field(tree, node, "path") if aliased else tree.text_of(node))
        module, _, name = path.rpartition("::")
        alias = _field(tree, node, "alias") if aliased else ""
        if module:
            yield Import(module=module, names=(ImportedName(name, alias),))
        else:
            yield Import(module=path, alias=alias)


def _joined(base: str, path: str) -> str:
    return f"{base}::{path}" if base and path else base or path


def _c(tree: SyntaxTree, node: tree_sitter.Node) -> Iterator[Import]:
    if node.type == "preproc_include":
        path = _field(tree, node, "path")
        yield Import(module=_unquoted(path), level=int(path.startswith('"')), has_all=True)
        return
    text = tree.text_of(node).removeprefix("using").rstrip("; \n").strip()
    if text.startswith("namespace"):
        yield Import(module=text.removeprefix("namespace").strip(), has_all=True)
    else:
        module, _, name = text.rpartition("::")
        yield Import(module=module, names=(ImportedName(name),))


_READERS = {
    "python": _python, "javascript": _script, "javascriptreact": _script, "typescript": _script,
    "typescriptreact": _script, "java": _java, "go": _go, "rust": _rust, "c": _c, "cpp": _c,
}  # fmt: skip
