"""Which nodes of the grammars define, bind, import or contain. One table: the grammars hardly use a name twice."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import tree_sitter

from paceline.syntax.grammars import grammar
from paceline.syntax.languages import Language


def words(text: str) -> frozenset[str]:
    """The words of `text`, as a set: node types, listed so that they can be read."""
    return frozenset(text.split())


FUNCTIONS = words(
    "function_definition function_declaration generator_function_declaration method_definition method_declaration"
    " constructor_declaration compact_constructor_declaration function_item function_signature_item"
    " function_signature method_signature abstract_method_signature method_elem preproc_function_def"
    " macro_definition function_expression generator_function arrow_function"
)
CLASSES = words(
    "class_definition class_declaration abstract_class_declaration class interface_declaration enum_declaration"
    " record_declaration annotation_type_declaration struct_item enum_item union_item trait_item impl_item"
    " struct_specifier class_specifier union_specifier enum_specifier type_spec"
)
FIELDS = words(
    "field_declaration field_definition public_field_definition property_signature enum_variant enumerator"
    " enum_constant enum_assignment assignment"
)
"""What may stand in a class beside its methods."""
CONTAINERS = words(
    "export_statement decorated_definition expression_statement lexical_declaration variable_declaration"
    " type_declaration const_declaration var_declaration var_spec_list namespace_definition linkage_specification"
    " declaration_list template_declaration preproc_if preproc_ifdef preproc_else preproc_elif if_statement"
    " elif_clause try_statement with_statement block else_clause except_clause finally_clause"
    " field_declaration_list class_body interface_body object_type enum_body enum_body_declarations"
    " enum_variant_list enumerator_list ambient_declaration internal_module statement_block mod_item ERROR"
    " foreign_mod_item struct_type interface_type constructor_body declaration type_definition"
)
"""What is looked into for definitions."""
BODIES = words(
    "block class_body interface_body enum_body field_declaration_list declaration_list enum_variant_list"
    " enumerator_list object_type struct_type interface_type statement_block compound_statement constructor_body"
    " ordered_field_declaration_list"
)
IMPORTS = words(
    "import_statement import_from_statement future_import_statement import_declaration use_declaration"
    " extern_crate_declaration preproc_include using_declaration"
)
SCOPES = FUNCTIONS | words(
    "lambda lambda_expression closure_expression func_literal class_definition list_comprehension"
    " set_comprehension dictionary_comprehension generator_expression function_declarator"
)
"""What keeps the names bound in it to itself."""

_BINDERS: dict[str, tuple[str, ...]] = {
    "assignment": ("left",), "augmented_assignment": ("left",), "named_expression": ("name",),
    "for_statement": ("left",), "for_in_clause": ("left",), "as_pattern_target": (), "class_definition": ("name",),
    "function_definition": ("name", "declarator"), "parameters": (), "lambda_parameters": (),
    "global_statement": (), "nonlocal_statement": (), "case_pattern": (), "type_alias_statement": ("left",),
    "type_parameter": (), "variable_declarator": ("name",), "formal_parameters": (),
    "arrow_function": ("parameter",), "catch_clause": ("parameter",), "for_in_statement": ("left",),
    "function_declaration": ("name",), "generator_function_declaration": ("name",),
    "class_declaration": ("name",), "interface_declaration": ("name",), "enum_declaration": ("name",),
    "type_alias_declaration": ("name",), "abstract_class_declaration": ("name",), "internal_module": ("name",),
    "function_signature": ("name",), "function_expression": ("name",), "class": ("name",),
    "formal_parameter": ("name",), "enhanced_for_statement": ("name",), "resource": ("name",),
    "catch_formal_parameter": ("name",), "inferred_parameters": (), "instanceof_expression": ("name",),
    "lambda_expression": ("parameters",), "method_declaration": ("name",), "record_declaration": ("name",),
    "enum_constant": ("name",), "type_pattern": (), "record_pattern_component": (),
    "short_var_declaration": ("left",), "range_clause": ("left",), "type_switch_statement": ("alias",),
    "const_spec": ("name",), "var_spec": ("name",), "parameter_declaration": ("name", "declarator"),
    "optional_parameter_declaration": ("declarator",), "variadic_parameter_declaration": ("name", "declarator"),
    "type_spec": ("name",), "type_alias": ("name",), "receive_statement": ("left",),
    "let_declaration": ("pattern",), "let_condition": ("pattern",), "for_expression": ("pattern",),
    "match_pattern": (), "closure_parameters": (), "parameter": ("pattern",), "const_item": ("name",),
    "static_item": ("name",), "function_item": ("name",), "struct_item": ("name",), "enum_item": ("name",),
    "trait_item": ("name",), "mod_item": ("name",), "type_item": ("name",), "union_item": ("name",),
    "macro_definition": ("name",), "function_signature_item": ("name",), "declaration": ("declarator",),
    "for_range_loop": ("declarator",), "type_definition": ("declarator",), "preproc_def": ("name",),
    "preproc_function_def": ("name",), "preproc_params": (), "enumerator": ("name",),
    "struct_specifier": ("name",), "class_specifier": ("name",), "union_specifier": ("name",),
    "enum_specifier": ("name",), "namespace_definition": ("name",), "alias_declaration": ("name",),
    "type_parameter_declaration": (), "labeled_statement": (), "condition_clause": (),
}  # fmt: skip
"""Nodes that bind names, and the fields where their names stand; without fields: anywhere in the node."""

NAME_LEAVES = words(
    "identifier shorthand_property_identifier_pattern shorthand_field_identifier type_identifier field_identifier"
    " property_identifier private_property_identifier namespace_identifier"
)
_NOT_BOUND_FIELDS = words(
    "type value default_value right size key parameters return_type result body constraint bound"
)
_NOT_BOUND_NODES = words(
    "attribute subscript subscript_expression member_expression field_expression call call_expression selector_expression"
    " index_expression type type_annotation generic_type type_arguments function_type pointer_type scoped_identifier"
    " scoped_type_identifier range_pattern trait_bounds decorator accessibility_modifier modifiers"
    " unary_expression string block annotation type_bound qualified_type parameter_declaration_type"
)


def names_bound_by(node: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
    """The leaves that `node`, of a type that binds, binds."""
    fields = _BINDERS[node.type]
    if not fields:
        yield from names_in_pattern(node)
    for field in fields:
        for part in node.children_by_field_name(field):
            yield from names_in_pattern(part)


def names_in_pattern(node: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
    """The leaves of a pattern, parameter list or declarator that get a value there."""
    if node.type in NAME_LEAVES:
        yield node
        return
    if node.type in _NOT_BOUND_NODES or (node.type == "dotted_name" and node.named_child_count > 1):
        return
    skips_first = node.type in ("class_pattern", "keyword_pattern")
    for index, child in enumerate(node.children):
        if not child.is_named or (skips_first and index == 0):
            continue
        if node.field_name_for_child(index) in _NOT_BOUND_FIELDS:
            if not (
                node.type == "init_declarator" or child.type.endswith(("pattern", "identifier"))
            ):
                continue
            if node.type not in ("pair_pattern", "dict_pattern"):
                continue
            if node.field_name_for_child(index) == "key":
                continue
        yield from names_in_pattern(child)


def name_node(node: tree_sitter.Node) -> tree_sitter.Node | None:
    """The leaf that names a definition: its field `name`, or the innermost of its declarators."""
    for _ in range(8):
        named = node.child_by_field_name("name")
        if named is not None and node.type != "qualified_identifier":
            return named
        inner = node.child_by_field_name("declarator") or node.child_by_field_name("property")
        if inner is None and node.type == "impl_item":
            inner = node.child_by_field_name("type")
        if inner is None:
            if node.type == "qualified_identifier" and named is not None:
                inner = named
            elif node.type in ("reference_declarator", "parenthesized_declarator", "generic_type"):
                inner = node.named_child(0)
        if inner is None:
            return node if node.type in NAME_LEAVES else None
        node = inner
    return None


def body_of(node: tree_sitter.Node) -> tree_sitter.Node | None:
    """The part of a definition that holds its members or statements."""
    body = node.child_by_field_name("body")
    if body is None and node.type == "type_spec":
        body = node.child_by_field_name("type")
        if body is not None and body.type == "struct_type":
            body = body.named_child(0)
        body = body if body is not None and body.type in BODIES else None
    if body is None and node.type == "type_definition":
        inner = node.child_by_field_name("type")
        return body_of(inner) if inner is not None and inner.type in CLASSES else None
    if body is None and node.type in (
        "variable_declarator",
        "field_definition",
        "public_field_definition",
    ):
        value = node.child_by_field_name("value")
        return body_of(value) if value is not None and value.type in FUNCTIONS | CLASSES else None
    return body


@cache
def _query(name: str, types: frozenset[str], language: Language) -> tree_sitter.Query | None:
    rules = grammar(language)
    if rules is None:
        return None
    ids = {kind: rules.id_for_node_kind(kind, True) for kind in types}
    known = sorted(
        kind for kind, number in ids.items() if number and rules.node_kind_is_visible(number)
    )
    if not known:
        return None
    return tree_sitter.Query(rules, " ".join(f"({kind}) @{name}" for kind in known))


def nodes_within(
    node: tree_sitter.Node, types: frozenset[str], language: Language
) -> list[tree_sitter.Node]:
    """The nodes of those types in and below `node`, in the order of the text."""
    query = _query("found", types, language)
    if query is None:
        return []
    return tree_sitter.QueryCursor(query).captures(node).get("found", [])


BINDERS = frozenset(_BINDERS)
