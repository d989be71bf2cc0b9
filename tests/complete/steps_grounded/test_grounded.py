"""What a completion makes up is flagged, and dropped only where nobody can have meant something else."""

from __future__ import annotations

import random
import re
import sysconfig
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.complete.project import ProjectIndex
from paceline.complete.scene import ProjectNames, Scene
from paceline.complete.steps.grounded import KINDS, flag_ungrounded
from paceline.core.types import Candidate, Cursor, Document, Drop
from tests.work import lines_run

EMPTY = ProjectIndex()


def scene(
    before: str, after: str = "", path: str = "shop/a.py", project: ProjectNames | None = EMPTY
) -> Scene:
    document = Document(path=path, text=before + after)
    return Scene(Cursor(document=document, offset=len(before)), "multi_line", project=project)


def judge(there: Scene, text: str, finish_reason: str = "stop") -> str:
    """Text and flags of what is shown; a drop's reason in brackets."""
    candidate = Candidate(text=text, finish_reason=finish_reason, flags=("other",))
    judged = flag_ungrounded(candidate, there)
    if isinstance(judged, Drop):
        return f"[{judged.reason}]"
    assert flag_ungrounded(judged, there) == judged
    return " ".join([judged.text, *(flag for flag in judged.flags if flag != "other")])


BOX = "class Box:\n    def __init__(self, width):\n        self.width = width\n\n    def area(self):\n        return "


@pytest.mark.parametrize(
    ("before", "text", "after", "shown"),
    [
        ("def f(a):\n    return ", "frobnicate(a)", "", "[unknown_name]"),
        ("def f(a):\n    return frob", "nicate(a)", "", "[unknown_name]"),
        ("def f(a):\n    return ", "a.frobnicate()", "", "a.frobnicate() unknown_attribute:frobnicate"),
        ("def f(a):\n    return ", "a.append(1)", "", "a.append(1)"),
        ("def f(a):\n    b = 1\n\ndef g(c):\n    return ", "b + c", "", "b + c unknown_name:b"),
        ("def f(a):\n    return ", "json.dumps(a)", "", "json.dumps(a) unknown_name:json"),
        ("def f(a):\n    return ", "g(a, key=b)", "\n\ndef g(): ...\nb = 1\n", "g(a, key=b)"),
        ("def f(a):\n    try:\n        ", "frobnicate()", "\n    except NameError: ...", "frobnicate() unknown_name:frobnicate"),
        ("exec(code)\ndef f(a):\n    return ", "frobnicate(a)", "", "frobnicate(a) unknown_name:frobnicate"),
        ("def f(a):\n    ((\n    return ", "frobnicate(a)", "", "frobnicate(a) unknown_name:frobnicate"),
        ("x = [", "y for y in range(3) if y", "]", "y for y in range(3) if y"),
        ("x = [y for y in range(3) if ", "y", "]", "y"),
        ("def f[T](a: list[T]) -> ", "T:", "", "T:"),
        (BOX, "self.width * self.depth", "", "[unknown_attribute]"),
        (BOX, "self.width", "", "self.width"),
        (BOX.replace("Box", "BoxMixin"), "self.depth", "", "self.depth unknown_attribute:depth"),
        (BOX.replace("Box", "Box(Shape)"), "self.depth", "", "self.depth unknown_attribute:depth"),
        ("@frozen\n" + BOX, "self.depth", "", "self.depth unknown_attribute:depth"),
        (BOX + "1\n\n    @staticmethod\n    def f(self):\n        return ", "self.depth", "", "self.depth unknown_attribute:depth"),
    ],
)  # fmt: skip
def test_python(before: str, text: str, after: str, shown: str) -> None:
    assert judge(scene(before, after), text) == shown


def test_what_stands_before_is_kept() -> None:
    there = scene("def f(a):\n    ")
    good = "b = a + 1\n    if b:\n        b = 2"
    assert judge(there, f"{good}\n    return frobnicate(b)") == good
    assert judge(there, "if a:\n        return frobnicate(a)") == "[unknown_name]"
    call = "b = sum(\n        a,\n        frobnicate,\n    )\n    return b"
    assert judge(there, call) == "[unknown_name]"
    assert judge(there, f"{good}\n    {call}") == good


def test_an_unfinished_word_is_not_judged() -> None:
    there = scene("def f(a):\n    return ")
    assert judge(there, "a + frobni", "length") == "a + frobni"
    assert judge(there, "a + frobni", "stop") == "[unknown_name]"


def test_nothing_is_certain_without_the_whole_document() -> None:
    text, flagged = "frobnicate(a)", "frobnicate(a) unknown_name:frobnicate"
    before = "def f(a):\n    return "
    for path in ("shop/a.ipynb", "SConstruct", ""):
        document = Document(path=path, text=before, language="python")
        there = Scene(Cursor(document=document, offset=len(before)), project=EMPTY)
        assert judge(there, text) == flagged
    assert judge(scene(before, project=None), text) == flagged
    known = ProjectIndex()
    known.update(Document(path="shop/b.py", text="def frobnicate(): ..."))
    assert judge(scene(before, project=known), text) == text


def test_imports(tmp_path: Path) -> None:
    for name in (
        "shop/prices.py",
        "web/users.ts",
        "rust/main.rs",
        ".venv/lib/python3/site-packages/six.py",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")

    def shown(path: str, text: str, before: str = "") -> str:
        view = ProjectIndex().seen_from(Document(path=path, text=""), str(tmp_path))
        return judge(scene(before, path=path, project=view), text)

    good = "from .prices import net\n\nTOTAL = 2"
    assert shown("shop/a.py", good) == good
    assert shown("shop/a.py", "from .discounts import rebate") == "[unknown_import]"
    assert shown("shop/a.py", good + "\nfrom .taxes import vat") == good
    assert shown("shop/a.py", "import six, orjson_tools").endswith(" unknown_import:orjson_tools")
    guarded = "try:\n    from .fast import net\nexcept ImportError:\n    net = None"
    assert shown("shop/a.py", guarded) == guarded + " unknown_import:.fast"
    assert shown("web/a.ts", 'import { a } from "./users";').endswith('users";')
    assert shown("web/a.ts", 'export * from "./teams";') == "[unknown_import]"
    assert shown("web/a.ts", 'await import("./teams");') == "[unknown_import]"
    assert shown("web/a.ts", "await import(`./${name}`);").endswith(";")
    assert shown("web/a.ts", 'import x from "left-pad";').endswith(";")
    assert shown("rust/main.rs", "mod net;") == "[unknown_import]"
    assert shown("rust/main.rs", "mod net;", '#[path = "x.rs"]\n') == "mod net;"
    assert shown("rust/main.rs", "mod net { }") == "mod net { }"


def places(num_files: int) -> list[tuple[str, int, str]]:
    """Rests of lines and blocks of the standard library: (text, offset, truth)."""
    rng = random.Random(11)
    found: list[tuple[str, int, str]] = []
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))[3::9][:num_files]:
        text = path.read_text(encoding="utf-8")
        lines = [match for match in re.finditer(r"(?m)^ +\S.*$", text) if len(match[0]) > 12]
        for match in rng.sample(lines, min(4, len(lines))):
            start = rng.randint(match.start() + 4, match.end() - 1)
            found.append((text, start, text[start : match.end()]))
            end = text.find("\n\n", match.start())
            found.append((text, match.start(), text[match.start() : min(end, match.start() + 800)]))
    return found


def test_the_truth_is_not_judged_wrongly() -> None:
    results: list[Candidate | Drop] = []
    for text, offset, truth in places(14):
        there = scene(text[:offset], text[offset + len(truth) :])
        results.append(flag_ungrounded(Candidate(text=truth), there))
    shown = [result for result in results if isinstance(result, Candidate)]
    assert len(results) > 80
    assert len(shown) == len(results)
    assert sum("unknown_name" in str(result.flags) for result in shown) <= 0.03 * len(results)


@settings(max_examples=60, deadline=None)
@given(
    path=st.sampled_from(["a.py", "a.ts", "a.rs", "a.go", "a"]),
    before=st.text(alphabet=st.one_of(st.characters(), st.sampled_from("def import(:\n self.é\0\ud800")), max_size=80),
    text=st.text(alphabet=st.one_of(st.characters(), st.sampled_from("from . import x\nmod;'\ud800")), max_size=80),
    replaced=st.integers(0, 3),
)  # fmt: skip
def test_any_text(path: str, before: str, text: str, replaced: int) -> None:
    there = scene(before, "abc\n", path)
    judged = flag_ungrounded(Candidate(text=text, num_replaced_chars=replaced), there)
    if isinstance(judged, Candidate):
        assert text.startswith(judged.text) and flag_ungrounded(judged, there) == judged
        assert all(flag.startswith(KINDS) for flag in judged.flags)
    else:
        assert judged.reason in KINDS


def test_deep_and_long_code() -> None:
    deep = scene("x = " + "(" * 3_000)
    assert judge(deep, "y" + ")" * 3_000)
    line = scene("x = [" + "1, " * 300_000)
    assert judge(line, "frobnicate]")


@pytest.mark.parametrize(
    ("text", "per_function"),
    [("b = a.x\n    return b.y", 0), ("b = a.x + f1(a)\n    return b.x", 20)],
)
def test_work_in_a_long_file(text: str, per_function: int) -> None:
    """What the module defines is asked only for names that the function itself does not have."""

    def work(num_functions: int) -> int:
        bodies = (f"def f{n}(a, b):\n    c = a.x + {n}\n    return c" for n in range(num_functions))
        there = scene("\n\n".join(bodies) + "\n\n\ndef g(a):\n    ")
        flag_ungrounded(Candidate(text=text), there)
        return lines_run(lambda: flag_ungrounded(Candidate(text=text), there))

    assert work(500) <= work(5) + 500 * per_function
