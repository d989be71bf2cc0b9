"""llama.cpp's own server, from the xllamacpp wheel. Runs in llama.cpp's venv.

    python serve_xllamacpp.py MODEL.gguf PORT JSON_OPTIONS

Options are attributes of CommonParams; a dot reaches into a nested one; `speculative.types` holds names
of common_speculative_type.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import json
import sys
import threading
from typing import Any

import xllamacpp


def set_option(params: Any, name: str, value: Any) -> None:
    """Set `a.b` on params."""
    *path, last = name.split(".")
    for part in path:
        params = getattr(params, part)
    current = getattr(params, last)
    if name == "speculative.types":
        value = [getattr(xllamacpp.common_speculative_type, kind) for kind in value]
        params.speculative.types = value
        return
    setattr(params, last, type(current)(value) if not isinstance(current, bool) else bool(value))


def main() -> None:
    """Serve for ever."""
    params = xllamacpp.CommonParams()
    params.model.path = sys.argv[1]
    params.hostnames = ["127.0.0.1"]
    params.port = int(sys.argv[2])
    for name, value in json.loads(sys.argv[3]).items():
        set_option(params, name, value)
    server = xllamacpp.Server(params)
    print("listening on", server.listening_address, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
