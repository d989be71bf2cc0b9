"""Where a token may be shown, and that nothing shown there breaks the server."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.datastructures import Headers

from paceline.server.auth.credentials import is_of_our_form, shown_token
from tests.fakes import FakeGenerator
from tests.server.auth.client import client_with

TOKEN = "pl_0123abcd" + "A-_" * 14 + "z"


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"authorization": f"Bearer {TOKEN}"}, TOKEN),
        ({"authorization": f"bearer   {TOKEN} "}, TOKEN),
        ({"authorization": "Bearer"}, None),
        ({"authorization": "Bearer  "}, None),
        ({"authorization": "Bearer none"}, "none"),
        ({"authorization": basic(f"ada:{TOKEN}")}, TOKEN),
        ({"authorization": basic(f":{TOKEN}")}, TOKEN),
        ({"authorization": basic(TOKEN)}, TOKEN),
        ({"authorization": basic("ada:a:b")}, "a:b"),
        ({"authorization": basic("ada:")}, None),
        ({"authorization": "Basic"}, None),
        ({"authorization": f"Basic {TOKEN}-6e2c7a1e-session"}, TOKEN),
        ({"authorization": f"Basic {TOKEN}"}, TOKEN),
        ({"authorization": f"Basic {TOKEN}session"}, f"{TOKEN}session"),
        ({"authorization": "Basic 6e2c7a1e-9d40-41f5-session"}, "6e2c7a1e-9d40-41f5-session"),
        ({"x-api-key": TOKEN}, TOKEN),
        ({"x-api-key": " "}, None),
        ({"authorization": "Bearer ", "x-api-key": TOKEN}, TOKEN),
        ({"authorization": "Bearer x", "x-api-key": TOKEN}, "x"),
    ],
)
def test_places_of_a_token(headers: dict[str, str], expected: str | None) -> None:
    assert shown_token(Headers(headers)) == expected


def test_placeholders_are_not_of_our_form() -> None:
    assert is_of_our_form(TOKEN)
    assert not any(map(is_of_our_form, ("none", "sk-1", "", "6e2c7a1e-9d40", "PL_1")))


FREE = client_with(None)
CLOSED = client_with(None, FakeGenerator(), is_token_required=True)
VALUES = st.one_of(
    st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0")),
    st.sampled_from(["Bearer ", "Basic ", "Basic pl_", "bearer\t", "Digest "]).flatmap(
        lambda scheme: st.text(st.characters(codec="latin-1", exclude_categories=["Cc"])).map(
            scheme.__add__
        )
    ),
    st.binary().map(lambda data: "Basic " + base64.b64encode(data).decode()),
)


@given(VALUES, VALUES)
@settings(max_examples=50)
def test_no_header_breaks_the_server_or_opens_it(authorization: str, key: str) -> None:
    headers = [
        (b"authorization", authorization.encode("latin-1")),
        (b"x-api-key", key.encode("latin-1")),
    ]
    assert CLOSED.get("/v1/models", headers=headers).status_code == 401  # type: ignore[arg-type]
    is_shown = (shown_token(Headers(raw=headers)) or "").startswith("pl_")
    status = FREE.get("/v1/models", headers=headers).status_code  # type: ignore[arg-type]
    assert status == (401 if is_shown else 200)
