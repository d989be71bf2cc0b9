"""Bytes to ids and back: a thin, typed cover over a Hugging Face `tokenizers` file.

Text is always encoded as text: a special token's name inside a document becomes ordinary bytes,
so nobody can inject a sentinel. Special ids are only ever placed by `prompt`.

SentencePiece vocabularies (Llama, Mistral) put a space before every text. Here they do not: encoded
pieces can be joined, and `decode` is the inverse of `encode` for them too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as HfTokenizer

from paceline.core.errors import CheckpointError
from paceline.tokenizer.specials import SPECIALS

FILE_NAME = "tokenizer.json"

SPLIT_PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""Where merges may not reach across; the widely used cl100k form with digits in groups of three."""

MAX_WORD_CHARS = 128
"""Longer runs without a break are not words."""


SENTINEL_PATTERN = re.compile(r"▁?<\S+>|\[[A-Z_]+\]")
"""What added tokens that are sentinels look like, whether or not the file calls them special."""

SPACE_MARK = "▁"
"""How SentencePiece writes a space."""
JOINT = "☺"
"""Text that merges with nothing; SentencePiece's space goes before it instead."""


class Tokenizer:
    """Encodes text and decodes ids with one `tokenizer.json`."""

    def __init__(self, inner: HfTokenizer) -> None:
        inner.add_special_tokens(  # type: ignore[reportUnknownMemberType]
            [
                AddedToken(token.content, normalized=False, special=True)
                for token in inner.get_added_tokens_decoder().values()
                if not token.special and SENTINEL_PATTERN.fullmatch(token.content)
            ]
        )
        inner.encode_special_tokens = True
        self._inner = inner
        first = inner.encode("x", add_special_tokens=False).tokens[:1]
        self._is_sentencepiece = bool(first) and first[0].startswith(SPACE_MARK)
        self._joint: list[int] = []
        if self._is_sentencepiece:
            self._joint = inner.encode(JOINT, add_special_tokens=False).ids
        self.vocab_size: int = inner.get_vocab_size()

    @classmethod
    def load(cls, path: Path) -> Tokenizer:
        """Load a `tokenizer.json`.

        Raises:
            CheckpointError: the file is missing or not a tokenizer.
        """
        if not path.is_file():
            raise CheckpointError(f"{path} is missing; a model folder needs its {FILE_NAME}.")
        try:
            return cls(HfTokenizer.from_file(str(path)))
        except Exception as cause:  # the Rust side raises bare Exception
            raise CheckpointError(f"{path} is not a tokenizer file ({cause}).") from cause

    def save(self, path: Path) -> None:
        """Write a `tokenizer.json` that `transformers` loads unchanged."""
        self._inner.save(str(path))

    def encode(self, text: str) -> list[int]:
        """Ids of `text`; never a special id. `decode(encode(text)) == text`."""
        if not self._joint:
            return self._inner.encode(text, add_special_tokens=False).ids
        return self._inner.encode(JOINT + text, add_special_tokens=False).ids[len(self._joint) :]

    def encode_with_starts(self, text: str) -> tuple[list[int], list[int]]:
        """Ids of `text`, and where each begins in it, in code points.

        Ids that share the bytes of one character begin at the same place.
        """
        lead = JOINT if self._joint else ""
        encoding = self._inner.encode(lead + text, add_special_tokens=False)
        skipped = len(self._joint)
        starts = [start - len(lead) for start, _ in encoding.offsets[skipped:]]
        return encoding.ids[skipped:], starts

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, on all cores."""
        lead = JOINT if self._joint else ""
        joined = [lead + text for text in texts] if lead else list(texts)
        encodings = self._inner.encode_batch_fast(joined, add_special_tokens=False)
        return [encoding.ids[len(self._joint) :] for encoding in encodings]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids`; special ids are written out. Invalid UTF-8 becomes U+FFFD."""
        text = self._inner.decode([*self._joint, *ids], skip_special_tokens=False)
        return text[len(JOINT) :] if self._joint else text

    def last_word(self, text: str) -> str:
        """The end of `text` across which no merge reaches: its last pre-token.

        Empty for no text, and for vocabularies that merge across words (SentencePiece).

        The ids of `text` are those of what stands before it, then those of the word.
        """
        tail = text[-MAX_WORD_CHARS:]
        splitter = self._inner.pre_tokenizer
        if splitter is None or not tail or self._is_sentencepiece:
            return ""
        _, (start, _) = splitter.pre_tokenize_str(tail)[-1]
        return tail[start:]

    def vocabulary_bytes(self) -> dict[int, bytes]:
        """The bytes of every id that is text. Special ids, and ids that are not byte-level, are left out."""
        table = _byte_of_character()
        special = {
            token_id for token_id, t in self._inner.get_added_tokens_decoder().items() if t.special
        }
        if self._is_sentencepiece:
            return {
                token_id: _bytes_of_piece(token)
                for token, token_id in self._inner.get_vocab().items()
                if token_id not in special
            }
        return {
            token_id: bytes(table[character] for character in token)
            for token, token_id in self._inner.get_vocab().items()
            if token_id not in special and all(character in table for character in token)
        }

    def special_id(self, name: str) -> int:
        """The id of a special token.

        Raises:
            CheckpointError: this tokenizer has no such token.
        """
        token_id = self.find_id(name)
        if token_id is None:
            raise CheckpointError(f"The tokenizer has no special token {name}.")
        return token_id

    def find_id(self, name: str) -> int | None:
        """The id of a token by its name; None if there is none."""
        return self._inner.token_to_id(name)


def _bytes_of_piece(piece: str) -> bytes:
    """The bytes of a SentencePiece token: `<0x0A>` is one byte, the mark is a space."""
    if match := re.fullmatch(r"<0x([0-9A-F]{2})>", piece):
        return bytes.fromhex(match[1])
    return piece.replace(SPACE_MARK, " ").encode()


def _byte_of_character() -> dict[str, int]:
    """How byte-level BPE writes bytes as printable characters (Radford et al. 2019, GPT-2), inverted."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    table = {chr(byte): byte for byte in printable}
    return table | {chr(0x100 + index): byte for index, byte in enumerate(others)}


def train_tokenizer(
    texts: Iterable[str], *, vocab_size: int, is_progress_shown: bool = False
) -> Tokenizer:
    """Train byte-level BPE on `texts`; the first ids are `SPECIALS`, in order."""
    inner = HfTokenizer(models.BPE(byte_fallback=False))
    inner.pre_tokenizer = pre_tokenizers.Sequence(  # type: ignore[assignment]
        [
            pre_tokenizers.Split(Regex(SPLIT_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    inner.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIALS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=is_progress_shown,
    )
    inner.train_from_iterator(_batches(texts), trainer=trainer)
    return Tokenizer(inner)


def _batches(texts: Iterable[str], size: int = 256) -> Iterator[list[str]]:
    batch: list[str] = []
    for text in texts:
        batch.append(text)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
