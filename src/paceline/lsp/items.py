"""Completions as LSP shows them: inline items, and one entry of the usual list for clients without these."""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec
from lsprotocol import types

from paceline.complete.wire import Encoding, WireCompletion, WireItem, WireRange
from paceline.complete.wire_positions import width_of

ACCEPT_COMMAND = "paceline.didAcceptCompletion"
COPILOT_ACCEPT_COMMAND = "github.copilot.didAcceptCompletionItem"
"""Understood, but not announced: some clients give each announced name to one server only."""
MAX_LABEL_CHARS = 60
_WORD = re.compile(r"\w*\Z")


class ItemId(NamedTuple):
    """Which completion, and which of its texts."""

    request_id: str
    alternative: int = 0

    @classmethod
    def of(cls, arguments: object) -> ItemId | None:
        """From the arguments of the accept command; None if they are not ours."""
        try:
            return msgspec.convert(arguments, cls)
        except msgspec.ValidationError:
            return None


def inline_items(
    completion: WireCompletion, *, is_drawn_over: bool = False
) -> types.InlineCompletionList:
    """One item for each text, with the range that it takes the place of.

    The range is given even if it is empty, for editors differ in what they take it to be then (VS Code: all
    up to the line's end).

    Args:
        is_drawn_over: would the editor draw an item that has a range over what follows the cursor (Neovim
            0.12)? Then one that only inserts has none.
    """
    return types.InlineCompletionList(
        items=[
            types.InlineCompletionItem(
                insert_text=item.text,
                filter_text=item.text,
                range=None if is_drawn_over and not item.num_replaced_chars else _range(item.range),
                command=_accept(ItemId(completion.request_id, index)),
            )
            for index, item in enumerate(completion.items)
        ]
    )


def list_item(
    completion: WireCompletion, line_before: str, encoding: Encoding
) -> types.CompletionList:
    """The first text as one entry that stands first, for the usual completion list.

    Such lists are filtered by the word before the cursor, so the entry writes that anew.
    """
    items: list[types.CompletionItem] = []
    if completion.items:
        items.append(_list_item(completion, completion.items[0], line_before, encoding))
    return types.CompletionList(is_incomplete=True, items=items)


def _list_item(
    completion: WireCompletion, item: WireItem, line_before: str, encoding: Encoding
) -> types.CompletionItem:
    found = _WORD.search(line_before)
    word = found[0] if found else ""
    text = word + item.text
    replaced = _range(item.range)
    replaced.start.character = width_of(line_before[: len(line_before) - len(word)], encoding)
    first_line = next((line for line in text.splitlines() if line.strip()), text).strip()
    return types.CompletionItem(
        label=first_line[:MAX_LABEL_CHARS],
        kind=types.CompletionItemKind.Text,
        detail="Paceline",
        documentation=text,
        sort_text="\t",  # before all that can be seen
        filter_text=text,
        preselect=True,
        insert_text_format=types.InsertTextFormat.PlainText,
        insert_text_mode=types.InsertTextMode.AsIs,
        text_edit=types.TextEdit(range=replaced, new_text=text),
        command=_accept(ItemId(completion.request_id)),
    )


def _accept(item: ItemId) -> types.Command:
    return types.Command(
        title="Accept completion",
        command=ACCEPT_COMMAND,
        arguments=[item.request_id, item.alternative],
    )


def _range(wire: WireRange) -> types.Range:
    return types.Range(
        start=types.Position(wire.start.line, wire.start.character),
        end=types.Position(wire.end.line, wire.end.character),
    )
