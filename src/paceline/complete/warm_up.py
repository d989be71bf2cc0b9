"""Pays what only the first use of a rule costs, before anybody types: grammars, patterns, word lists.

A made-up line is completed in each language, by every rule, with nothing asked of a model and nothing remembered.
"""

from __future__ import annotations

from collections.abc import Collection

from paceline.complete.ending import Ending
from paceline.complete.gate_features import features_of
from paceline.complete.history import Recent
from paceline.complete.intent import decide
from paceline.complete.modes import MODES
from paceline.complete.postprocess import postprocess
from paceline.complete.project import ProjectIndex
from paceline.complete.rhythm import Pace
from paceline.complete.scene import Scene
from paceline.core.types import Candidate, Cursor, Document
from paceline.hygiene.paths import PathRules
from paceline.prompt.context.choose import ContextChooser
from paceline.prompt.context.config import ContextConfig
from paceline.prompt.context.types import EditorContext

_BRACES = ("{\n  a = 1;\n  ", "b = f(a, token);\n}\n", "\n}\n")
EXAMPLES: dict[str, tuple[str, str, str]] = {
    "python": (
        "import os\n\n\ndef f(a):\n    b = 1\n    ",
        "c = f(a.b, token=b)\n    return c\n",
        "\n",
    ),
    **{
        name: (f"{header} {_BRACES[0]}", *_BRACES[1:])
        for name, header in {
            "javascript": "function f(a)",
            "typescript": "function f(a: number)",
            "typescriptreact": "function f(a: number)",
            "java": "class A",
            "go": "func f(a int)",
            "rust": "fn f(a: u8)",
            "c": "int f(int a)",
            "cpp": "int f(int a)",
        }.items()
    },
}
"""By language: code before a cursor, what is completed there, code after it."""


def warm_up(languages: Collection[str] = ()) -> None:
    """Complete once in each of `languages`; without any, in all that we know examples of."""
    names = [name for name in EXAMPLES if name in languages] or list(EXAMPLES)
    chooser = ContextChooser(ContextConfig(), PathRules())
    for name in names:
        before, text, after = EXAMPLES[name]
        document = Document(path="", language=name, text=before + after)
        cursor = Cursor(document=document, offset=len(before))
        for mode in MODES:
            scene = Scene(cursor, mode, project=ProjectIndex().seen_from(document))
            decide(scene, Pace(), Recent(), multi_line_threshold=0.5)
            Ending.of(scene).certain_end(text)
            candidate = Candidate(text=text)
            postprocess(candidate, scene)
            features_of(scene, candidate)
        chooser.choose(cursor, EditorContext(open_documents=(document,)))
