"""Neovim's own LSP client and ghost text, with `paceline lsp` and a server: nothing of ours in the editor."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.app_thread import running_app
from tests.e2e.neovim import Neovim, running_neovim
from tests.scripted import WHOLE, Scripted, create_scripted

pytestmark = pytest.mark.e2e

COMMAND = [sys.executable, "-m", "paceline.cli.main", "lsp", "--server"]


WIDE = 'title = "\u00e9 \U0001f600" + str(len("area"))'
"""A line with characters of two bytes, and of four (two units of UTF-16)."""


@pytest.fixture
def scripted() -> Scripted:
    return create_scripted(f"{WHOLE}\n\n{WIDE}\n")


@pytest.fixture
def neovim(scripted: Scripted, tmp_path: Path) -> Iterator[Neovim]:
    """An editor with one line of code."""
    path = tmp_path / "shapes.py"
    path.write_text("def area(width, height):\n", encoding="utf-8")
    with running_app(scripted.app) as url, running_neovim([*COMMAND, url], path) as editor:
        yield editor


def kinds_of(scripted: Scripted) -> list[str]:
    return [event.kind for event in scripted.store.events]


def test_ghost_text_is_accepted_into_the_buffer_and_the_event_log(
    neovim: Neovim, scripted: Scripted
) -> None:
    neovim.press("o    return w")
    assert neovim.wait_for(neovim.ghost_text, "ghost text") == "idth * height"
    assert neovim.text() == "def area(width, height):\n    return w\n"
    assert neovim.accept()
    neovim.wait_for(lambda: "height\n" in neovim.text()[30:], "the accepted text")
    assert neovim.text() == "def area(width, height):\n    return width * height\n"
    neovim.wait_for(lambda: "accepted" in kinds_of(scripted), "the event")
    (accepted,) = (event for event in scripted.store.events if event.kind == "accepted")
    assert accepted.request_id.startswith("cmpl-")


def test_typing_on_keeps_what_agrees_and_drops_what_does_not(
    neovim: Neovim, scripted: Scripted
) -> None:
    neovim.press("o    return w")
    neovim.wait_for(neovim.ghost_text, "ghost text")
    neovim.press("idth")
    neovim.wait_for(lambda: neovim.ghost_text() == " * height", "the rest")
    neovim.press("s")
    neovim.wait_for(lambda: not neovim.ghost_text(), "nothing")
    assert not neovim.accept()
    assert neovim.text() == "def area(width, height):\n    return widths\n"
    assert "accepted" not in kinds_of(scripted)


def test_two_and_four_bytes_before_the_cursor(neovim: Neovim) -> None:
    """Editor and server agree on columns: the text lands where the ghost text was."""
    neovim.press("o" + WIDE[:-10])
    assert neovim.wait_for(neovim.ghost_text, "ghost text") == WIDE[-10:]
    assert neovim.accept()
    neovim.wait_for(lambda: neovim.text().endswith(WIDE[-10:] + "\n"), "the accepted text")
    assert neovim.text() == f"def area(width, height):\n{WIDE}\n"
