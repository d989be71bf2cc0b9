"""The playground in a real browser: first before a scripted model, then before the real server.

Every test also asserts that the page asks no host but this machine and logs no error of its own.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from tests.e2e.server_process import find_free_port, running_server
from tests.e2e.stub_server import HALF_WRITTEN, ScriptedModel, finish_example, running_stub

pytestmark = pytest.mark.e2e

WAIT_MS = 60_000
"""Longest wait for a state of the page; a CI machine shares its cores with others."""
BROWSER_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-quic",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
]

SHIPPED_MODELS = Path(__file__).parents[2] / "models"

WHOLE = "def area(width, height):\n    return width * height"
TYPED = "def area("
REST = WHOLE.removeprefix(TYPED)


def continue_whole(prefix: str, _suffix: str) -> str:
    """Answer with what is left of WHOLE, once the prefix says which way it goes."""
    is_begun = prefix.startswith("def ") and WHOLE.startswith(prefix)
    return WHOLE.removeprefix(prefix) if is_begun else ""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests of this file."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    assert path, (
        "No Chromium: set CHROMIUM=/path, or install it (Debian: apt-get install chromium)."
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=BROWSER_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An empty page that watches its own network and console."""
    page = browser.new_page(viewport={"width": 1200, "height": 720})
    page.set_default_timeout(WAIT_MS)
    expect.set_options(timeout=WAIT_MS)
    hosts: set[str | None] = set()
    complaints: list[str] = []
    page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    # Chromium itself logs a failed fetch, which tests of a dead server want; all else is a fault.
    page.on(
        "console",
        lambda message: (
            complaints.append(message.text)
            if message.type in {"error", "warning"} and "Failed to load resource" not in message.text
            else None
        ),
    )  # fmt: skip
    yield page
    page.close()
    assert hosts <= {"127.0.0.1"}
    assert complaints == []


@pytest.fixture
def model() -> ScriptedModel:
    """A model that continues WHOLE."""
    return ScriptedModel(continue_whole)


@pytest.fixture
def stub_port() -> int:
    """A port that the test's stub servers share, one after the other."""
    return find_free_port()


@pytest.fixture
def stub_page(page: Page, model: ScriptedModel, stub_port: int) -> Iterator[Page]:
    """The playground before the scripted model, ready to type."""
    with running_stub(model, port=stub_port) as url:
        open_playground(page, url)
        yield page


def open_playground(page: Page, url: str) -> None:
    page.goto(f"{url}/")
    expect(page.locator(".cm-content")).to_be_focused()


def ghost(page: Page) -> Locator:
    return page.locator(".cm-ghost-text")


def expect_ghost(page: Page, text: str) -> None:
    """Wait for exactly this ghost text; line breaks and spaces count."""
    expect(ghost(page)).to_be_visible()
    # `to_have_text` would fold white space.
    expect(ghost(page)).to_have_js_property("textContent", text)
    assert page.evaluate("window.paceline.ghostText()") == text


def text_of(page: Page) -> str:
    """What the editor holds, without ghost text."""
    return page.evaluate("window.paceline.text()")


def wait_until_asked(page: Page, model: ScriptedModel, *, times: int) -> None:
    """Wait until /infill was asked this often, in all."""
    for _ in range(WAIT_MS // 20):
        if len(model.bodies) >= times:
            break
        page.wait_for_timeout(20)
    assert len(model.bodies) == times


def type_and_wait(page: Page, model: ScriptedModel, keys: str) -> None:
    """Type key by key, each when the one before has asked: a request cancelled early is never sent."""
    for key in keys:
        num_asked = len(model.bodies)
        page.keyboard.type(key)
        wait_until_asked(page, model, times=num_asked + 1)


def expect_settled(page: Page) -> None:
    """Wait until nothing is in flight."""
    expect(page.locator("#state")).to_have_text("idle")


def test_every_keystroke_asks_with_the_text_around_the_cursor(
    stub_page: Page, model: ScriptedModel
) -> None:
    type_and_wait(stub_page, model, "de")
    stub_page.keyboard.press("ArrowLeft")
    type_and_wait(stub_page, model, "x")
    parts = [(body["input_prefix"], body["input_suffix"]) for body in model.bodies]
    assert parts == [("d", ""), ("de", ""), ("dx", "e")]
    session_id = model.bodies[0]["session_id"]
    assert len(session_id) > 20
    assert model.bodies[0] == {
        "input_prefix": "d",
        "input_suffix": "",
        "filename": "playground.py",
        "session_id": session_id,
        "document_id": "document-1",
        "trigger": "automatic",
    }, "how much to write is the server's decision"
    assert {body["session_id"] for body in model.bodies} == {session_id}


def test_each_page_is_a_session_and_each_example_a_document(
    stub_page: Page, model: ScriptedModel
) -> None:
    model.answer = finish_example
    titles = stub_page.locator("#examples option").all_text_contents()[1:3]
    for title in titles:
        stub_page.locator("#examples").select_option(title)
        expect(ghost(stub_page)).to_be_visible()
    stub_page.reload()
    type_and_wait(stub_page, model, "x")
    sessions = [(body["session_id"], body["document_id"]) for body in model.bodies]
    assert [document for _, document in sessions] == ["document-2", "document-3", "document-1"]
    assert sessions[0][0] == sessions[1][0] != sessions[2][0]


def test_tab_accepts_all_lines(stub_page: Page) -> None:
    stub_page.keyboard.type(TYPED)
    expect_ghost(stub_page, REST)
    stub_page.keyboard.press("Tab")
    expect(ghost(stub_page)).to_have_count(0)
    assert text_of(stub_page) == WHOLE
    expect(stub_page.locator("#accepted")).to_have_text(f"{len(REST)} chars accepted")
    stub_page.keyboard.press("Control+z")
    assert text_of(stub_page) == TYPED


def test_tab_indents_when_nothing_is_shown(stub_page: Page) -> None:
    stub_page.keyboard.type("x = 1")
    expect_settled(stub_page)
    stub_page.keyboard.press("Tab")
    assert text_of(stub_page) == "    x = 1"


def test_escape_dismisses_until_the_next_edit(stub_page: Page, model: ScriptedModel) -> None:
    stub_page.keyboard.type(TYPED)
    expect_ghost(stub_page, REST)
    num_asked = len(model.bodies)
    stub_page.keyboard.press("Escape")
    expect(ghost(stub_page)).to_have_count(0)
    assert text_of(stub_page) == TYPED
    stub_page.keyboard.type(REST[0])
    expect_ghost(stub_page, REST[1:])
    assert len(model.bodies) == num_asked + 1


def test_typing_what_is_shown_asks_nothing_and_does_not_flicker(
    stub_page: Page, model: ScriptedModel
) -> None:
    stub_page.keyboard.type(TYPED)
    expect_ghost(stub_page, REST)
    num_asked = len(model.bodies)
    ghost(stub_page).evaluate("element => { element.isTheSame = true }")
    for num_typed in range(1, 6):
        stub_page.keyboard.type(REST[num_typed - 1])
        expect_ghost(stub_page, REST[num_typed:])
    assert ghost(stub_page).evaluate("element => element.isTheSame") is True
    assert text_of(stub_page) == TYPED + REST[:5]
    stub_page.keyboard.type("!")
    wait_until_asked(stub_page, model, times=num_asked + 1)
    assert model.bodies[-1]["input_prefix"] == TYPED + REST[:5] + "!"


def test_asks_again_when_the_ghost_text_is_used_up(stub_page: Page, model: ScriptedModel) -> None:
    model.answer = lambda prefix, _suffix: "n" if prefix.endswith("i") else ""
    stub_page.keyboard.type("i")
    expect_ghost(stub_page, "n")
    stub_page.keyboard.type("n")
    wait_until_asked(stub_page, model, times=2)
    assert model.bodies[-1]["input_prefix"] == "in"


def test_typing_something_else_hides_the_ghost_text_at_once(
    stub_page: Page, model: ScriptedModel
) -> None:
    stub_page.keyboard.type(TYPED)
    expect_ghost(stub_page, REST)
    model.is_held = True
    type_and_wait(stub_page, model, "x")
    assert ghost(stub_page).count() == 0
    expect(stub_page.locator("#state")).to_have_text("asking")


def test_a_late_answer_for_older_text_is_never_shown(stub_page: Page, model: ScriptedModel) -> None:
    model.is_held = True
    model.answer = lambda prefix, _suffix: f"<{prefix}>"
    type_and_wait(stub_page, model, "abc")
    model.is_held = False
    expect_ghost(stub_page, "<abc>")
    expect(stub_page.locator("#shown")).to_have_text("1 shown")
    model.is_held = True
    type_and_wait(stub_page, model, "d")
    stub_page.keyboard.press("ArrowLeft")
    model.is_held = False
    expect_settled(stub_page)
    stub_page.wait_for_timeout(200)  # a wrong answer would need this long at most
    assert ghost(stub_page).count() == 0


def test_moving_the_cursor_dismisses_and_does_not_ask(
    stub_page: Page, model: ScriptedModel
) -> None:
    stub_page.keyboard.type(TYPED)
    expect_ghost(stub_page, REST)
    num_asked = len(model.bodies)
    stub_page.keyboard.press("Home")
    expect(ghost(stub_page)).to_have_count(0)
    stub_page.keyboard.type("x")
    wait_until_asked(stub_page, model, times=num_asked + 1)
    assert model.bodies[-1]["input_prefix"] == "x"


def test_the_next_word_is_accepted_by_itself(stub_page: Page, model: ScriptedModel) -> None:
    stub_page.keyboard.type(TYPED)
    expect_ghost(stub_page, REST)
    num_asked = len(model.bodies)
    for accepted in ("width", ",", " height", "):", "\n    return"):
        before = text_of(stub_page)
        stub_page.keyboard.press("Control+ArrowRight")
        assert text_of(stub_page) == before + accepted
    expect_ghost(stub_page, " width * height")
    assert len(model.bodies) == num_asked


@pytest.mark.parametrize("keys", ["Alt+Backslash", "Control+Space"])
def test_keys_ask_by_hand(stub_page: Page, model: ScriptedModel, keys: str) -> None:
    stub_page.keyboard.type(TYPED)
    expect_ghost(stub_page, REST)
    stub_page.keyboard.press("Escape")
    num_asked = len(model.bodies)
    stub_page.keyboard.press(keys)
    expect_ghost(stub_page, REST)
    assert len(model.bodies) == num_asked + 1
    assert [body["trigger"] for body in model.bodies[-2:]] == ["automatic", "invoked"]
    assert text_of(stub_page) == TYPED


def test_nothing_is_asked_for_an_empty_document_or_a_selection(
    stub_page: Page, model: ScriptedModel
) -> None:
    stub_page.keyboard.press("Alt+Backslash")
    type_and_wait(stub_page, model, "x")
    stub_page.keyboard.press("Shift+Home")
    stub_page.keyboard.press("Alt+Backslash")
    stub_page.keyboard.press("Delete")
    assert text_of(stub_page) == ""
    type_and_wait(stub_page, model, "y")
    assert [body["input_prefix"] for body in model.bodies] == ["x", "y"]


def test_an_example_asks_at_its_cursor(stub_page: Page, model: ScriptedModel) -> None:
    model.answer = finish_example
    titles = stub_page.locator("#examples option").all_text_contents()[1:]
    assert len(titles) == len(HALF_WRITTEN)
    for title, (_, completion) in zip(titles, HALF_WRITTEN, strict=True):
        stub_page.locator("#examples").select_option(title)
        expect_ghost(stub_page, completion)
        expect(stub_page.locator(".cm-content")).to_be_focused()
        prefix, suffix = (model.bodies[-1][name] for name in ("input_prefix", "input_suffix"))
        assert prefix + suffix == text_of(stub_page)
        compile(prefix + completion + suffix, title, "exec")
        stub_page.keyboard.press("Escape")


def test_the_status_bar_tells_model_time_and_counts(stub_page: Page) -> None:
    expect(stub_page.locator("#model")).to_have_text("scripted-model")
    stub_page.keyboard.type(TYPED)
    expect_ghost(stub_page, REST)
    expect_settled(stub_page)
    expect(stub_page.locator("#shown")).not_to_have_text("0 shown")
    round_trip = stub_page.locator("#round-trip")
    assert int((round_trip.text_content() or "").removesuffix(" ms")) >= 0
    assert "prefill 3.3 ms · decode 8.5 ms" in (round_trip.get_attribute("title") or "")
    expect(stub_page.locator("#announcement[aria-live=polite]")).to_contain_text(
        f"Completion: {REST}"
    )


def test_the_status_bar_tells_what_the_server_decided(
    stub_page: Page, model: ScriptedModel
) -> None:
    decision, link = stub_page.locator("#decision"), stub_page.locator("#trace")
    expect(link).to_be_hidden()
    stub_page.keyboard.type(TYPED)
    expect_ghost(stub_page, REST)
    expect(decision).to_have_text("single line · from the model · 63 % likely kept")
    expect(link).to_have_attribute("href", f"v1/requests/cmpl-{len(model.bodies):032x}/trace")
    expect(link).to_have_text("cmpl-00000000")
    model.note = {"mode": "block_body", "source": "prefetch", "probability": None}
    stub_page.keyboard.press("Control+Space")
    expect(decision).to_have_text("block body · asked ahead")
    model.answer = lambda _prefix, _suffix: ""
    model.note = {"source": "none", "drop_reason": "mid_word"}
    stub_page.keyboard.type("!")
    expect(decision).to_have_text("single line · nothing: mid word")


def test_the_servers_own_sentence_is_shown(stub_page: Page, model: ScriptedModel) -> None:
    model.error = (503, "7 requests are queued; retry after 300 ms.")
    stub_page.keyboard.type("x")
    state = stub_page.locator("#state")
    expect(state).to_have_text("7 requests are queued; retry after 300 ms.")
    expect(state).to_have_attribute("data-state", "error")
    model.error = None
    stub_page.keyboard.type("y")
    expect_settled(stub_page)


def test_a_dead_server_is_told_and_its_return_is_noticed(
    page: Page, model: ScriptedModel, stub_port: int
) -> None:
    with running_stub(model, port=stub_port) as url:
        open_playground(page, url)
    page.keyboard.type("def ")
    expect(page.locator("#state")).to_contain_text("The server does not answer")
    assert ghost(page).count() == 0
    with running_stub(model, port=stub_port):
        page.keyboard.type("area(")
        expect_ghost(page, REST)
        expect_settled(page)


def type_until_ghost_text(page: Page, text: str) -> None:
    """Type `text` and stop at the end of the first line where something is offered, if need be by hand."""
    for line in text.splitlines():
        page.keyboard.type(line)
        expect_settled(page)
        if not ghost(page).count():
            page.keyboard.press("Control+Space")
            expect_settled(page)
        if ghost(page).count():
            return
        page.keyboard.press("Enter")
    raise AssertionError("the server offered nothing anywhere in the text")


@pytest.mark.parametrize("is_shipped", [False, True], ids=["tiny_model", "shipped_model"])
def test_the_real_server_completes(page: Page, tiny_model: Path, is_shipped: bool) -> None:
    if is_shipped and not list(SHIPPED_MODELS.glob("*/config.json")):
        pytest.fail("models/ holds no model, but the repository ships one")
    args = [] if is_shipped else ["--model", str(tiny_model)]
    with running_server(*args) as url:
        open_playground(page, url)
        model_id = page.locator("#model")
        expect(model_id).not_to_have_text("")
        assert is_shipped or model_id.text_content() == tiny_model.name
        type_until_ghost_text(page, "import os\n\ndef read_text(path):\nwith open(path) as ")
        typed = text_of(page)
        offered: Any = page.evaluate("window.paceline.ghostText()")
        assert offered
        trace = page.request.get(f"{url}/{page.locator('#trace').get_attribute('href')}")
        assert trace.json()["outcome"] == "shown"
        page.keyboard.press("Tab")
        assert text_of(page) == typed + offered
