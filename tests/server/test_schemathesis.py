"""Our own OpenAPI document, taken at its word: whatever it allows or forbids is sent, and every answer is one that it names.

Examples are derived from the document, not from chance: the same ones in every run.
"""

from __future__ import annotations

import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import Case, CheckContext, Response
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from paceline.complete.config import CompleteConfig
from paceline.complete.service import Service
from paceline.server.app import create_app
from tests.fakes import FakeGenerator

GENERATOR = FakeGenerator()
APP = create_app(GENERATOR, Service(GENERATOR, CompleteConfig(is_prefetching=False)))
SCHEMA = schemathesis.openapi.from_dict(APP.openapi())
SCHEMA.app = APP
NOT_IMPLEMENTED = 501
"""What protocols have and we do not (embeddings without an encoder): the one 5xx that is an answer."""


def no_server_error(ctx: CheckContext, response: Response, case: Case) -> None:
    """Nothing that is sent may break the server."""
    assert response.status_code < 500 or response.status_code == NOT_IMPLEMENTED, response.text


CHECKS = [
    no_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@SCHEMA.parametrize()
@settings(
    max_examples=6,
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=(HealthCheck.too_slow, HealthCheck.filter_too_much),
)
def test_the_server_keeps_its_word(case: Case) -> None:
    case.call_and_validate(base_url="http://127.0.0.1:8012", checks=CHECKS)
