"""After warm-up no keystroke pays for a first use, and nothing of it is remembered."""

from __future__ import annotations

import pytest

from paceline.complete.modes import MODES
from paceline.complete.postprocess import postprocess
from paceline.complete.scene import Scene
from paceline.complete.service import Service
from paceline.complete.warm_up import EXAMPLES
from paceline.core.types import Candidate, Cursor, Document
from paceline.syntax import grammars
from paceline.syntax.languages import language_of
from tests.fakes import FakeGenerator


def test_grammars_are_loaded_and_no_model_is_asked() -> None:
    grammars._load.cache_clear()
    generator = FakeGenerator()
    service = Service(generator)
    service.warm_up()
    assert grammars._load.cache_info().currsize >= len(EXAMPLES) - 1
    assert not generator.calls
    assert not service.traces.newest(1)


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_reach_the_last_rule(name: str) -> None:
    before, text, after = EXAMPLES[name]
    document = Document(path="", language=name, text=before + after)
    assert language_of(document).name == name
    for mode in MODES:
        scene = Scene(Cursor(document=document, offset=len(before)), mode)
        assert isinstance(postprocess(Candidate(text=text), scene).result, Candidate)
