"""Secrets are found where they stand, and ordinary code has none."""

from __future__ import annotations

import random
import string
import sysconfig
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.hygiene import secrets
from paceline.hygiene.entropy import find_random_values, is_random
from paceline.hygiene.secrets import MAX_PIECE_CHARS, find_secrets
from tests.hygiene.made_up import ALNUM, BY_KIND, HEX, PRIVATE_KEY, drawn
from tests.work import lines_run


@pytest.mark.parametrize("kind", BY_KIND)
def test_tokens_with_a_known_shape(kind: str) -> None:
    secret = BY_KIND[kind]
    text = f"import os\nclient = connect('{secret}')\nprint(client)\n"
    (found,) = find_secrets(text)
    assert found.kind == kind
    at = text.index(secret)
    assert at <= found.start and found.end <= at + len(secret)
    assert found.end - found.start >= 0.6 * len(secret)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("DB = 'postgres://app:{}@db.acme.com/x'".format("w9Kd" + "72hQ"), "basic_auth"),
        (f"api_key = '{drawn(20, ALNUM, 32)}'", "random_value"),
        (f'"client_secret": "{drawn(21, HEX, 40)}",', "random_value"),
        (f"const authToken: string = `{drawn(22, ALNUM, 24)}`", "random_value"),
        (f"headers['Authorization'] = 'Bearer {drawn(23, ALNUM, 40)}'", "random_value"),
        (f'aws_secret_access_key = "{drawn(24, ALNUM, 40)}"', "aws_key"),
        ("password = 'Tr0ub4dor" + "&3'", "password"),
        ("https://hooks.slack.com/services/T" + "02AB4CD/B0" + f"2XY9ZW/{drawn(25, ALNUM, 24)}", "slack_token"),
    ],
)  # fmt: skip
def test_secrets_by_what_stands_around_them(text: str, kind: str) -> None:
    assert [found.kind for found in find_secrets(text)] == [kind]


HARMLESS = (
    "key = 'AKIAIOSFODNN7EXAMPLE'",
    "token = 'ghp_" + "x" * 36 + "'",
    "url = 'postgres://user:pass@localhost/db'",
    "url = f'postgres://{user}:{password}@{host}/db'",
    "if '-----BEGIN RSA PRIVATE KEY-----' in text:\n    return True",
    "password = 'changeme'",
    "password = os.environ['DATABASE_PASSWORD_2024']",
    "api_key = 'YOUR_API_KEY_1234'",
    "api_key = '${SERVICE_API_KEY}'",
    "key = 'user-session-cache-v2'",
    "cache_key = 'getUserByIdAndName2'",
    "token_url = 'https://auth.acme.com/oauth2/token/v2'",
    "public_key_path = '/etc/keys/2024/server_rsa_4096.pub'",
    "sha = 'd41d8cd98f00b204e9800998ecf8427e'",
    "uuid = '6ba7b810-9dad-11d1-80b4-00c04fd430c8'",
    "sort_key = lambda x: x[1]",
    "secret = get_secret('prod/db', version=3)",
    "TOKENS = ['IDENT', 'NUMBER', 'STRING2', 'OP']",
)


@pytest.mark.parametrize("text", HARMLESS)
def test_ordinary_code_and_placeholders(text: str) -> None:
    assert find_secrets(text) == []


def test_random_values_are_told_from_names() -> None:
    rng = random.Random(7)
    alphabets = (ALNUM, HEX, string.ascii_lowercase + string.digits, ALNUM + "+/")
    values = [drawn(n, rng.choice(alphabets), rng.randint(24, 64)) for n in range(400)]
    assert sum(map(is_random, values)) / len(values) > 0.97
    words = [
        "user",
        "Session",
        "cache",
        "key",
        "http",
        "Server",
        "v2",
        "2024",
        "index",
        "Of",
        "name",
        "utf8",
    ]
    names = [
        rng.choice("-_. ").strip().join(rng.choices(words, k=rng.randint(3, 7))) for _ in range(400)
    ]
    assert sum(map(is_random, names)) / len(names) < 0.02


def test_a_private_key_is_found_in_a_string_and_cut_off() -> None:
    escaped = 'KEY = "' + PRIVATE_KEY.replace("\n", "\\n") + '"'
    (found,) = find_secrets(escaped)
    assert escaped[found.end :] == '"'
    assert [one.kind for one in find_secrets(PRIVATE_KEY[:80])] == ["private_key"]


def test_the_standard_library_has_none() -> None:
    names = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))[::4][:50]
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in names]
    assert [found for text in texts for found in find_secrets(text)] == []


@settings(max_examples=60, deadline=None)
@given(
    st.text(
        alphabet=st.one_of(st.characters(), st.sampled_from("sk-_:/@=\"' AKI\n\ud800\0")),
        max_size=200,
    )
)
def test_any_text(text: str) -> None:
    found = find_secrets(text)
    assert all(0 <= one.start < one.end <= len(text) for one in found)
    assert all(left.end <= right.start for left, right in pairwise(found))


def test_long_lines_are_whole_and_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = BY_KIND["github_token"]
    filler = "x = [1, 2, 3]; " * 266
    for at in (3_580, 3_990, len(filler)):
        assert [one.kind for one in find_secrets(filler[:at] + secret + filler)] == ["github_token"]
    sizes: list[int] = []

    def reader(piece: str) -> Iterator[tuple[int, int, str]]:
        sizes.append(len(piece))
        return find_random_values(piece)

    monkeypatch.setattr(secrets, "find_random_values", reader)
    long = "://a:" * 40_000 + "key='" * 20_000
    assert find_secrets(long) == []
    assert max(sizes) <= MAX_PIECE_CHARS
    assert sum(sizes) <= 1.2 * len(long), "little is read twice"


def test_work_grows_with_the_text_alone() -> None:
    text = (
        "    token = request.headers.get('Authorization', '')\n    user = self.users[token]\n" * 3
    )
    num_lines = lines_run(lambda: find_secrets(text))
    assert lines_run(lambda: find_secrets(text * 10)) <= 10 * num_lines
