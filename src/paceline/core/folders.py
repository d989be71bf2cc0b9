"""Where Paceline keeps what must outlive a process: tokens, the audit log, events."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def state_folder() -> Path:
    """PACELINE_HOME, else the user's own folder for state; it need not exist.

    Linux and others: $XDG_STATE_HOME/paceline (~/.local/state when unset). macOS: ~/Library/Application
    Support/paceline. Windows: %LOCALAPPDATA%\\paceline.
    """
    named = os.environ.get("PACELINE_HOME")
    if named:
        return Path(named).expanduser()
    home = Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "paceline"
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "paceline"
    return Path(os.environ.get("XDG_STATE_HOME") or home / ".local" / "state") / "paceline"


def make_private_folder(folder: Path) -> Path:
    """Create `folder`, readable by its owner alone if it is new; return it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
