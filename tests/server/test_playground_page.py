"""The playground's files as a browser gets them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from paceline.server.playground.page import (
    create_playground_router,
    is_unchanged,
    read_static_files,
)

NAMES = sorted(set(read_static_files()) - {"index.html"})


@pytest.fixture
def client() -> Iterator[TestClient]:
    """A browser's view of an app that has the playground only."""
    app = FastAPI()
    app.include_router(create_playground_router())
    with TestClient(app) as client:
        yield client


def test_the_page_is_html_and_uncached(client: TestClient) -> None:
    response = client.get("/")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-cache"
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self'; style-src 'self' 'unsafe-inline'")
    assert "script-src" not in policy


def test_everything_the_page_names_is_served(client: TestClient) -> None:
    named = re.findall(r'(?:src|href)="([^"]+)"', client.get("/").text)
    assert set(named) == {"static/favicon.svg", "static/playground.css", "static/playground.js"}
    for address in named:
        assert client.get(f"/{address}").status_code == 200


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("playground.js", "text/javascript; charset=utf-8"),
        ("playground.css", "text/css; charset=utf-8"),
        ("favicon.svg", "image/svg+xml"),
        ("third-party-licenses.txt", "text/plain; charset=utf-8"),
    ],
)
def test_content_types(client: TestClient, name: str, content_type: str) -> None:
    response = client.get(f"/static/{name}")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == content_type
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.content == files("paceline.server.playground").joinpath(f"static/{name}").read_bytes()  # fmt: skip


@pytest.mark.parametrize("address", ["/", *(f"/static/{name}" for name in NAMES)])
def test_a_known_etag_saves_the_body(client: TestClient, address: str) -> None:
    first = client.get(address)
    again = client.get(address, headers={"If-None-Match": f'"other", {first.headers["ETag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    assert again.headers["Cache-Control"] == "no-cache"
    assert client.get(address, headers={"If-None-Match": '"other"'}).content == first.content


def test_head_answers_without_a_body(client: TestClient) -> None:
    assert client.head("/").headers["ETag"] == client.get("/").headers["ETag"]


@pytest.mark.parametrize(
    "address",
    [
        "/static/",
        "/static/missing.js",
        "/static/index.html",
        "/static/../page.py",
        "/static/%2e%2e/page.py",
        "/static/..%2fpage.py",
        "/static/..%5cpage.py",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/static/playground.js%00.txt",
        "/static/__init__.py",
    ],
)
def test_nothing_else_is_served(client: TestClient, address: str) -> None:
    assert client.get(address).status_code == 404


def test_if_none_match_is_read_as_the_standard_says() -> None:
    assert is_unchanged('"a"', '"a"')
    assert is_unchanged('W/"a"', '"a"')
    assert is_unchanged('"b" , "a"', '"a"')
    assert is_unchanged("*", '"a"')
    assert not is_unchanged("", '"a"')
    assert not is_unchanged("a", '"a"')


def test_no_file_points_to_another_host() -> None:
    """The page works offline. Addresses in prose and XML name spaces are not requests."""
    for name, file in read_static_files().items():
        if name.endswith((".html", ".css")):
            assert b"//" not in file.content.replace(b"://www.w3.org/", b"")
