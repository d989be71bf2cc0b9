"""Size is a budget: short files, short functions, no large file in git. Exit 1 names each offender.

python tools/check_sizes.py [ROOT]
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 60
MAX_TRACKED_BYTES = 50_000_000
"""Beyond this no tracked file may go; weights are split into shards."""
MAX_ORDINARY_BYTES = 1_000_000
"""Limit outside the folders that exist to hold large files."""

SOURCES = ("src/**/*.py", "tests/**/*.py", "tools/**/*.py", "clients/**/*.py")
SKIPPED_FOLDERS = frozenset({"node_modules", "__pycache__"})
LARGE_FILE_FOLDERS = ("models/", "src/paceline/server/playground/static/")


def python_files(root: Path) -> list[Path]:
    """Every Python file that the limits apply to."""
    paths = {path for pattern in SOURCES for path in root.glob(pattern)}
    return sorted(path for path in paths if not SKIPPED_FOLDERS.intersection(path.parts))


def long_code(path: Path, name: str) -> Iterator[str]:
    """Yield one line for the file, and one for each function, that is too long."""
    text = path.read_text(encoding="utf-8")
    num_lines = len(text.splitlines())
    if num_lines > MAX_FILE_LINES:
        yield (
            f"{name}:1: {num_lines} lines, {MAX_FILE_LINES} are allowed; "
            "split it into two modules that each say what they know."
        )
    for node in ast.walk(ast.parse(text, filename=name)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        num_lines = (node.end_lineno or node.lineno) - node.lineno + 1
        if num_lines > MAX_FUNCTION_LINES:
            yield (
                f"{name}:{node.lineno}: {node.name} has {num_lines} lines, "
                f"{MAX_FUNCTION_LINES} are allowed; give one of its steps a name of its own."
            )


def tracked_files(root: Path) -> list[str]:
    """Names of the files in git, relative to `root`; none outside a git work tree."""
    if not (root / ".git").exists():
        print(f"{root} is not a git work tree: sizes of tracked files are not checked")
        return []
    listing = subprocess.run(
        ["git", "-C", str(root), "ls-files", "-z"], check=True, capture_output=True, text=True
    )
    return [name for name in listing.stdout.split("\0") if name]


def large_files(root: Path) -> Iterator[str]:
    """Yield one line for each tracked file that is too large."""
    for name in tracked_files(root):
        path = root / name
        num_bytes = path.stat().st_size if path.is_file() else 0
        if num_bytes > MAX_TRACKED_BYTES:
            yield (
                f"{name}:1: {num_bytes:,} bytes, {MAX_TRACKED_BYTES:,} are allowed; "
                "split it into shards, or let a command make it."
            )
        elif num_bytes > MAX_ORDINARY_BYTES and not name.startswith(LARGE_FILE_FOLDERS):
            yield (
                f"{name}:1: {num_bytes:,} bytes, {MAX_ORDINARY_BYTES:,} are allowed outside "
                f"{' and '.join(LARGE_FILE_FOLDERS)}; shrink it, or let a command make it."
            )


def main(root: Path) -> int:
    """Print every offender. Returns the exit code."""
    files = python_files(root)
    offenders = [
        offender for path in files for offender in long_code(path, str(path.relative_to(root)))
    ]
    offenders.extend(large_files(root))
    for offender in offenders:
        print(offender)
    print(f"sizes: {len(files)} Python files, {len(offenders)} too long or too large")
    return 1 if offenders else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()))
