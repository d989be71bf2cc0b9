"""The house itself: its rooms are described, stay apart from torch, and its own checks catch what they should."""

from __future__ import annotations

import ast
import asyncio
import configparser
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import paceline
from paceline.core.errors import EmptyPromptError, UnknownModelError
from paceline.generate.types import GenerateParams, PromptParts, TextChunk
from tests.fakes import ByteTokenizer, FakeClock, FakeGenerator

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src/paceline"
PACKAGES = sorted(path.parent.name for path in SOURCE.glob("*/__init__.py"))
TORCH_ROOMS = {"model", "train", "engine", "fleet"}

IMPORT_WITHOUT_TORCH = """
import importlib, sys, traceback
sys.modules["torch"] = None
failed = 0
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except Exception:
        failed += 1
        print(f"--- {name}", file=sys.stderr)
        traceback.print_exc(limit=-3)
sys.exit(1 if failed else 0)
"""


def torch_free_modules() -> list[str]:
    """Every module that a machine without torch must be able to import, configs of torch rooms included."""
    paths = [
        path
        for path in sorted(SOURCE.rglob("*.py"))
        if path.relative_to(SOURCE).parts[0] not in TORCH_ROOMS or path.name == "config.py"
    ]
    names = (path.relative_to(SOURCE.parent).with_suffix("").parts for path in paths)
    return [".".join(parts).removesuffix(".__init__") for parts in names]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, cwd=ROOT, check=False
    )


def test_only_the_torch_rooms_need_torch() -> None:
    modules = [name for name in torch_free_modules() if not name.endswith("__main__")]
    result = run("-c", IMPORT_WITHOUT_TORCH, *modules)
    assert result.returncode == 0, result.stderr


def test_help_needs_no_extra() -> None:
    """`make serve` installs one extra only; the page of all subcommands must still be printed."""
    blocked = ["torch", "numpy", "tokenizers", "zstandard", "fastapi", "uvicorn", "matplotlib"]
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({blocked!r}));"
        "from paceline.cli.main import main; main()"
    )
    result = run("-c", code, "--help")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "corpus" in result.stdout
    assert "train" in result.stdout


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_says_what_it_is(package: str) -> None:
    tree = ast.parse((SOURCE / package / "__init__.py").read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)


def test_a_new_package_is_under_every_contract() -> None:
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    listed = contracts["importlinter:contract:no-torch"]["source_modules"].split()
    ordinary = set(PACKAGES) - TORCH_ROOMS
    assert {name.removeprefix("paceline.") for name in listed} == ordinary - {"cli"}
    strict = json.loads((ROOT / "pyrightconfig.json").read_text())["strict"]
    assert ordinary <= {Path(folder).name for folder in strict}


def test_the_version_has_one_value() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert paceline.__version__ == project["version"]


def test_sizes_name_the_offender(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/long.py").write_text("x = 1\n" * 501)
    (tmp_path / "src/deep.py").write_text("\n\ndef f():\n" + "    x = 1\n" * 60)
    (tmp_path / "big.bin").write_bytes(b"\0" * 1_000_001)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    subprocess.run(["git", "-C", str(tmp_path), "add", "."], check=True)
    result = run("tools/check_sizes.py", str(tmp_path))
    assert result.returncode == 1
    places = [line.split(" ")[0] for line in result.stdout.splitlines()[:-1]]
    assert places == ["src/deep.py:3:", "src/long.py:1:", "big.bin:1:"]


PAGE = """# A page
[good](docs/other.md#two-words) [gone](gone.md) [no such heading](docs/other.md#three) `[code](x.md)`
```console
$ paceline serve --port 1 | cat
$ make serve PORT=1
$ X=1 paceline serv
paceline output, not a command
$ paceline serve --prot 1
$ make sreve
```
"""


def test_docs_name_the_fault(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text(PAGE)
    (tmp_path / "Makefile").write_text("serve:\n\ttrue\n")
    (tmp_path / "docs/other.md").write_text("## Two words\n")
    (tmp_path / "docs/architecture.md").write_text("- `core` words\n")
    for package in ("core", "cellar"):
        (tmp_path / "src/paceline" / package).mkdir(parents=True)
        (tmp_path / "src/paceline" / package / "__init__.py").write_text('"""A room."""\n')
    result = run("tools/check_docs.py", str(tmp_path))
    assert result.returncode == 1, result.stderr
    faults = result.stdout.splitlines()[:-1]
    assert len(faults) == 6, faults
    assert "`cellar`" in faults[0]
    assert faults[1].startswith("README.md:2: gone.md does not exist")
    assert faults[2] == "README.md:2: docs/other.md has no heading #three."
    assert "'serv' is none of its subcommands" in faults[3]
    assert faults[4].endswith("has no option --prot.")
    assert faults[5].endswith("has no target 'sreve'.")


async def collect(generator: FakeGenerator, params: GenerateParams) -> list[TextChunk]:
    return [chunk async for chunk in generator.stream(PromptParts(prefix="a"), params)]


@pytest.mark.parametrize(
    ("params", "text", "reason"),
    [
        (GenerateParams(), "return 1\n", "stop"),
        (GenerateParams(max_tokens=2), "return 1", "length"),
        (GenerateParams(stop=("n 1",)), "retur", "stop"),
        (GenerateParams(stop=("\n", "1")), "return ", "stop"),
    ],
)
def test_the_fake_generator_keeps_the_protocol(
    params: GenerateParams, text: str, reason: str
) -> None:
    chunks = asyncio.run(collect(FakeGenerator(), params))
    assert "".join(chunk.text for chunk in chunks) == text
    assert [chunk.finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + [reason]
    assert sum(chunk.num_tokens for chunk in chunks) <= params.max_tokens


def test_the_fake_generator_refuses_and_counts_cancelled_streams() -> None:
    async def read_one(generator: FakeGenerator, prefix: str, model_id: str | None = None) -> None:
        stream = generator.stream(PromptParts(prefix=prefix), GenerateParams(), model_id=model_id)
        await anext(stream)
        await stream.aclose()

    generator = FakeGenerator()
    with pytest.raises(EmptyPromptError):
        asyncio.run(read_one(generator, ""))
    with pytest.raises(UnknownModelError):
        asyncio.run(read_one(generator, "a", "other"))
    asyncio.run(read_one(generator, "a"))
    assert (len(generator.calls), generator.num_cancelled) == (1, 1)


def test_the_fake_clock_and_tokenizer() -> None:
    clock = FakeClock(now_ms=5)
    clock.advance(ms=1.5)
    assert clock.now_ms() == 6.5
    tokenizer = ByteTokenizer()
    end = tokenizer.special_id("<end>")
    assert tokenizer.decode([*tokenizer.encode("é"), end]) == "é<end>"
