"""What Neovim once sent to `paceline lsp` is answered by the language server of today, message by message."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

RECORDED = json.loads((Path(__file__).parent / "neovim" / "lsp.json").read_text(encoding="utf-8"))
