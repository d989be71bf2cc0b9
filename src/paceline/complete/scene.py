"""Everything that the rules may know about one request. Computed on first use, at most once.

A rule is a function of (candidate, scene) or of a scene alone; it keeps no state of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Protocol

from paceline.complete.lines import following_lines, line_after, line_before
from paceline.complete.modes import Mode, Trigger
from paceline.core.types import Cursor
from paceline.syntax.languages import Language, language_of
from paceline.syntax.place import Place, place_at
from paceline.syntax.scan import Scanner
from paceline.syntax.tree import SyntaxTree, parse

MAX_FOLLOWING_LINES = 12


class ProjectNames(Protocol):
    """Names that exist beyond the document: what groundedness asks. complete/project.py is one."""

    def has_module(self, language: str, name: str) -> bool | None:
        """Does an import of `name` resolve? None if that cannot be known."""
        ...

    def has_name(self, language: str, name: str) -> bool:
        """Is `name` defined, or seen, anywhere in the project's known files?"""
        ...

    def has_attribute(self, language: str, name: str) -> bool:
        """Is `.name` defined, or seen, anywhere in the project's known files?"""
        ...


class Scene:
    """One cursor, what is asked there, and the facts around it."""

    def __init__(
        self,
        cursor: Cursor,
        mode: Mode = "single_line",
        *,
        trigger: Trigger = "automatic",
        project: ProjectNames | None = None,
        rejected: tuple[str, ...] = (),
        parse_document: Callable[[], SyntaxTree | None] | None = None,
    ) -> None:
        """
        Args:
            rejected: texts that the user rejected or deleted at this very place, newest first.
            parse_document: how to get the document's tree; else it is parsed from nothing.
        """
        self.cursor = cursor
        self.mode: Mode = mode
        self.trigger: Trigger = trigger
        self.project, self.rejected = project, rejected
        self._parse = parse_document

    @cached_property
    def language(self) -> Language:
        """The document's language."""
        return language_of(self.cursor.document)

    @cached_property
    def line_before(self) -> str:
        """The part of the cursor's line before it."""
        return line_before(self.cursor)

    @cached_property
    def line_after(self) -> str:
        """The part of the cursor's line after it, without trailing white space."""
        return line_after(self.cursor)

    @cached_property
    def following_lines(self) -> tuple[str, ...]:
        """The next lines below the cursor's that are not blank, without trailing white space."""
        return following_lines(self.cursor, MAX_FOLLOWING_LINES)

    @cached_property
    def tree(self) -> SyntaxTree | None:
        """The document's tree, or of a window of it; None without a grammar."""
        if self._parse is not None:
            return self._parse()
        return parse(self.cursor.document.text, self.language, around=self.cursor.offset)

    @cached_property
    def scanner(self) -> Scanner:
        """What is open at the cursor, ready to read candidates."""
        return Scanner.at(self.cursor.document.text, self.cursor.offset, self.language)

    @cached_property
    def place(self) -> Place:
        """What the cursor stands in."""
        return place_at(self.cursor, self.language, self.tree)

    def with_mode(self, mode: Mode) -> Scene:
        """The same scene, asked in another mode; facts already found are kept."""
        other = Scene.__new__(Scene)
        other.__dict__.update(self.__dict__)
        other.mode = mode
        return other
