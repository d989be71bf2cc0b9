"""neocodeium, unmodified, in Neovim, with `paceline-codeium-shim` as its `bin`.

python tools/try_neocodeium.py PATH_TO_CHECKOUT --vim nvim|PATH [--scripted] [--record OUT.json]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.plugin_trial import (
    Arguments,
    Plugin,
    commit_of,
    read_arguments,
    run_trial,
    write_shim,
)

START_FILE = """\
vim.o.swapfile = false
vim.opt.runtimepath:prepend("{checkout}")
vim.o.laststatus = 2
vim.o.statusline = "%f %m neocodeium: waiting"
vim.api.nvim_create_autocmd("User", {{
  pattern = "NeoCodeiumServerConnected",
  callback = function() vim.o.statusline = "%f %m neocodeium: ready" end,
}})
local neocodeium = require("neocodeium")
neocodeium.setup({{ bin = "{shim}", show_label = false }})
vim.keymap.set("i", "<Tab>", neocodeium.accept)
"""


def plugin_of(arguments: Arguments) -> Plugin:
    """The plugin, with the program that it starts, a key, and Tab to accept."""

    def settings(_url: str, home: Path) -> str:
        for folder in (home / ".codeium", home / "codeium"):
            folder.mkdir()
            text = json.dumps({"api_key": "paceline", "apiKey": "paceline"})
            (folder / "config.json").write_text(text, encoding="utf-8")
        return START_FILE.format(checkout=arguments.checkout, shim=write_shim(home))

    def is_complete(exchanges: list[Any]) -> bool:
        done = {each["request"]["path"].rpartition("/")[2] for each in exchanges if each["reply"]}
        return {"GetCompletions", "AcceptCompletion"} <= done

    return Plugin(
        name=f"neocodeium {commit_of(arguments.checkout)}",
        settings=settings,
        env=lambda url, _home: {"PACELINE_SERVER": url},
        is_lua=True,
        is_ready=lambda screen: "neocodeium: ready" in screen,
        is_complete=is_complete,
    )


if __name__ == "__main__":
    found = read_arguments("neocodeium against the server.", editors="nvim, or a path")
    run_trial(plugin_of(found), found)
