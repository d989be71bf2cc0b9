"""Whole held-out files for scoring left to right, where no cursor cuts a token."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

import msgspec

from paceline.artifacts.corpus import CorpusDocument
from paceline.evals.config import EvalConfig
from paceline.tokenizer.bpe import Tokenizer


class FileHead(msgspec.Struct, frozen=True, kw_only=True):
    """The first lines of a file. The first line is given, the rest is scored."""

    package: str
    path: str
    document_sha256: str
    text: str
    start_offset: int
    """Where scoring starts: at the start of a line that is not blank."""

    @property
    def num_bytes(self) -> int:
        """Bytes that are scored."""
        return len(self.text[self.start_offset :].encode())


def choose_files(documents: Iterable[CorpusDocument], config: EvalConfig) -> list[FileHead]:
    """`files_per_package` files of each package, chosen by a hash of seed and file."""
    by_package: defaultdict[str, list[tuple[str, CorpusDocument]]] = defaultdict(list)
    for document in documents:
        order = hashlib.sha256(f"{config.seed}:file:{document.sha256}".encode()).hexdigest()
        by_package[document.package].append((order, document))
    heads: list[FileHead] = []
    for _, members in sorted(by_package.items()):
        ordered = (document for _, document in sorted(members, key=lambda member: member[0]))
        found = (head for document in ordered if (head := _head(document, config.max_file_chars)))
        heads += [head for head, _ in zip(found, range(config.files_per_package), strict=False)]
    return heads


def line_blocks(text: str) -> list[str]:
    """Lines of `text`, each with the blank lines after it: no token reaches from one into the next."""
    blocks: list[str] = []
    for line in re.findall(r"[^\n]*\n|[^\n]+", text):
        if line.strip() or not blocks:
            blocks.append(line)
        else:
            blocks[-1] += line
    return blocks


def chunks(head: FileHead, tokenizer: Tokenizer, max_tokens: int) -> Iterator[tuple[str, str]]:
    """Cut the scored part into (text before, chunk) of whole lines, at most `max_tokens` each.

    A single line that is longer is a chunk by itself.
    """
    start, end, num_tokens = head.start_offset, head.start_offset, 0
    for block in line_blocks(head.text[head.start_offset :]):
        size = len(tokenizer.encode(block))
        if num_tokens and num_tokens + size > max_tokens:
            yield head.text[:start], head.text[start:end]
            start, num_tokens = end, 0
        end, num_tokens = end + len(block), num_tokens + size
    if end > start:
        yield head.text[:start], head.text[start:end]


def _head(document: CorpusDocument, max_chars: int) -> FileHead | None:
    text = document.text
    if len(text) > max_chars:
        text = text[: text.rfind("\n", 0, max_chars) + 1]
    blocks = line_blocks(text)
    if len(blocks) < 2 or not blocks[0].strip():
        return None
    return FileHead(
        package=document.package,
        path=document.path,
        document_sha256=document.sha256,
        text=text,
        start_offset=len(blocks[0]),
    )
