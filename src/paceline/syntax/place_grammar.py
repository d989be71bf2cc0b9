"""What encloses a place by the grammar, where the file parses; place.py asks it to confirm or correct."""

from __future__ import annotations

import msgspec
import tree_sitter

from paceline.syntax.headers import BlockKind
from paceline.syntax.nodes import words
from paceline.syntax.tree import SyntaxTree

MAX_DEPTH = 400
"""Ancestors that are looked at."""
MAX_CHILDREN = 16
"""Children of each that are looked at."""

_STRINGS = words(
    "string string_literal template_string interpreted_string_literal raw_string_literal char_literal rune_literal"
    " character_literal concatenated_string regex"
)
_COMMENTS = words("comment line_comment block_comment")
_WITH_PARENTHESES = words(
    "for_statement for_in_statement enhanced_for_statement for_range_loop catch_clause resource_specification"
    " cast_expression"
)
"""Nodes whose parentheses are no node of their own."""

_BODIES = words(
    "block statement_block compound_statement class_body interface_body enum_body declaration_list"
    " field_declaration_list switch_body switch_block match_block constructor_body enum_variant_list enumerator_list"
    " object_type annotation_type_body"
)
_CASES = words(
    "switch_case switch_default case_statement switch_block_statement_group switch_rule expression_case type_case"
    " default_case communication_case match_arm case_clause"
)
_BRACKETS = words(
    "arguments argument_list formal_parameters parameters parameter_list parenthesized_expression array list"
    " dictionary object tuple set subscript subscript_expression initializer_list literal_value array_expression"
    " tuple_expression struct_expression field_initializer_list array_initializer template_substitution"
    " list_comprehension dictionary_comprehension set_comprehension generator_expression object_pattern array_pattern"
    " named_imports export_clause use_list token_tree condition_clause index_expression array_access"
    " subscript_argument_list import_spec_list array_creation_expression parenthesized_declarator jsx_expression closure_parameters"
    " tuple_pattern tuple_struct_pattern slice_pattern lambda_capture_specifier"
)
_KINDS: dict[str, BlockKind] = {
    "if_statement": "if", "if_expression": "if", "if": "if", "elif_clause": "if", "else_clause": "else",
    "for_statement": "loop", "for_in_statement": "loop", "while_statement": "loop", "do_statement": "loop",
    "enhanced_for_statement": "loop", "for_expression": "loop", "while_expression": "loop",
    "loop_expression": "loop", "for_range_loop": "loop", "try_statement": "try",
    "try_with_resources_statement": "try", "catch_clause": "except", "finally_clause": "except",
    "except_clause": "except", "with_statement": "with", "synchronized_statement": "with",
    "switch_statement": "switch", "switch_expression": "switch", "match_expression": "switch",
    "match_statement": "switch", "class_declaration": "class", "abstract_class_declaration": "class", "class": "class",
    "interface_declaration": "class", "enum_declaration": "class", "record_declaration": "class",
    "annotation_type_declaration": "class", "class_definition": "class", "class_specifier": "class",
    "struct_specifier": "class", "union_specifier": "class", "enum_specifier": "class", "struct_item": "class",
    "enum_item": "class", "union_item": "class", "trait_item": "class", "impl_item": "class",
    "struct_type": "class", "interface_type": "class", "object_creation_expression": "class",
    "type_alias_declaration": "class", "namespace_definition": "module", "internal_module": "module",
    "module": "module", "mod_item": "module", "linkage_specification": "module", "foreign_mod_item": "module",
    "function_definition": "function", "function_declaration": "function", "method_definition": "function",
    "generator_function_declaration": "function", "function_expression": "function",
    "generator_function": "function", "arrow_function": "function", "method_declaration": "function",
    "constructor_declaration": "function", "compact_constructor_declaration": "function",
    "lambda_expression": "function", "lambda": "function", "function_item": "function", "closure_expression": "function",
    "func_literal": "function",
}  # fmt: skip
"""What a body is by the node it is the body of; any other: `other`."""


class Surroundings(msgspec.Struct, frozen=True):
    """What the grammar says of a place."""

    blocks: tuple[BlockKind, ...]
    """As `Place.blocks` says it; a row of brackets counts once. Languages with braces only."""
    is_in_string: bool
    is_in_comment: bool


def by_grammar(tree: SyntaxTree, offset: int) -> Surroundings | None:
    """What encloses `offset`; None if the file has errors, or the tree is of a part of it.

    A repaired tree is not trusted: where a brace is missing, the repair puts it anywhere.
    """
    if not tree.covers(offset) or tree.first_offset > 0 or tree.root.has_error:
        return None
    byte = tree.byte_offset_of(offset)
    kinds: list[BlockKind] = []
    text_kind = ""
    node = tree.root.descendant_for_byte_range(max(byte - 1, 0), byte)
    for _ in range(MAX_DEPTH):
        if node is None:
            return Surroundings((*kinds, "module"), text_kind == "string", text_kind == "comment")
        if node.start_byte < byte < node.end_byte:
            text_kind = text_kind or _text_kind(node)
            kind = _kind(node, byte)
            if kind and not (kind == "brackets" and kinds and kinds[-1] == "brackets"):
                kinds.append(kind)
        elif node.start_byte < byte == node.end_byte and node.type in ("comment", "line_comment"):
            text_kind = "comment"
        node = node.parent
    return None


def _text_kind(node: tree_sitter.Node) -> str:
    """`string` or `comment` in such a node, `code` in code within a string."""
    if node.type in _STRINGS:
        return "string"
    if node.type in _COMMENTS:
        return "comment"
    return "code" if node.type in ("interpolation", "template_substitution") else ""


def _first_children(node: tree_sitter.Node) -> list[tree_sitter.Node]:
    """The first children: brackets, colons and keywords stand among them; some nodes have thousands."""
    if node.child_count <= MAX_CHILDREN:
        return node.children
    walk = node.walk()
    found: list[tree_sitter.Node] = []
    is_there = walk.goto_first_child()
    while is_there and walk.node is not None and len(found) < MAX_CHILDREN:
        found.append(walk.node)
        is_there = walk.goto_next_sibling()
    return found


def _is_in_parentheses(node: tree_sitter.Node, byte: int) -> bool:
    children = _first_children(node)
    opening = next((child for child in children if child.type == "("), None)
    closing = next((child for child in children if child.type == ")"), None)
    return (
        opening is not None and closing is not None and opening.end_byte <= byte < closing.end_byte
    )


def _kind(node: tree_sitter.Node, byte: int) -> BlockKind | None:
    if node.type in _CASES:
        colon = next(
            (child for child in _first_children(node) if child.type in (":", "->", "=>")), None
        )
        return "case" if colon is None or colon.end_byte <= byte else None
    if node.type in _BRACKETS:
        opening = next(
            (child for child in _first_children(node) if child.type in ("(", "[", "{", "${")), None
        )
        return "brackets" if opening is not None and opening.end_byte <= byte else None
    if node.type in _WITH_PARENTHESES:
        return "brackets" if _is_in_parentheses(node, byte) else None
    parent = node.parent
    if node.type not in _BODIES or parent is None:
        return None
    if any(child.type == "{" and child.end_byte > byte for child in _first_children(node)[:1]):
        return None
    if node.type == "object_type" and parent.type not in (
        "interface_declaration",
        "type_alias_declaration",
    ):
        return "brackets"
    if parent.type in ("if_statement", "if_expression"):
        other = parent.child_by_field_name("alternative")
        return "else" if other is not None and other.id == node.id else "if"
    return None if parent.type in ("match_arm", *_CASES) else _KINDS.get(parent.type, "other")
