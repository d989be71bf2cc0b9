"""Files to type in: one of Python's standard library, and made-up ones in languages that we have no files of.

The made-up ones are of the size and shape of real ones (imports, types, methods with branches, loops, calls, literals,
comments); what they say is drawn from the seed.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

from paceline.core.types import Document
from paceline.traces.sources import FILES, standard_library

NUM_LINES = 2_000
NUM_OPEN = 10
NUM_OPEN_LINES = 1_000

NOUNS = (
    "order", "price", "user", "item", "cart", "stock", "invoice", "payment", "address", "session", "token", "batch",
    "report", "limit", "window", "record", "event", "queue", "worker", "cache", "region", "shelf", "label", "rate",
)  # fmt: skip
VERBS = ("load", "find", "merge", "update", "check", "count", "send", "parse", "render", "close")


class Workplace(NamedTuple):
    """A file, and what else is open in the editor."""

    document: Document
    open_documents: tuple[Document, ...]


def python() -> Workplace:
    """The file of the standard library whose length is nearest to NUM_LINES, among the longest others."""
    found = standard_library(len(FILES) - 2)
    found.sort(key=lambda document: abs(document.text.count("\n") - NUM_LINES))
    others = sorted(found[1:], key=lambda document: -document.text.count("\n"))[:NUM_OPEN]
    return Workplace(found[0], tuple(_shortened(document) for document in others))


def typescript() -> Workplace:
    """TypeScript-like."""
    return _made_up("order_service.ts", "module{}.ts", _typescript_file)


def go() -> Workplace:
    """Go-like."""
    return _made_up("order_service.go", "module{}.go", _go_file)


WORKPLACES: dict[str, Callable[[], Workplace]] = {
    "python": python,
    "typescript": typescript,
    "go": go,
}


def _shortened(document: Document) -> Document:
    lines = document.text.split("\n")[:NUM_OPEN_LINES]
    return Document(path=document.path, text="\n".join(lines) + "\n")


def _made_up(name: str, pattern: str, make: Callable[[random.Random, int], str]) -> Workplace:
    others = (
        Document(path=pattern.format(seed), text=make(random.Random(seed), NUM_OPEN_LINES))
        for seed in range(1, NUM_OPEN + 1)
    )
    return Workplace(Document(path=name, text=make(random.Random(0), NUM_LINES)), tuple(others))


def _typescript_file(rng: random.Random, num_lines: int) -> str:
    nouns = [noun.capitalize() for noun in rng.sample(NOUNS, 4)]
    lines = [
        f'import {{ {", ".join(nouns)} }} from "./models";',
        'import { Logger } from "./log";',
        "",
    ]
    number = 0
    while len(lines) < num_lines:
        number += 1
        name = rng.choice(NOUNS)
        owner = name.capitalize()
        lines += [
            f"export interface {owner}Options{number} {{",
            "  limit: number;",
            f"  {rng.choice(NOUNS)}Name?: string;",
            "}",
            "",
            f"/** Keeps {name}s, by id. */",
            f"export class {owner}Store{number} {{",
            f"  private readonly {name}s = new Map<string, {owner}>();",
            "",
            f"  constructor(private readonly log: Logger, private readonly options: {owner}Options{number}) {{}}",
        ]
        for _ in range(6):
            lines += ["", *_typescript_method(rng, name)]
        lines += ["}", ""]
    return "\n".join(lines) + "\n"


def _typescript_method(rng: random.Random, name: str) -> list[str]:
    verb, other, third = rng.choice(VERBS), rng.choice(NOUNS), rng.choice(NOUNS)
    owner, limit = name.capitalize(), rng.randrange(2, 500)
    return [
        f"  async {verb}{other.capitalize()}({other}Id: string, {third}: number): Promise<{owner} | undefined> {{",
        f"    const found = this.{name}s.get({other}Id);",
        f"    if (found === undefined || {third} > this.options.limit) {{",
        f"      this.log.warn(`no {name} for ${{{other}Id}}`, {{ {third}, limit: {limit} }});",
        "      return undefined;",
        "    }",
        f"    for (const [{name}Id, value] of this.{name}s) {{",
        f"      if (value.{third} === found.{third} && {name}Id !== {other}Id) {{",
        f"        value.{third} = Math.max(value.{third}, {third} + {limit});",
        "      }",
        "    }",
        f"    // what is left of the {third} goes on",
        f"    const rest = {{ ...found, {third}: found.{third} - {third} }};",
        f"    this.{name}s.set({other}Id, rest);",
        "    return rest;",
        "  }",
    ]  # fmt: skip


def _go_file(rng: random.Random, num_lines: int) -> str:
    lines = [
        "package store",
        "",
        "import (",
        '\t"context"',
        '\t"errors"',
        '\t"fmt"',
        '\t"sync"',
        ")",
        "",
    ]
    number = 0
    while len(lines) < num_lines:
        number += 1
        name = rng.choice(NOUNS)
        owner = f"{name.capitalize()}Store{number}"
        lines += [
            f"// {owner} keeps {name}s by id.",
            f"type {owner} struct {{",
            "\tmutex sync.Mutex",
            f"\t{name}s map[string]*{name.capitalize()}",
            "\tlimit int",
            "}",
            "",
        ]
        for _ in range(6):
            lines += [*_go_method(rng, name, owner), ""]
    return "\n".join(lines) + "\n"


def _go_method(rng: random.Random, name: str, owner: str) -> list[str]:
    verb, other, third = rng.choice(VERBS), rng.choice(NOUNS), rng.choice(NOUNS)
    return [
        f"func (s *{owner}) {verb.capitalize()}{other.capitalize()}(ctx context.Context, {other}ID string, {third} int) (*{name.capitalize()}, error) {{",
        "\ts.mutex.Lock()",
        "\tdefer s.mutex.Unlock()",
        f"\tfound, ok := s.{name}s[{other}ID]",
        "\tif !ok {",
        f'\t\treturn nil, fmt.Errorf("no {name} %q for {third} %d", {other}ID, {third})',
        "\t}",
        f"\tif {third} > s.limit {{",
        f'\t\treturn nil, errors.New("{third} is above the limit")',
        "\t}",
        f"\tfor id, value := range s.{name}s {{",
        f"\t\tif id != {other}ID && value.{third.capitalize()} < {third} {{",
        f"\t\t\tvalue.{third.capitalize()} += {third} + {rng.randrange(2, 500)}",
        "\t\t}",
        "\t}",
        f"\t// what is left of the {third} goes on",
        f"\tfound.{third.capitalize()} -= {third}",
        "\treturn found, ctx.Err()",
        "}",
    ]
