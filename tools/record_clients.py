"""Record the clients that CI runs: openai-python, tabby-agent, Neovim. The others: tools/try_*.py --record.

python tools/record_clients.py [openai] [tabby] [neovim]      writes tests/wire/<client>/*.json; without names all
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import openai

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.e2e.app_thread import running_app
from tests.e2e.neovim import running_neovim
from tests.e2e.test_tabby_agent import (
    complete_over_lsp,
    running_agent,
    show_and_select,
    write_config,
)
from tests.scripted import create_scripted
from tools.record_wire import Recorder, Scrubber, save

ROOT = Path(__file__).resolve().parents[1]
WIRE = ROOT / "tests" / "wire"
PROMPT = "def area(width, height):\n    return w"


@contextmanager
def recording(name: str, client: str) -> Iterator[tuple[str, Path]]:
    """The address of a recorded server, and a folder of the client's own."""
    with tempfile.TemporaryDirectory() as folder, running_app(create_scripted().app) as url:
        recorder = Recorder(url)
        with running_app(recorder) as proxy:
            yield proxy, Path(folder)
        scrubber = Scrubber([Path(folder)])
    save(WIRE / name, client, "exchanges", recorder.exchanges, scrubber)


def record_openai() -> None:
    """Every form of request that the package has for text completions."""
    with (
        recording("openai_python/completions.json", f"openai {version('openai')}") as (url, _),
        openai.OpenAI(base_url=f"{url}/v1", api_key="secret", max_retries=0) as client,
    ):
        model = client.models.list().data[0].id
        create = client.completions.create
        create(model=model, prompt=PROMPT, max_tokens=16)
        create(model=model, prompt=PROMPT, suffix="\n", n=2, logprobs=2, echo=False, stop=["\n"])
        create(model=model, prompt=PROMPT, echo=True, max_tokens=4)
        with create(
            model=model, prompt=PROMPT, stream=True, stream_options={"include_usage": True}
        ) as stream:
            list(stream)
        with contextlib.suppress(openai.APIStatusError):
            client.embeddings.create(model=model, input="def area(")
        with contextlib.suppress(openai.APIStatusError):
            create(model="unknown", prompt=PROMPT)


def record_tabby() -> None:
    """The language server, and the agent of Tabby's Vim plugin."""
    with recording("tabby_agent/lsp.json", "tabby-agent 1.5.0, --lsp") as (url, home):
        write_config(home, url)
        asyncio.run(complete_over_lsp(home))
    with recording("tabby_agent/lines.json", "tabby-agent 1.5.0") as (url, home):
        write_config(home, url)
        with running_agent(home) as agent:
            show_and_select(agent)


def record_neovim() -> None:
    """The messages of JSON-RPC between Neovim and `paceline lsp`, until it ends."""
    out = WIRE / "neovim" / "lsp.json"
    with (
        tempfile.TemporaryDirectory() as folder,
        running_app(create_scripted().app) as url,
    ):
        path = Path(folder) / "shapes.py"
        path.write_text("def area(width, height):\n", encoding="utf-8")
        recorder = [sys.executable, str(ROOT / "tools" / "record_wire.py"), "stdio", str(out)]
        recorder += ["--client", "Neovim 0.12.0-dev (fbb1caf)", "--folder", folder, "--"]
        server = [sys.executable, "-m", "paceline.cli.main", "lsp", "--server", url]
        with running_neovim([*recorder, *server], path) as neovim:
            neovim.press("o    return w")
            neovim.wait_for(neovim.ghost_text, "ghost text")
            neovim.accept()
            neovim.wait_for(lambda: "height\n" in neovim.text()[30:], "the accepted text")
            neovim.stop_language_server()


RECORDERS = {"openai": record_openai, "tabby": record_tabby, "neovim": record_neovim}

if __name__ == "__main__":
    for name in sys.argv[1:] or RECORDERS:
        RECORDERS[name]()
        print(f"{name}: recorded")
