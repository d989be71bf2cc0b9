"""Completions as LSP shows them."""

from __future__ import annotations

import pytest
from lsprotocol import types

from paceline.complete.wire import WirePosition
from paceline.lsp.items import ACCEPT_COMMAND, ItemId, inline_items, list_item
from tests.lsp.fakes import completion_of

HERE = WirePosition(line=3, character=5)


def test_each_text_is_an_item_with_its_range_and_its_own_command() -> None:
    both = inline_items(completion_of(["a)", "b)"], position=HERE, num_replaced_chars=1)).items
    assert [item.insert_text for item in both] == ["a)", "b)"]
    assert both[1].range == types.Range(types.Position(3, 5), types.Position(3, 6))
    command = both[1].command
    assert command is not None and command.command == ACCEPT_COMMAND
    assert ItemId.of(command.arguments) == ItemId("cmpl-1", 1)


def test_an_item_that_only_inserts_has_an_empty_range_or_none_where_it_would_be_drawn_over() -> (
    None
):
    completion = completion_of(["a"], position=HERE)
    here = types.Position(3, 5)
    assert inline_items(completion).items[0].range == types.Range(here, here)
    assert inline_items(completion, is_drawn_over=True).items[0].range is None
    replacing = completion_of(["a)"], position=HERE, num_replaced_chars=1)
    assert inline_items(replacing, is_drawn_over=True).items[0].range is not None


def test_the_list_has_one_entry_that_writes_the_word_anew() -> None:
    completion = completion_of(["urn 1\n    x"], position=WirePosition(line=1, character=9))
    listed = list_item(completion, "  𝄞 + ret", "utf-16")
    assert listed.is_incomplete
    (item,) = listed.items
    assert item.label == "return 1"
    assert isinstance(item.text_edit, types.TextEdit)
    assert item.text_edit.new_text == item.filter_text == "return 1\n    x"
    assert item.text_edit.range == types.Range(types.Position(1, 7), types.Position(1, 9))
    assert item.sort_text is not None and item.sort_text < "!"
    assert item.command is not None and ItemId.of(item.command.arguments) == ItemId("cmpl-1")


def test_nothing_to_show_is_an_empty_list() -> None:
    assert list(inline_items(completion_of([])).items) == []
    assert list(list_item(completion_of([]), "x", "utf-8").items) == []


@pytest.mark.parametrize("arguments", [None, [], {}, "cmpl-1", [1], ["a", "b"], ["a", 1, 2]])
def test_arguments_that_are_not_ours(arguments: object) -> None:
    assert ItemId.of(arguments) is None


def test_a_client_may_leave_the_alternative_out() -> None:
    assert ItemId.of(["cmpl-1"]) == ItemId("cmpl-1", 0)
