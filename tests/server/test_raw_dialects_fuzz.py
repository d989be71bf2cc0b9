"""No JSON body makes llama.cpp's, OpenAI's or Copilot's routes fail: an answer, or an error that names the fault."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from paceline.server.dialects.engines_types import EngineExtra, EngineRequest
from paceline.server.dialects.llama_cpp_types import InfillRequest, RawRequest
from paceline.server.dialects.openai_types import CompletionRequest, EmbeddingsRequest
from tests.fakes import FakeGenerator
from tests.server.http import client_of, error_of

CLIENT = client_of(FakeGenerator(["if a:", "\n    b", "\nc"], models=("m", "m:adapter")))
TEXTS = st.sampled_from(
    ["", "a", "m", "x = \n", "<fim_prefix>a<fim_suffix>b<fim_middle>", "\ud83d", "\0"]
)
NUMBERS = st.sampled_from([0, 1, 2, 3, -1, 0.5, 8, 500, 2**31, 2**63, 10**400, 1e308, float("nan")])
SCALARS = TEXTS | NUMBERS | st.booleans() | st.none()
ITEMS = SCALARS | st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("text", "filename", "time", "id", "scale"), SCALARS)
)
VALUES = SCALARS | st.lists(ITEMS, max_size=3) | st.lists(st.lists(SCALARS, max_size=2), max_size=2)


def bodies(model: type[BaseModel], **certain: Any) -> st.SearchStrategy[Any]:
    """Objects with some of the fields of `model`, most of them wrong; `certain` fields are always there."""
    extra = st.fixed_dictionaries({}, optional=dict.fromkeys(EngineExtra.model_fields, VALUES))
    fields = {
        name: VALUES | extra if name == "extra" else VALUES
        for name in model.model_fields
        if name not in certain
    }
    names = st.lists(st.sampled_from(sorted(fields)), max_size=3, unique=True)
    some = names.flatmap(
        lambda chosen: st.fixed_dictionaries({name: fields[name] for name in chosen})
    )
    return some.map(lambda body: certain | body) | VALUES


ROUTES: dict[str, st.SearchStrategy[Any]] = {
    "/infill": bodies(InfillRequest, input_prefix="x = "),
    "/completion": bodies(RawRequest, prompt="x = "),
    "/v1/completions": bodies(CompletionRequest, prompt="x = "),
    "/v1/engines/codegen/completions": bodies(EngineRequest, prompt="x = ", suffix=""),
    "/v1/embeddings": bodies(EmbeddingsRequest),
}


@pytest.mark.parametrize("path", ROUTES)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_no_body_makes_a_route_fail(path: str, data: st.DataObject) -> None:
    content = json.dumps(data.draw(ROUTES[path]))
    response = CLIENT.post(path, content=content, headers={"content-type": "application/json"})
    if response.status_code == 200:
        assert '"error"' not in response.text  # no stream breaks off either
    elif path == "/v1/embeddings" and response.status_code == 501:
        assert error_of(response)["code"] == "no_encoder"
    else:
        assert response.status_code in (400, 404), response.text
        assert error_of(response)["message"]
