"""What a record of the brain's own cost rests on: the files, the scripted model, the figures."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from benchmarks.brain.files import NUM_LINES, WORKPLACES, Workplace
from benchmarks.brain.measure import keystrokes, run
from benchmarks.brain.report import figures, stages_of, typical
from benchmarks.brain.script import ScriptedModel
from paceline.complete.config import CompleteConfig
from paceline.core.types import Document
from paceline.generate.types import GenerateParams, PromptParts
from paceline.syntax.languages import language_of
from paceline.syntax.tree import parse


@pytest.mark.parametrize("language", WORKPLACES)
def test_files_are_as_long_as_said_and_parse(language: str) -> None:
    workplace = WORKPLACES[language]()
    assert abs(workplace.document.text.count("\n") - NUM_LINES) < 0.1 * NUM_LINES
    assert len(workplace.open_documents) == 10
    paths = [document.path for document in (workplace.document, *workplace.open_documents)]
    assert len(set(paths)) == 11
    for document in (workplace.document, *workplace.open_documents[:2]):
        assert language_of(document).name == language
    tree = parse(workplace.document.text, language_of(workplace.document), around=0)
    assert tree is not None
    assert tree.num_errors == 0


def written(model: ScriptedModel, prefix: str, **params: object) -> tuple[str, str | None]:
    """What the model streams after `prefix`, and why it ended."""

    async def read() -> tuple[str, str | None]:
        text, reason = "", None
        asked = GenerateParams(**params)  # type: ignore[arg-type]
        async for chunk in model.stream(PromptParts(prefix=prefix), asked):
            text, reason = text + chunk.text, chunk.finish_reason
        return text, reason

    return asyncio.run(read())


def test_the_model_is_right_every_second_time_and_heeds_the_rules() -> None:
    model = ScriptedModel()
    model.expect("def f(a):\n    ", "return a + 1\n\n\ndef g():\n    pass\n")
    wrong, _ = written(model, "def f(a):\n    ", max_tokens=50)
    right, reason = written(model, "def f(a):\n    ret", max_tokens=2)
    assert not wrong.startswith("return")
    assert (right, reason) == ("urn a + ", "length")
    written(model, "other", max_tokens=1)
    ended, reason = written(
        model, "def f(a):\n    ", max_tokens=50, stop_when=lambda text: "\n" in text
    )
    assert ended.startswith("return a + 1\n")
    assert (len(ended) < 20, reason) == (True, "stop")


def test_every_keystroke_is_a_sample_whose_stages_add_up(tmp_path: Path) -> None:
    text = "".join(
        f"def f{n}(a):\n    b = a + {n}\n    return b * f{n}(b)\n\n\n" for n in range(20)
    )
    workplace = Workplace(Document(path="a.py", text=text), (Document(path="b.py", text=text),))
    keys = keystrokes(workplace, 2)
    assert [key.pressed_ms for key in keys] == sorted(key.pressed_ms for key in keys)
    samples = run(keys, workplace, str(tmp_path), CompleteConfig())
    assert len(samples) == len(keys)
    assert {"network", "typed_as_suggested"} <= {sample.source for sample in samples}
    for sample in samples:
        assert sum(sample.stages.values()) == pytest.approx(
            sample.all_ms + sample.stages.get("debounce", 0.0) + sample.stages.get("join", 0.0)
        )
    assert set(stages_of([samples])) >= {"read", "look", "generate", "steps"}


def test_figures() -> None:
    assert figures([4, 1, 3, 2]).median == 2
    assert figures([4, 1, 3, 2]).max == 4
    assert typical([[1, 9], [2, 8], [30, 7]]) == [2, 8]
