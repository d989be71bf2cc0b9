"""An entry of the usual completion list that the user has before them: completed as if it were taken.

Editors show inline text beside such a list only if it begins with the selected entry.
"""

from __future__ import annotations

from typing import NamedTuple

from lsprotocol import types
from msgspec.structs import replace

from paceline.complete.wire import Encoding, WireCompletion, WireItem, WirePosition, WireRange
from paceline.complete.wire_positions import width_of
from paceline.lsp.documents import OpenDocument, Place, place_of


class Taken(NamedTuple):
    """A document with the entry taken."""

    document: OpenDocument
    place: Place
    """Behind the entry."""
    start: Place
    """Where the entry begins, which is the same in both documents."""
    text: str
    num_added_columns: int


def take(
    document: OpenDocument,
    place: Place,
    selected: types.SelectedCompletionInfo,
    encoding: Encoding,
) -> Taken | None:
    """The document as if the entry were taken; None unless that goes on with what stands before `place`."""
    start, text = document.clamp(place_of(selected.range.start)), selected.text
    is_here = place_of(selected.range.end) == place and start.line == place.line
    if not is_here or start.column > place.column:
        return None
    typed = document.slice(start, place)
    if not text.startswith(typed) or len(text) == len(typed) or "\n" in text or "\r" in text:
        return None
    scratch = OpenDocument(
        document.uri,
        document.text,
        language=document.language,
        version=document.version,
        encoding=encoding,
    )
    scratch.replace(start, place, text)
    num_added = width_of(text, encoding) - width_of(typed, encoding)
    return Taken(scratch, Place(place.line, place.column + num_added), start, text, num_added)


def with_taken(completion: WireCompletion, taken: Taken, place: Place) -> WireCompletion:
    """The completion for the document as it is: the entry is the beginning of each text."""
    start = WirePosition(line=taken.start.line, character=taken.start.column)

    def moved(item: WireItem) -> WireItem:
        column = item.range.end.character - taken.num_added_columns
        end = WirePosition(line=place.line, character=column)
        return replace(item, text=taken.text + item.text, range=WireRange(start=start, end=end))

    return replace(completion, items=[moved(item) for item in completion.items])
