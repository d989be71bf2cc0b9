"""llama.vim, unmodified, against the server.

python tools/try_llama_vim.py PATH_TO_CHECKOUT [--vim vim|nvim|PATH] [--scripted] [--record OUT.json]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.plugin_trial import Arguments, Plugin, commit_of, read_arguments, run_trial


def plugin_of(arguments: Arguments) -> Plugin:
    """The plugin, with one setting: where the server is. Its figures behind the ghost text are switched off."""

    def settings(url: str, _home: Path) -> str:
        return "\n".join(
            [
                "set nocompatible noswapfile",
                f"set runtimepath^={arguments.checkout}",
                "filetype plugin on",
                f"let g:llama_config = {{'endpoint_fim': '{url}/infill', 'show_info': 0}}",
                "",
            ]
        )

    def is_complete(exchanges: list[Any]) -> bool:
        """The request that warms the cache comes a second after the user did nothing."""
        bodies = (exchange["request"]["body"] for exchange in exchanges if exchange["reply"])
        return any(body["n_predict"] == 0 for body in bodies)

    name = f"llama.vim {commit_of(arguments.checkout)}"
    return Plugin(name, settings, is_complete=is_complete)


if __name__ == "__main__":
    found = read_arguments("llama.vim against the server.")
    run_trial(plugin_of(found), found)
