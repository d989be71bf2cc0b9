"""Personal data in text: e-mail addresses and public network addresses. Telephone numbers are not looked for: in code
nearly every match is some other number."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from paceline.hygiene.findings import Finding

RESERVED_DOMAINS = frozenset(
    {
        "example",
        "test",
        "invalid",
        "localhost",
        "local",
        "internal",
        "localdomain",
        "domain",
        "arpa",
    }
)
"""Last names that reach nobody: RFC 2606, RFC 6761, RFC 6762, and `domain` of `user@domain`."""

RESERVED_HOSTS = frozenset(
    {
        "example.com",
        "example.org",
        "example.net",
        "example.edu",
        "domain.com",
        "email.com",
        "users.noreply.github.com",
    }
)
"""RFC 2606's, and what people write in their place."""

ROLE_NAMES = frozenset({"git", "noreply", "no-reply", "donotreply", "root", "hg", "svn"})
"""Left of the @, a role or a login that stands for no person: `git@github.com`."""

_ENDINGS = """
com org net edu gov mil int io dev app ai co me info biz eu us uk de fr nl be es it pt pl cz sk at ch se no fi dk ie gr ro
hu bg hr si rs ua ru by tr il ir ae sa in pk bd lk cn hk tw jp kr sg my th vn id ph au nz ca mx br ar cl pe za ng ke eg
ma tv cc xyz tech cloud online site page name pro
"""

DOMAIN_ENDINGS = frozenset(_ENDINGS.split())
"""Domains that people have mail at. Every two-letter code would make `x@self.id` (a matrix product) an address."""

PUBLIC_RESOLVERS = frozenset(
    {"8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "4.4.4.4", "1.2.3.4"}
)
"""Addresses that everyone knows, or that stand for any address."""

_EMAIL = re.compile(
    r"(?<![\w.+%/-])(?P<name>[A-Za-z0-9](?:[\w.+%-]{0,62}[\w+-])?)@"
    r"(?P<host>(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,6}(?P<ending>[A-Za-z]{2,12}))(?![\w@(\[-]|\.\w)"
)
_IPV4 = re.compile(r"(?<![\w.-])(?:\d{1,3}\.){3}\d{1,3}(?![\w-]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9a-fA-F]{1,4}:){2,7}(?::?[0-9a-fA-F]{1,4}){1,6}(?![\w:])")
_VERSION = re.compile(r"(?:version|ver|release|v|rev)\W{0,4}$", re.IGNORECASE)


def find_personal(text: str) -> list[Finding]:
    """All personal data in `text`, in order: kinds `email`, `ip_address`."""
    return sorted([*find_emails(text), *_find_addresses(text)])


def find_emails(text: str) -> Iterator[Finding]:
    """E-mail addresses that may be somebody's, in order: none of reserved domains, none of roles."""
    if "@" not in text:
        return
    for match in _EMAIL.finditer(text):
        host, ending = match["host"].lower(), match["ending"].lower()
        is_reserved = (
            ending in RESERVED_DOMAINS
            or host in RESERVED_HOSTS
            or any(host.endswith(f".{reserved}") for reserved in RESERVED_HOSTS)
        )
        if not is_reserved and ending in DOMAIN_ENDINGS and match["name"].lower() not in ROLE_NAMES:
            yield Finding(start=match.start(), end=match.end(), kind="email")


def _find_addresses(text: str) -> Iterator[Finding]:
    for pattern in (_IPV4, _IPV6):
        for match in pattern.finditer(text):
            before = text[max(match.start() - 16, 0) : match.start()]
            if _is_public(match[0]) and not _VERSION.search(before):
                yield Finding(start=match.start(), end=match.end(), kind="ip_address")


def _is_public(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return parsed.is_global and not parsed.is_multicast and address not in PUBLIC_RESOLVERS
