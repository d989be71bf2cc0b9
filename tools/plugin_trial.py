"""One editor plugin, unmodified, against the server: ghost text, accept, the buffer. For tools/try_*.py.

Starts `paceline serve` with the shipped model (or the scripted one of tests/scripted.py), opens a file of our
own in the editor, types the beginning of a line, waits for ghost text, accepts it and compares the saved file with
what was seen. Prints both screens.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.e2e.app_thread import running_app
from tests.e2e.server_process import running_server
from tests.scripted import WHOLE, create_scripted
from tools.editor_in_tmux import Terminal
from tools.record_wire import Recorder, Scrubber, save

BEFORE = WHOLE + "\n\nprint(area(2, 3))\n"
TYPED = "print(perim"
FILE_NAME = "shapes.py"
SCRIPT = WHOLE + "\n\nprint(area(2, 3))\nprint(perimeter(2, 3))\n"


class Plugin(NamedTuple):
    """How to set an editor up."""

    name: str
    """With the commit of the checkout."""
    settings: Callable[[str, Path], str]
    """The lines of the editor's start file, given the server's address and a folder for the editor alone."""
    env: Callable[[str, Path], dict[str, str]] = lambda url, home: {}
    is_lua: bool = False
    is_ready: Callable[[str], bool] = lambda screen: True
    """Of the screen, before anything is typed."""
    is_complete: Callable[[list[Any]], bool] = lambda exchanges: True
    """Of a recording: is all in it that the client ever sends? Waited for before the editor ends."""


class Arguments(NamedTuple):
    """What every try_*.py is told."""

    checkout: Path
    editor: str
    is_scripted: bool
    record: Path | None


def read_arguments(description: str, editors: str = "vim or nvim, or a path") -> Arguments:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("checkout", type=Path, help="a git checkout of the plugin, unmodified")
    parser.add_argument("--vim", default="vim", help=editors)
    parser.add_argument("--scripted", action="store_true", help="the scripted model, not ours")
    parser.add_argument("--record", type=Path, help="write what goes over the wire to this fixture")
    found = parser.parse_args()
    return Arguments(found.checkout.resolve(), found.vim, found.scripted, found.record)


def commit_of(checkout: Path) -> str:
    """Short hash and date of what is checked out; says so if files were changed."""

    def git(*args: str) -> str:
        command = ["git", "-C", str(checkout), *args]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    changed = " (modified)" if git("status", "--porcelain", "--untracked-files=no") else ""
    return git("log", "-1", "--format=%h of %cs") + changed


def version_of(editor: str) -> str:
    """First line of `editor --version`, and Vim's patch level."""
    command = [editor, "--version"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")
    patches = next((line for line in lines if line.startswith("Included patches")), "")
    return lines[0].split(" (")[0] + (f" ({patches})" if patches else "")


def write_shim(home: Path) -> Path:
    """A program that starts `paceline codeium-shim` of this environment, as the installed one does."""
    path = home / "paceline-codeium-shim"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -m paceline.cli.codeium_shim "$@"\n')
    path.chmod(0o755)
    return path


def run_trial(plugin: Plugin, arguments: Arguments) -> None:
    """Do it all; raises if the ghost text does not come or the buffer is not what was seen."""
    client = f"{plugin.name} in {version_of(arguments.editor)}"
    print(client)
    with _serving(arguments.is_scripted) as server:
        if arguments.record is None:
            _type_and_accept(plugin, arguments.editor, server, lambda: True)
            return
        recorder = Recorder(server)
        with running_app(recorder) as proxy:
            home = _type_and_accept(
                plugin,
                arguments.editor,
                proxy,
                lambda: plugin.is_complete(recorder.exchanges),
            )
        folders = Scrubber([arguments.checkout, home])
        save(arguments.record, client, "exchanges", recorder.exchanges, folders)


@contextmanager
def _serving(is_scripted: bool) -> Iterator[str]:
    if is_scripted:
        with running_app(create_scripted(SCRIPT).app) as url:
            yield url
    else:
        with running_server("--show-threshold", "0") as url:
            yield url


def _type_and_accept(
    plugin: Plugin, editor: str, url: str, is_complete: Callable[[], bool]
) -> Path:
    with tempfile.TemporaryDirectory(prefix="trial") as own:
        home = Path(own)
        start = home / ("init.lua" if plugin.is_lua else "vimrc")
        start.write_text(plugin.settings(url, home), encoding="utf-8")
        path = home / FILE_NAME
        path.write_text(BEFORE, encoding="utf-8")
        env = {"HOME": own, "XDG_DATA_HOME": own, "XDG_CONFIG_HOME": own} | plugin.env(url, home)
        path_or_name = str(Path(editor).absolute()) if "/" in editor else editor
        command = [path_or_name, "-u", str(start), "-i", "NONE", "+normal G", FILE_NAME]
        with Terminal(command, folder=home, env=env) as terminal:
            _drive(plugin, terminal, path)
            terminal.wait_for(lambda _: is_complete(), "all kinds of requests")
        return home


def _drive(plugin: Plugin, terminal: Terminal, path: Path) -> None:
    _until(terminal, lambda screen: "print(area(2, 3))" in screen, "the file")
    terminal.wait_for(plugin.is_ready, "the plugin")
    terminal.press("o")
    terminal.type(TYPED)
    screen = terminal.wait_for(lambda screen: bool(_ghost_line(screen)), "ghost text")
    shown = _ghost_line(screen)
    _print_screen("ghost text", terminal.picture())
    terminal.press("Tab")
    terminal.press("Escape")
    terminal.type(":w")
    terminal.press("Enter")
    terminal.wait_for(lambda _: path.read_text(encoding="utf-8") != BEFORE, "the saved file")
    _print_screen("accepted and saved", terminal.picture())
    saved = path.read_text(encoding="utf-8")
    assert saved.startswith(BEFORE + shown + "\n"), f"seen {shown!r}, saved {saved!r}"
    print(f"ok: the buffer has {shown!r}\n")


def _until(terminal: Terminal, is_seen: Callable[[str], bool], what: str) -> None:
    """Wait, and press Enter where Vim asks to."""

    def check(screen: str) -> bool:
        if "Press ENTER" in screen:
            terminal.press("Enter")
        return is_seen(screen) and "Press ENTER" not in screen

    terminal.wait_for(check, what)


def _ghost_line(screen: str) -> str:
    """The line that is typed, if more than that is seen of it."""
    lines = [line for line in screen.split("\n") if line.startswith(TYPED)]
    return lines[-1] if lines and len(lines[-1]) > len(TYPED) else ""


def _print_screen(title: str, screen: str) -> None:
    width = max(len(line) for line in screen.split("\n"))
    print(f"--- {title} " + "-" * max(width - len(title) - 5, 0))
    print(screen)
