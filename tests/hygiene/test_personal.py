"""E-mail and network addresses of real people and machines, and what only looks like them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.hygiene.personal import find_emails, find_personal


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("# Contact: jo.doe+x@acme-corp.com.", ["email"]),
        ("<Jo Doe jo@mail.acme.co.uk>", ["email"]),
        ("user@example.com, a@example.org, b@mail.example.net", []),
        ("root@localhost admin@server.local me@site.test x@y.invalid", []),
        ("git@github.com:me/repo.git", []),
        ("@app.route('/')\ny = x@self.weight + a@b.T + q@self.id.x", []),
        ("icon@2x.png and logo@3x.webp", []),
        ("12345+someone@users.noreply.github.com", []),
        ("HOST = '151.101.1.69'", ["ip_address"]),
        ("HOST = '2a00:1450:4001:81b::200e'", ["ip_address"]),
        ("127.0.0.1 10.1.2.3 192.168.0.1 0.0.0.0 255.255.255.0 8.8.8.8 203.0.113.9", []),
        ("version = '2.14.3.1' and 1.2.3.4.5 and ::1 and fe80::1 and 12:30:45", []),
    ],
)
def test_what_is_personal(text: str, kinds: list[str]) -> None:
    assert [found.kind for found in find_personal(text)] == kinds


def test_places_are_exact() -> None:
    text = "é\U0001f600 mail jo@acme.io now"
    (found,) = find_emails(text)
    assert text[found.start : found.end] == "jo@acme.io"


@settings(max_examples=60, deadline=None)
@given(
    st.text(alphabet=st.one_of(st.characters(), st.sampled_from("a@.:1com\ud800")), max_size=200)
)
def test_any_text(text: str) -> None:
    assert all(0 <= one.start < one.end <= len(text) for one in find_personal(text))
