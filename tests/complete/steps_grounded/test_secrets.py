"""Secrets and addresses are cut off or dropped, those that the user wrote are not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.complete.scene import Scene
from paceline.complete.steps.secrets import drop_secrets
from paceline.core.types import Candidate, Cursor, Document, Drop
from tests.hygiene.made_up import ALNUM, BY_KIND, PRIVATE_KEY, drawn
from tests.work import lines_run

KEY = BY_KIND["aws_key"]
TOKEN = drawn(40, ALNUM, 40)


def scene(before: str, after: str = "", path: str = "a.py") -> Scene:
    document = Document(path=path, text=before + after)
    return Scene(Cursor(document=document, offset=len(before)), "multi_line")


def result(before: str, text: str, after: str = "", path: str = "a.py", replaced: int = 0) -> str:
    """What is shown; a drop's reason in brackets."""
    candidate = Candidate(text=text, num_replaced_chars=replaced)
    judged = drop_secrets(candidate, scene(before, after, path))
    if isinstance(judged, Drop):
        return f"[{judged.reason}]"
    assert drop_secrets(judged, scene(before, after, path)) == judged
    return judged.text


@pytest.mark.parametrize(
    ("before", "text", "after", "shown"),
    [
        ("key = ", f"'{KEY}'\n", "", "[secret]"),
        ("api_key = '", TOKEN, "'\n", "[secret]"),
        ("api_key = '", TOKEN + "'", "'", "[secret]"),
        (f"api_key = '{TOKEN[:10]}", TOKEN[10:] + "'", "", "[secret]"),
        (f"OLD = '{TOKEN}'\napi_key = ", f"'{TOKEN}'", "", f"'{TOKEN}'"),
        ("api_key = ", f"'{TOKEN}'", f"\nNEW = '{TOKEN}'", f"'{TOKEN}'"),
        ("# by ", "Jo <jo@acme.io>", "", "[personal_data]"),
        ("# jo@acme.io\n# by ", "Jo <jo@acme.io>", "", "Jo <jo@acme.io>"),
        ("send('", "me@example.com')", "", "me@example.com')"),
        (PRIVATE_KEY[:70], PRIVATE_KEY[70:150], "", "[secret]"),
        (PRIVATE_KEY + "\n", "print(key)", "", "print(key)"),
    ],
)
def test_new_secrets_are_not_shown(before: str, text: str, after: str, shown: str) -> None:
    assert result(before, text, after) == shown


def test_what_stands_before_is_kept() -> None:
    good = "client = connect(host)\n    client.retry = 3"
    assert result("def f():\n    ", f"{good}\n    client.login('{KEY}')\n    return client") == good
    call = f"{good}\n    client.login(\n        user,\n        '{KEY}',\n    )\n    return client\n"
    assert result("def f():\n    ", call) == good
    assert (
        result("def f():\n    ", f"x = 1\n    login('{KEY}', retries=3, timeout_s=5)") == "[secret]"
    )
    braces = f'open();\n  const client = connect(host);\n  login({{\n    key: "{KEY}",\n  }});\n'
    assert (
        result("function f() {\n  ", braces, "\n}", "a.js")
        == "open();\n  const client = connect(host);"
    )
    assert result("x = ", f"call(\n    host_name_of_the_machine,\n    '{KEY}',\n)") == "[secret]"


def test_the_replaced_rest_of_the_line_is_not_read() -> None:
    rest = f"api_key='{TOKEN}')"
    assert result("connect(", "host)", rest, replaced=len(rest)) == "host)"


@settings(max_examples=40, deadline=None)
@given(
    before=st.text(max_size=80),
    text=st.text(alphabet=st.one_of(st.characters(), st.sampled_from("key='@.:/\n\0\ud800")), max_size=120),
    after=st.text(max_size=40),
)  # fmt: skip
def test_any_text(before: str, text: str, after: str) -> None:
    result(before, text, after)


def test_work_is_the_same_in_a_long_file() -> None:
    short, long = scene("x = compute(value)\n"), scene("x = compute(value)\n" * 60_000)
    candidate = Candidate(
        text="    token = request.headers.get('Authorization')\n    return token\n" * 2
    )
    num_lines = lines_run(lambda: drop_secrets(candidate, short))
    assert lines_run(lambda: drop_secrets(candidate, long)) == num_lines
