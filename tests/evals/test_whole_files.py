"""Whole files: chunks join to the file and cut no token."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from paceline.evals.config import EvalConfig
from paceline.evals.whole_files import choose_files, chunks, line_blocks
from paceline.tokenizer.bpe import Tokenizer
from tests.evals.conftest import HELDOUT, make_document


@given(text=st.text(st.sampled_from("ab:( \n\t\x0c"), max_size=60))
def test_blocks_join_and_no_token_reaches_over(tokenizer: Tokenizer, text: str) -> None:
    blocks = line_blocks(text)
    assert "".join(blocks) == text
    if all(block.strip() for block in blocks):
        ids = [i for block in blocks for i in tokenizer.encode(block)]
        assert ids == tokenizer.encode(text)


@given(size=st.integers(5, 200))
def test_chunks_join_to_the_scored_part(tokenizer: Tokenizer, size: int) -> None:
    head = choose_files(HELDOUT, EvalConfig())[0]
    pieces = list(chunks(head, tokenizer, size))
    assert "".join(chunk for _, chunk in pieces) == head.text[head.start_offset :]
    at = head.start_offset
    for before, chunk in pieces:
        assert before == head.text[:at]
        assert chunk.count("\n") <= 2 or len(tokenizer.encode(chunk)) <= size
        at += len(chunk)


def test_files_are_even_over_packages_cut_at_lines_and_bounded() -> None:
    config = EvalConfig(files_per_package=2, max_file_chars=300)
    heads = choose_files(HELDOUT, config)
    assert [head.package for head in heads] == ["held0"] * 2 + ["held1"] * 2 + ["held2"] * 2
    assert all(len(head.text) <= 300 and head.text.endswith("\n") for head in heads)
    assert heads == choose_files(reversed(HELDOUT), config)


def test_files_of_a_single_line_are_left_out() -> None:
    documents = [make_document("p", 0, "x = 1\n\n"), make_document("p", 1, "\n\nx = 1\ny = 2\n")]
    assert choose_files(documents, EvalConfig()) == []
