"""Made-up secrets for tests, put together at run time so that no scanner of repositories takes them for real ones."""

from __future__ import annotations

import base64
import random
import string

ALNUM = string.ascii_letters + string.digits
HEX = "0123456789abcdef"


def drawn(seed: int, alphabet: str, num_chars: int) -> str:
    """`num_chars` characters of `alphabet`, the same for the same seed."""
    return "".join(random.Random(seed).choices(alphabet, k=num_chars))


def _token_of_json() -> str:
    parts = [b'{"alg":"HS256","typ":"JWT"}', b'{"sub":"1","name":"Jo"}', bytes(range(80, 112))]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


PRIVATE_KEY = "-----BEGIN RSA PRIVATE KEY-----\n{}\n{}\n-----END RSA PRIVATE KEY-----".format(
    "MII" + drawn(1, ALNUM, 61), drawn(2, ALNUM, 64)
)

BY_KIND = {
    "private_key": PRIVATE_KEY,
    "aws_key": "AKIA" + drawn(3, string.ascii_uppercase + string.digits, 16),
    "github_token": "ghp_" + drawn(4, ALNUM, 36),
    "gitlab_token": "glpat-" + drawn(5, ALNUM, 20),
    "json_web_token": _token_of_json(),
    "slack_token": "xoxb-" + "481516234210-" * 2 + drawn(6, HEX, 24),
    "stripe_key": "sk_live_" + drawn(7, ALNUM, 24),
    "openai_token": "sk-" + drawn(8, ALNUM, 20) + "T3Blbk" + "FJ" + drawn(9, ALNUM, 20),
    "pypi_token": "pypi-AgEIcHlwaS5vcmc" + drawn(10, ALNUM, 80),
    "sendgrid_key": "SG." + drawn(11, ALNUM, 22) + "." + drawn(12, ALNUM, 43),
    "twilio_key": "AC" + drawn(13, HEX, 32),
    "telegram_token": "481516234:" + drawn(14, ALNUM, 35),
    "azure_key": "AccountKey=" + drawn(15, ALNUM, 86) + "==",
    "prefixed_token": "github_pat_" + drawn(16, ALNUM, 82),
}
