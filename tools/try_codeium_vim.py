"""codeium.vim, unmodified, with `paceline-codeium-shim` in the place of its language server.

python tools/try_codeium_vim.py PATH_TO_CHECKOUT [--vim vim|nvim|PATH] [--scripted] [--record OUT.json]
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
set nocompatible noswapfile laststatus=2 shortmess+=F
set runtimepath^={checkout}
filetype plugin on
let g:codeium_bin = '{shim}'
let g:is_ready = 0
function! ShowReady(timer)
  try
    call codeium#server#Request('Heartbeat', {{'metadata': codeium#server#RequestMetadata()}})
    let g:is_ready = 1
    call timer_stop(a:timer)
  catch
  endtry
  redrawstatus
endfunction
set statusline=%f\\ %m\\ codeium:\\ %{{g:is_ready?'ready':'waiting'}}
call timer_start(200, function('ShowReady'), {{'repeat': -1}})
"""
"""The plugin asks nothing before it has found the port; the status line says when it has."""


def plugin_of(arguments: Arguments) -> Plugin:
    """The plugin, with two settings: the program that it starts, and a key, without which it complains."""

    def settings(_url: str, home: Path) -> str:
        config = home / ".codeium" / "config.json"
        config.parent.mkdir()
        config.write_text(json.dumps({"apiKey": "paceline"}), encoding="utf-8")
        return START_FILE.format(checkout=arguments.checkout, shim=write_shim(home))

    def is_complete(exchanges: list[Any]) -> bool:
        done = {each["request"]["path"].rpartition("/")[2] for each in exchanges if each["reply"]}
        return {"GetStatus", "GetCompletions", "AcceptCompletion"} <= done

    return Plugin(
        name=f"codeium.vim {commit_of(arguments.checkout)}",
        settings=settings,
        env=lambda url, _home: {"PACELINE_SERVER": url},
        is_ready=lambda screen: "codeium: ready" in screen,
        is_complete=is_complete,
    )


if __name__ == "__main__":
    found = read_arguments("codeium.vim against the server.")
    run_trial(plugin_of(found), found)
