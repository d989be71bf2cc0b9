"""The upstream's address, and where on it things are asked."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

import msgspec

from paceline.core.errors import ConfigError
from paceline.generate.remote.errors import TOKEN_VARIABLE

_VERSION = re.compile(r".*/(v\d+|beta)")
_ENDPOINT = re.compile(r"(/(fim/)?completions|/beta)$")


class Address(msgspec.Struct, frozen=True):
    """Where a server is, in two parts: `http://host:port`, and a path that is empty or begins with a slash."""

    origin: str
    path: str

    @property
    def completions_path(self) -> str:
        """Of OpenAI's text completions. A path that ends with `completions` is taken as it is."""
        if self.path.endswith("completions"):
            return self.path
        return self.path + ("/completions" if _VERSION.fullmatch(self.path) else "/v1/completions")

    @property
    def models_path(self) -> str:
        """Of OpenAI's list of models."""
        base = _ENDPOINT.sub("", self.path)
        is_versioned = base != self.path or _VERSION.fullmatch(base)
        return base + ("/models" if is_versioned else "/v1/models")

    @property
    def root_path(self) -> str:
        """Where a server's own API begins, without OpenAI's part of the path."""
        return re.sub(r"/v\d+$", "", _ENDPOINT.sub("", self.path))

    @property
    def is_fim_endpoint(self) -> bool:
        """Does the path say that the server fills in the middle itself (Mistral's, DeepSeek's)?"""
        return self.path.endswith(("/fim/completions", "/beta", "/beta/completions"))

    @property
    def is_local(self) -> bool:
        """Is it this machine? Then no proxy is asked."""
        host = urlsplit(self.origin).hostname or ""
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")

    def __str__(self) -> str:
        return self.origin + self.path


def parse_address(url: str) -> Address:
    """Read an address; `localhost:8000` is one too.

    Raises:
        ConfigError: it is none, or holds a password or query; the message says what to do.
    """
    text = url.strip() if "://" in url else f"http://{url.strip()}"
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host or any(c.isspace() for c in text):
        raise ConfigError(
            "The upstream's address must look like http://127.0.0.1:8000; write scheme, host and port."
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError(
            "The upstream's address must not hold a password or query; put the token into the "
            f"environment variable {TOKEN_VARIABLE}."
        )
    return Address(f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/"))
