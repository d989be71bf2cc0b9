"""Hosts, origins, CORS and headers of every reply."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.core.errors import ConfigError
from paceline.server.config import ServerConfig, TransportLimits
from paceline.server.doors import SECURITY_HEADERS, is_same_place
from paceline.server.middleware import is_loopback
from tests.server.auth.client import client_with
from tests.server.http import error_of

CLIENT = client_with(None)
EDITOR = "https://editor.example"
OPEN = client_with(
    None, allowed_hosts=("Paceline.example", "192.168.0.1"), allowed_origins=(EDITOR,)
)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("paceline.example", 401), ("PACELINE.EXAMPLE.:443", 401), ("192.168.0.1:8012", 401),
        ("localhost", 200), ("127.0.0.1:1", 200), ("[::1]", 200), ("[::ffff:127.0.0.1]", 200),
        ("evil.example", 400), ("paceline.example.evil.example", 400), ("192.168.0.2", 400),
        ("paceline.example@evil.example", 400), ("localhost, evil.example", 400),
    ],
)  # fmt: skip
def test_names_that_the_operator_allows(host: str, status: int) -> None:
    """Under a name that is not loopback, a token is demanded, too."""
    response = OPEN.get("/v1/models", headers={"host": host})
    assert response.status_code == status
    if status == 400:
        error = error_of(response)
        assert error["code"] == "foreign_host" and "evil" not in error["message"]


def test_the_address_of_the_connection_is_ours_but_no_other() -> None:
    client = client_with(None)
    client.base_url = "http://192.0.2.7:8012"
    assert client.get("/health").status_code == 200
    assert client.get("/health", headers={"host": "192.0.2.8"}).status_code == 400


def test_one_host_header_and_no_more() -> None:
    hosts = [("host", "localhost"), ("host", "evil.example")]
    assert CLIENT.get("/health", headers=hosts).status_code == 400  # type: ignore[arg-type]


@given(st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0")))
@settings(max_examples=50)
def test_no_host_or_origin_breaks_the_server(text: str) -> None:
    for name in ("host", "origin"):
        status = CLIENT.get("/health", headers={name: text.encode("latin-1")}).status_code  # type: ignore[dict-item]
        assert status in (200, 400, 403)
        if status == 200 and name == "host":
            host = text.rpartition(":")[0] if text.rpartition(":")[2].isdecimal() else text
            assert is_loopback(host.rpartition("@")[2].strip("[]:"))


@pytest.mark.parametrize(
    ("origin", "host", "is_same"),
    [
        ("http://127.0.0.1:8012", "127.0.0.1:8012", True),
        ("http://localhost", "localhost:80", True),
        ("https://paceline.example", "paceline.example", True),
        ("https://paceline.example", "paceline.example:443", True),
        ("http://127.0.0.1:3000", "127.0.0.1:8012", False),
        ("http://localhost:8012", "127.0.0.1:8012", False),
        ("https://paceline.example", "paceline.example:80", False),
        ("null", "127.0.0.1:8012", False),
        ("file://", "", False),
        ("http://", "", False),
        ("http://a:x", "a:x", False),
        ("http://[", "[", False),
    ],
)
def test_same_place(origin: str, host: str, is_same: bool) -> None:
    assert is_same_place(origin, host) is is_same


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:3000", "https://EDITOR.example"]
)
@pytest.mark.parametrize("method", ["POST", "GET", "OPTIONS"])
def test_pages_of_other_origins_are_refused(origin: str, method: str) -> None:
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    response = OPEN.request(method, "/infill", headers=headers)
    assert response.status_code == 403
    assert "access-control-allow-origin" not in response.headers
    assert error_of(response)["code"] == "foreign_origin"


def test_pages_of_ours_and_of_named_origins_may_call() -> None:
    body = {"input_prefix": "a"}
    own = CLIENT.post("/infill", json=body, headers={"Origin": "http://127.0.0.1:8012"})
    assert own.status_code == 200
    assert "access-control-allow-origin" not in own.headers
    named = OPEN.post("/infill", json=body, headers={"Origin": EDITOR})
    assert named.status_code == 200
    assert named.headers["access-control-allow-origin"] == EDITOR
    assert "Origin" in named.headers["vary"]
    assert "access-control-allow-credentials" not in named.headers
    asked = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    closed = client_with(None, allowed_origins=(EDITOR,), is_token_required=True)
    preflight = closed.options("/infill", headers={"Origin": EDITOR} | asked)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-headers"] == "authorization"
    refused = closed.post("/infill", json=body, headers={"Origin": EDITOR})
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == EDITOR  # so that the page can read why


def test_views_and_extensions_of_programs_can_be_named() -> None:
    origins = ("vscode-webview://1a2b3c", "chrome-extension://abcdef", "app://obsidian.md")
    client = client_with(None, allowed_origins=origins)
    for origin in origins:
        response = client.get("/v1/models", headers={"Origin": origin})
        assert response.status_code == 200
        assert response.headers["access-control-allow-origin"] == origin
        other = client.get("/v1/models", headers={"Origin": f"{origin}x"})
        assert other.status_code == 403


@pytest.mark.parametrize("path", ["/health", "/v1/models", "/docs", "/", "/nothing", "/static/x"])
@pytest.mark.parametrize("host", ["localhost", "evil.example"])
def test_security_headers_are_on_every_reply(path: str, host: str) -> None:
    headers = CLIENT.get(path, headers={"host": host}).headers
    for name, value in SECURITY_HEADERS.items():
        if name not in ("Content-Security-Policy", "Cache-Control"):
            assert headers[name] == value
    assert "default-src" in headers["content-security-policy"]
    is_page = path == "/" and host == "localhost"
    assert headers["cache-control"] == ("no-cache" if is_page else "no-store")
    assert len(headers.get_list("content-security-policy")) == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"allowed_origins": ("*",)}, {"allowed_origins": ("editor.example",)},
        {"allowed_origins": ("https://editor.example/",)}, {"allowed_origins": ("https://A.example",)},
        {"allowed_origins": ("https://editor.example:443",)}, {"allowed_origins": ("https://a@b",)},
        {"allowed_origins": ("https://a:x",)}, {"allowed_origins": ("https://",)},
        {"allowed_origins": ("null",)}, {"allowed_origins": ("file://",)},
        {"allowed_hosts": ("*",)}, {"allowed_hosts": ("[::1]",)}, {"allowed_hosts": ("a:80",)}, {"allowed_hosts": ("http://a",)},
        {"allowed_hosts": ("",)},
    ],
)  # fmt: skip
def test_settings_that_are_wrong(settings: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises(ConfigError):
        ServerConfig(**settings)  # type: ignore[arg-type]
    assert ServerConfig(allowed_hosts=("fd00::1", "a-b.example"), allowed_origins=("http://a:1",))
    with pytest.raises(ConfigError, match="header_timeout_s"):
        TransportLimits(header_timeout_s=0)
