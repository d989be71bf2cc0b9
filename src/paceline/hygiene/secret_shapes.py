"""Shapes of secrets that a pattern tells for sure: detect-secrets' plugins, and newer tokens that it does not know yet."""

from __future__ import annotations

import re
from typing import Any, cast

import msgspec
from detect_secrets.plugins.artifactory import ArtifactoryDetector
from detect_secrets.plugins.aws import AWSKeyDetector
from detect_secrets.plugins.azure_storage_key import AzureStorageKeyDetector
from detect_secrets.plugins.base import RegexBasedDetector
from detect_secrets.plugins.basic_auth import BasicAuthDetector
from detect_secrets.plugins.cloudant import CloudantDetector
from detect_secrets.plugins.discord import DiscordBotTokenDetector
from detect_secrets.plugins.github_token import GitHubTokenDetector
from detect_secrets.plugins.gitlab_token import GitLabTokenDetector
from detect_secrets.plugins.ibm_cloud_iam import IbmCloudIamDetector
from detect_secrets.plugins.ibm_cos_hmac import IbmCosHmacDetector
from detect_secrets.plugins.jwt import JwtTokenDetector
from detect_secrets.plugins.mailchimp import MailchimpDetector
from detect_secrets.plugins.npm import NpmDetector
from detect_secrets.plugins.openai import OpenAIDetector
from detect_secrets.plugins.private_key import PrivateKeyDetector
from detect_secrets.plugins.pypi_token import PypiTokenDetector
from detect_secrets.plugins.sendgrid import SendGridDetector
from detect_secrets.plugins.slack import SlackDetector
from detect_secrets.plugins.softlayer import SoftlayerDetector
from detect_secrets.plugins.square_oauth import SquareOAuthDetector
from detect_secrets.plugins.stripe import StripeDetector
from detect_secrets.plugins.telegram_token import TelegramBotTokenDetector
from detect_secrets.plugins.twilio import TwilioKeyDetector


class Shape(msgspec.Struct, frozen=True):
    """One kind of secret: its patterns, and literals without which none of them can match."""

    kind: str
    patterns: tuple[re.Pattern[str], ...]
    literals: tuple[str, ...]
    """Any of them must be in the line, in this case: the quick test."""
    has_secret_group: bool = False
    """The first group is the secret, and the rest of the match what surrounds it."""


def _of(detector: type[RegexBasedDetector]) -> tuple[re.Pattern[str], ...]:
    """The plugin's own patterns: its `analyze_string` gives texts without places, and of some only a group."""
    return tuple(cast(Any, detector).denylist)


_NEWER_TOKENS = (
    re.compile(r"\bgithub_pat_\w{60,90}"),
    re.compile(r"\bAIza[\w-]{35}(?![\w-])"),
    re.compile(r"\bya29\.[\w-]{40,}"),
    re.compile(r"\bGOCSPX-[\w-]{28}"),
    re.compile(r"\bsk-(?:ant|proj|svcacct|or)-[\w-]{32,}"),
    re.compile(r"\bhf_[A-Za-z]{34}\b"),
    re.compile(r"\bxapp-\d-[A-Z\d]+-\d+-[a-z\d]{40,}"),
    re.compile(r"\bshp(?:at|ca|pa|ss)_[a-fA-F\d]{32}\b"),
    re.compile(r"\bdo[opr]_v1_[a-f\d]{64}\b"),
    re.compile(r"\bnpm_[A-Za-z\d]{36}\b"),
    re.compile(r"\bglpat-[\w-]{20}"),
    re.compile(r"\bAGE-SECRET-KEY-1[A-Z\d]{58}"),
    re.compile(r"\bhvs\.[\w-]{90,}"),
    re.compile(r"\bdapi[a-f\d]{32}\b"),
    re.compile(r"\b(?:sk|rk)_(?:live|test)_[A-Za-z\d]{24,}"),
)
"""Source: the issuers' own pages on how their tokens look."""

_NEWER_LITERALS = (
    "github_pat_", "AIza", "ya29.", "GOCSPX-", "sk-", "hf_", "xapp-", "shpat_", "shpca_", "shppa_", "shpss_", "o_v1_",
    "dor_v1_", "dop_v1_", "npm_", "glpat-", "AGE-SECRET", "hvs.", "dapi", "k_live_", "k_test_",
)  # fmt: skip

_KEY_WORDS = ("key", "pwd", "pass", "token", "KEY", "PWD", "PASS", "TOKEN", "Key", "Pass", "Token")

SHAPES = (
    Shape("private_key", _of(PrivateKeyDetector), ("PRIVATE KEY", "PuTTY-User-Key")),
    Shape("aws_key", _of(AWSKeyDetector), ("A3T", "ABIA", "ACCA", "AKIA", "ASIA", "aws", "AWS", "Aws"), has_secret_group=True),
    Shape("github_token", _of(GitHubTokenDetector), ("gh",)),
    Shape("gitlab_token", _of(GitLabTokenDetector), ("gl", "GR1348941")),
    Shape("json_web_token", _of(JwtTokenDetector), ("eyJ",)),
    Shape("basic_auth", _of(BasicAuthDetector), ("://",), has_secret_group=True),
    Shape("slack_token", _of(SlackDetector), ("xox", "XOX", "hooks.slack.com")),
    Shape("stripe_key", _of(StripeDetector), ("k_live_",)),
    Shape("openai_token", _of(OpenAIDetector), ("T3BlbkFJ",)),
    Shape("pypi_token", _of(PypiTokenDetector), ("pypi-",)),
    Shape("npm_token", _of(NpmDetector), ("_authToken",)),
    Shape("sendgrid_key", _of(SendGridDetector), ("SG.",)),
    Shape("square_token", _of(SquareOAuthDetector), ("sq0csp-",)),
    Shape("mailchimp_key", _of(MailchimpDetector), ("-us",)),
    Shape("twilio_key", _of(TwilioKeyDetector), ("AC", "SK")),
    Shape("telegram_token", _of(TelegramBotTokenDetector), (":",)),
    Shape("discord_token", _of(DiscordBotTokenDetector), (".",)),
    Shape("azure_key", _of(AzureStorageKeyDetector), ("AccountKey=",)),
    Shape("artifactory_key", _of(ArtifactoryDetector), ("AKC", "AP")),
    Shape("ibm_key", _of(IbmCloudIamDetector), _KEY_WORDS, has_secret_group=True),
    Shape("ibm_key", _of(IbmCosHmacDetector), _KEY_WORDS, has_secret_group=True),
    Shape("cloudant_key", _of(CloudantDetector), ("cl", "CL", "Cl"), has_secret_group=True),
    Shape("softlayer_key", _of(SoftlayerDetector), ("sl", "SL", "Sl", "softlayer"), has_secret_group=True),
    Shape("prefixed_token", _NEWER_TOKENS, _NEWER_LITERALS),
)  # fmt: skip
