"""Reads the golden cases of post-processing. Their format is described in docs/golden.md; nothing else is read."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Literal

import msgspec

from paceline.complete.modes import Mode, Trigger
from paceline.complete.scene import Scene
from paceline.core.types import Candidate, Cursor, Document, Drop

FOLDER = Path(__file__).parent.parent / "golden/postprocess"
CURSOR = "‸"
END = "¦"
"""Closes a line that ends with white space, which nobody would see otherwise."""

Finish = Literal["stop", "length", "deadline"]
SUFFIXES = {
    "python": ".py", "javascript": ".js", "typescript": ".ts", "java": ".java", "go": ".go", "rust": ".rs",
    "c": ".c", "cpp": ".cpp", "ruby": ".rb", "yaml": ".yaml", "markdown": ".md",
}  # fmt: skip
TEXTS = ("document", "output", "expected", "rejected")
CONTROL_PICTURES = {0x2400 + code: code for code in range(32)}


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One case: where the cursor stands, what the model says, what the user should see."""

    title: str
    language: str
    mode: Mode = "single_line"
    trigger: Trigger = "automatic"
    finish: Finish = "stop"
    path: str
    document: str
    """With the cursor's mark."""
    output: str
    expected: str | None
    replaces: int = 0
    drop: str = ""
    rejected: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()

    @property
    def prefix(self) -> str:
        return self.document.partition(CURSOR)[0]

    @property
    def suffix(self) -> str:
        return self.document.partition(CURSOR)[2]

    @property
    def is_left_alone(self) -> bool:
        """Is the model right, so that every change would be damage?"""
        return self.expected == self.output and self.replaces == 0

    def candidate(self) -> Candidate:
        return Candidate(text=self.output, num_tokens=8, logprob=-4.0, finish_reason=self.finish)

    def scene(self) -> Scene:
        document = Document(path=self.path, text=self.prefix + self.suffix, language=self.language)
        has_project = bool(self.modules or self.names or self.attributes)
        return Scene(
            Cursor(document=document, offset=len(self.prefix)),
            self.mode,
            trigger=self.trigger,
            project=GoldenProject(self) if has_project else None,
            rejected=self.rejected,
        )

    def complaint(self, result: Candidate | Drop) -> str:
        """What is wrong with `result`; empty if it is right.

        Two answers that lead to the same document are the same answer; one must not replace more of the
        line than the expected one does.
        """
        if isinstance(result, Drop):
            wanted = f"drop: {self.drop}" if self.drop else repr(self.expected)
            return "" if result.reason == self.drop else f"dropped as {result.reason}, not {wanted}"
        if self.expected is None:
            return f"shown as {result.text!r}, not drop: {self.drop}"
        same = _accepted(self, result.text, result.num_replaced_chars) == _accepted(
            self, self.expected, self.replaces
        )
        if same and result.num_replaced_chars <= self.replaces:
            return ""
        return (
            f"{result.text!r} replaces {result.num_replaced_chars}, "
            f"not {self.expected!r} replaces {self.replaces}"
        )


class GoldenProject:
    """What a case says of its project. Packages from elsewhere are never known not to exist."""

    def __init__(self, case: Case) -> None:
        self._case = case

    def has_module(self, language: str, name: str) -> bool | None:
        del language
        if name in self._case.modules:
            return True
        return False if name.startswith(".") else None

    def has_name(self, language: str, name: str) -> bool:
        del language
        return name in self._case.names

    def has_attribute(self, language: str, name: str) -> bool:
        del language
        return name in self._case.attributes


def golden_files() -> list[Path]:
    return sorted(FOLDER.glob("*.txt"))


def read_cases(path: Path) -> list[Case]:
    """All cases of one file, whose name is `family.language.txt`.

    Raises:
        ValueError: a line or a case is not as docs/golden.md says; the message names file and line.
    """
    family, language, _ = path.name.split(".")
    if language not in SUFFIXES:
        raise ValueError(f"{path.name}: unknown language {language}")
    cases: list[Case] = []
    fields: list[tuple[str, str]] = []
    start = 0
    lines = path.read_text(encoding="utf-8").split("\n")
    for number, line in enumerate([*lines, "=== end"], 1):
        try:
            if line.startswith("=== "):
                if start:
                    cases.append(_case(fields, language, family))
                fields, start = [("title", line[4:])], number
            elif line:
                _add_line(fields, line)
        except ValueError as error:
            raise ValueError(f"{path.name}:{number} (case of line {start}): {error}") from error
    titles = [case.title for case in cases]
    if len(set(titles)) != len(titles):
        raise ValueError(f"{path.name}: two cases have the same title")
    return cases


def _add_line(fields: list[tuple[str, str]], line: str) -> None:
    if line.startswith("|"):
        name, text = fields[-1]
        if name not in TEXTS:
            raise ValueError("a line of text without a field")
        fields[-1] = (name, text + _text_of(line) + "\n")
        return
    match = re.fullmatch(r"([a-z]+):(?: (\S.*))?", line)
    if match is None or (match[1] in TEXTS) == bool(match[2]):
        raise ValueError(f"neither a field nor a line of text: {line!r}")
    fields.append((match[1], match[2] or ""))


def _text_of(line: str) -> str:
    text = line[1:]
    if text != text.rstrip() or "\t" in text:
        raise ValueError(
            "invisible white space; write ␉ for a tab, ¦ behind spaces that end a line"
        )
    return text.removesuffix(END).translate(CONTROL_PICTURES)


def _case(fields: list[tuple[str, str]], language: str, family: str) -> Case:
    given: dict[str, object] = {"language": language, "expected": None}
    given["path"] = str(PurePosixPath("src") / f"{family}{SUFFIXES[language]}")
    rejected: list[str] = []
    for name, value in fields:
        if name == "rejected":
            rejected.append(value[:-1])
        elif name in TEXTS:
            given[name] = value[:-1]
        elif name in {"modules", "names", "attributes"}:
            given[name] = tuple(value.split(", "))
        else:
            given[name] = int(value) if name == "replaces" else value
    names = [name for name, _ in fields if name != "rejected"]
    if len(set(names)) != len(names) or not set(names) <= set(Case.__struct_fields__):
        raise ValueError(f"fields are given twice or unknown: {names}")
    case = msgspec.convert({**given, "rejected": tuple(rejected)}, Case, strict=True)
    if case.document.count(CURSOR) != 1:
        raise ValueError("the document needs exactly one cursor mark")
    if (case.expected is None) != bool(case.drop):
        raise ValueError("either an expected completion or a drop reason")
    return case


def _accepted(case: Case, text: str, num_replaced_chars: int) -> str:
    return case.prefix + text + case.suffix[num_replaced_chars:]
