"""Write docs/events.schema.json, the JSON Schema of POST /v1/events, from paceline.artifacts.events.

    python tools/event_schema.py [--check]

With --check nothing is written; exit 1 says that the file is not what the types give.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from paceline.artifacts.events import json_schema

TARGET = Path(__file__).resolve().parent.parent / "docs/events.schema.json"


def render() -> str:
    """The file's text."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Write or check the file. Returns the exit code."""
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    if not arguments:
        TARGET.write_text(render(), encoding="utf-8")
        return 0
    is_same = TARGET.exists() and TARGET.read_text(encoding="utf-8") == render()
    if not is_same:
        print(f"{TARGET.name} is not what the types give; run python tools/event_schema.py.")
    return 0 if is_same else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
