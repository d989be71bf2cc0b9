"""Events: JSON there and back, limits, and errors that name the field and repeat nothing else."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator, meta

from paceline.artifacts.events import (
    MAX_AFTER_S,
    MAX_ALTERNATIVE,
    MAX_AT_S,
    MAX_BATCH_EVENTS,
    MAX_CHARS,
    MAX_ID_CHARS,
    Event,
    EventBatch,
    EventKind,
    batch_of,
    check_events,
    decode_batch,
    encode_batch,
)
from paceline.core.errors import FieldError, InputError
from tools.event_schema import TARGET, render

IDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=MAX_ID_CHARS)
EVENTS = st.builds(
    Event,
    event_id=IDS,
    request_id=IDS,
    kind=st.sampled_from(get_args(EventKind)),
    at_s=st.floats(0, MAX_AT_S),
    num_chars=st.integers(0, MAX_CHARS),
    after_s=st.floats(0, MAX_AFTER_S),
    alternative=st.integers(0, MAX_ALTERNATIVE),
    client=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=128),
)
BATCHES = st.builds(EventBatch, events=st.lists(EVENTS, max_size=5))
SCHEMA = Draft202012Validator(json.loads(TARGET.read_text("utf-8")))
GOOD: dict[str, Any] = {"event_id": "e", "request_id": "r", "kind": "shown"}


def event(**changes: Any) -> Event:
    """As code makes one: nothing is checked."""
    return Event(**GOOD | changes)


@settings(max_examples=50)
@given(BATCHES)
def test_decode_undoes_encode_and_the_schema_allows_it(batch: EventBatch) -> None:
    encoded = encode_batch(batch)
    assert decode_batch(encoded) == batch
    assert batch_of(json.loads(encoded)) == batch
    check_events(batch.events)
    SCHEMA.validate(json.loads(encoded))


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"event_id": ""}, "event_id"),
    ({"event_id": "x" * (MAX_ID_CHARS + 1)}, "event_id"),
    ({"event_id": "two words"}, "event_id"),
    ({"event_id": "line\n"}, "event_id"),
    ({"event_id": "é"}, "event_id"),
    ({"request_id": 7}, "request_id"),
    ({"kind": "SECRET = 1"}, "kind"),
    ({"kind": None}, "kind"),
    ({"at_s": -1}, "at_s"),
    ({"at_s": 1_700_000_000_000}, "at_s"),  # milliseconds
    ({"at_s": True}, "at_s"),
    ({"num_chars": -1}, "num_chars"),
    ({"num_chars": 10**30}, "num_chars"),
    ({"num_chars": 1.5}, "num_chars"),
    ({"after_s": -0.5}, "after_s"),
    ({"after_s": "15"}, "after_s"),
    ({"alternative": MAX_ALTERNATIVE + 1}, "alternative"),
    ({"client": "def f():\n    return 1"}, "client"),
    ({"client": "x" * 129}, "client"),
    ({"code": "SECRET = 1"}, "code"),
]


@pytest.mark.parametrize(("change", "field"), WRONG)
def test_what_is_wrong_is_named_and_not_repeated(change: dict[str, Any], field: str) -> None:
    body = {"events": [GOOD, GOOD | change]}
    for read in (lambda: batch_of(body), lambda: decode_batch(json.dumps(body))):
        with pytest.raises(InputError) as caught:
            read()
        assert "SECRET" not in str(caught.value)
        assert str(caught.value).endswith(".")
        assert isinstance(caught.value, FieldError)
        assert caught.value.field == f"events.1.{field}"
    assert not SCHEMA.is_valid(body)


def test_half_a_surrogate_pair_is_no_id() -> None:
    body = {"events": [GOOD | {"event_id": "\ud800"}]}
    with pytest.raises(FieldError, match=r"events\.0\.event_id"):
        batch_of(body)
    with pytest.raises(FieldError, match=r"events\.0\.event_id"):
        check_events([event(event_id="\ud800")])
    with pytest.raises(FieldError, match=r"events\.0\.event_id"):
        decode_batch(json.dumps(body))


def test_a_whole_number_may_have_a_point() -> None:
    body = '{"events":[{"event_id":"e","request_id":"r","kind":"shown","num_chars":3.0,"at_s":5}]}'
    assert decode_batch(body).events == [event(num_chars=3, at_s=5.0)]
    with pytest.raises(FieldError, match=r"events\.0\.num_chars"):
        decode_batch(body.replace("3.0", "3.5"))


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_are_finite(number: float) -> None:
    for name in ("at_s", "after_s"):
        with pytest.raises(FieldError, match=rf"events\.0\.{name}"):
            batch_of({"events": [GOOD | {name: number}]})
        with pytest.raises(FieldError, match=rf"events\.0\.{name}"):
            check_events([event(**{name: number})])
        with pytest.raises(InputError):
            decode_batch(json.dumps({"events": [GOOD | {name: number}]}))
    with pytest.raises(FieldError, match=r"events\.0\.at_s"):
        decode_batch(b'{"events":[{"event_id":"e","request_id":"r","kind":"shown","at_s":1e999}]}')


def test_a_field_that_is_missing_is_named() -> None:
    for name in GOOD:
        rest = {key: value for key, value in GOOD.items() if key != name}
        with pytest.raises(FieldError, match=rf"'events\.0\.{name}': is missing; send it\."):
            batch_of({"events": [rest]})


def test_a_name_that_is_none_is_not_repeated() -> None:
    with pytest.raises(FieldError, match=r"'events\.0': a field of it is not known"):
        batch_of({"events": [GOOD | {"x = open('/etc/passwd')": 1}]})


def test_batches_have_a_limit() -> None:
    def body(count: int) -> dict[str, Any]:
        return {"events": [GOOD] * count}

    assert len(batch_of(body(MAX_BATCH_EVENTS)).events) == MAX_BATCH_EVENTS
    with pytest.raises(FieldError, match="Field 'events': expected array of length <= 1000"):
        batch_of(body(MAX_BATCH_EVENTS + 1))


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"events": 3}', b"{}", b'{"events":[3]}'],
)  # fmt: skip
def test_what_is_no_batch_is_refused(body: bytes) -> None:
    with pytest.raises(InputError):
        decode_batch(body)


@settings(max_examples=50)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["events", "event_id", "request_id", "kind", "at_s", "client", "?"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_is_a_batch_or_an_error_in_one_sentence(data: Any) -> None:
    said = ""
    try:
        check_events(batch_of({"events": data}).events)
    except InputError as error:
        said = str(error)
    assert not said or (said.endswith(".") and "\n" not in said)


def test_the_schema_in_the_docs_is_what_the_types_give() -> None:
    assert TARGET.relative_to(Path(__file__).resolve().parents[2]) == Path(
        "docs/events.schema.json"
    )
    assert TARGET.read_text("utf-8") == render(), "run python tools/event_schema.py"
    schema = json.loads(render())
    meta.validate(schema)
    assert [batch_of(example).events[0].kind for example in schema["examples"]] == ["accepted"]
