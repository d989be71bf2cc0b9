"""The docs are tested: links resolve, commands exist, every package is described. Exit 1 names each fault.

    python tools/check_docs.py [ROOT]

Checked in README.md, CONTRIBUTING.md, CHANGELOG.md and docs/**/*.md:
- a relative link names a file of the repository, and its #anchor a heading of that page;
- in fences marked console, sh, bash or shell (in console only lines after "$ "), `paceline ...` names a
  subcommand and options of the real command line, and `make ...` a target of the Makefile.
Checked in src/paceline: each package has a docstring in `__init__.py` and a line in docs/architecture.md.
"""

from __future__ import annotations

import ast
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**/*.md")
SHELL_FENCES = frozenset({"console", "sh", "bash", "shell"})
LINK = re.compile(
    r"\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)|<img[^>]*\ssrc=\"([^\"]+)\""
)
FENCE = re.compile(r"^\s*(```+|~~~+)\s*(\w*)")
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$")
TARGET = re.compile(r"^([a-z0-9]+):", re.MULTILINE)


class Page:
    """One Markdown file, read once: its prose and its shell commands, with line numbers."""

    def __init__(self, root: Path, path: Path) -> None:
        self.root, self.path = root, path
        self.name = str(path.relative_to(root))
        self.prose: list[tuple[int, str]] = []
        self.commands: list[tuple[int, str]] = []
        fence, language, unfinished = "", "", ""
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            mark = FENCE.match(line)
            if mark and not fence:
                fence, language = mark[1], mark[2]
            elif mark and mark[1] == fence:
                fence, unfinished = "", ""
            elif not fence:
                self.prose.append((number, line))
            elif language in SHELL_FENCES:
                text = unfinished or (line if language != "console" else _typed(line))
                text = text if not unfinished else unfinished + line
                unfinished = text[:-1] if text.endswith("\\") else ""
                if text.strip() and not unfinished:
                    self.commands.append((number, text))

    def anchors(self) -> set[str]:
        """The #anchors that GitHub makes of this page's headings."""
        titles = [match[1] for _, line in self.prose if (match := HEADING.match(line))]
        return {
            re.sub(r"[^\w\- ]", "", re.sub(r"\]\([^)]*\)", "", title).lower()).replace(" ", "-")
            for title in titles
        }


def _typed(line: str) -> str:
    """What a console transcript's line shows as typed: the text after "$ ", else nothing."""
    return line.lstrip()[2:] if line.lstrip().startswith("$ ") else ""


def read_pages(root: Path) -> list[Page]:
    """All pages that are checked."""
    return [Page(root, path) for pattern in PAGES for path in sorted(root.glob(pattern))]


def broken_links(page: Page) -> Iterator[str]:
    """Yield one line for each relative link that leads nowhere."""
    for number, line in page.prose:
        for match in LINK.finditer(re.sub(r"`[^`]*`", "", line)):
            link = match[1] or match[2]
            if re.match(r"[a-z][a-z0-9+.-]*:", link):
                continue
            name, _, anchor = link.partition("#")
            target = (page.path.parent / name).resolve() if name else page.path
            if not target.is_relative_to(page.root) or not target.exists():
                yield f"{page.name}:{number}: {link} does not exist; correct the link or add the file."
            elif (
                anchor
                and target.suffix == ".md"
                and anchor not in Page(page.root, target).anchors()
            ):
                yield f"{page.name}:{number}: {name or page.name} has no heading #{anchor}."


def wrong_commands(page: Page, command_line: Any, targets: frozenset[str]) -> Iterator[str]:
    """Yield one line for each `paceline` or `make` command that the repository does not have."""
    for number, text in page.commands:
        for words in simple_commands(text):
            program = words[0].rpartition("/")[2]
            fault = ""
            if program == "paceline":
                fault = fault_of_paceline(words[1:], command_line)
            elif program == "make":
                wanted = [word for word in words[1:] if "=" not in word and word[0] != "-"]
                unknown = [word for word in wanted if word not in targets]
                fault = f"the Makefile has no target {unknown[0]!r}" if unknown else ""
            if fault:
                yield f"{page.name}:{number}: `{' '.join(words)}`: {fault}."


def simple_commands(text: str) -> list[list[str]]:
    """Split a shell line at its pipes and separators; leading assignments and redirections are left out."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    commands: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set("();<>|&"):
            commands.append([])
        elif commands[-1] or not re.match(r"\w+=", word):
            commands[-1].append(word)
    return [words for words in commands if words]


def fault_of_paceline(words: list[str], command: Any) -> str:
    """Say what is wrong with the arguments of `paceline`, or nothing."""
    is_value = False
    for word in words:
        if is_value:
            is_value = False
        elif word == "--":
            break
        elif word.startswith("-") and word != "-":
            name, equals, _ = word.partition("=")
            if name == "--help":
                continue
            option = next((p for p in command.params if name in (*p.opts, *p.secondary_opts)), None)
            if option is None:
                return f"`{command.name}` has no option {name}"
            is_value = not equals and not (option.is_flag or option.count)
        elif hasattr(command, "list_commands"):
            known = command.list_commands(None)
            if word not in known:
                return f"{word!r} is none of its subcommands ({', '.join(known)})"
            command = command.get_command(None, word)
    return ""


def undescribed_packages(root: Path) -> Iterator[str]:
    """Yield one line for each package without a docstring or without a line in the architecture page."""
    page = root / "docs/architecture.md"
    described = page.read_text(encoding="utf-8") if page.exists() else ""
    for init in sorted(root.glob("src/paceline/*/__init__.py")):
        name = str(init.relative_to(root))
        if not ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))):
            yield f"{name}:1: no docstring; say in one line what the package knows."
        if not re.search(rf"^\W*`{init.parent.name}/?`", described, re.MULTILINE):
            yield f"docs/architecture.md:1: no line starts with `{init.parent.name}`; describe the package."


def read_command_line() -> Any:
    """The click command behind `paceline`."""
    import typer

    from paceline.cli.main import app

    command = typer.main.get_command(app)
    command.name = "paceline"
    return command


def main(root: Path) -> int:
    """Print every fault. Returns the exit code."""
    pages = read_pages(root)
    makefile = root / "Makefile"
    targets = frozenset(TARGET.findall(makefile.read_text("utf-8")) if makefile.exists() else ())
    command_line = read_command_line()
    faults = list(undescribed_packages(root))
    for page in pages:
        faults.extend(broken_links(page))
        faults.extend(wrong_commands(page, command_line, targets))
    for fault in faults:
        print(fault)
    print(f"docs: {len(pages)} pages, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()))
