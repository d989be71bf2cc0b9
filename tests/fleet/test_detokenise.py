"""Text comes out whole, early, and the same however its ids and pieces are cut."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from paceline.fleet.detokenise import REPLACEMENT, Detokeniser
from paceline.generate.stops import StopCutter
from paceline.tokenizer.specials import NUM_SPECIALS
from tests.fleet.model_folder import VOCAB_SIZE, small_tokenizer

TEXT_IDS = st.integers(NUM_SPECIALS, VOCAB_SIZE - 1)
"""Any ids that are text: arbitrary bytes, so invalid UTF-8 too."""

TEXTS = st.text(st.sampled_from("ab\n é你🙂👩\u200d💻" + REPLACEMENT)) | st.text()


def pieces(ids: list[int]) -> list[str]:
    """What comes out for each id, and at last what was held back."""
    detokeniser = Detokeniser(small_tokenizer().decode)
    return [*(detokeniser.add(token_id) for token_id in ids), detokeniser.flush()]


@given(st.lists(TEXT_IDS, max_size=40))
def test_joined_pieces_are_the_decoded_ids(ids: list[int]) -> None:
    assert "".join(pieces(ids)) == small_tokenizer().decode(ids)


@given(TEXTS)
@example("naïve 你好，世界 🙂👩\u200d💻")
@example(f"a{REPLACEMENT}{REPLACEMENT}b{REPLACEMENT}")
def test_no_half_code_point_and_no_delay(text: str) -> None:
    """After each id all whole code points are out, but for a last U+FFFD, which might be half of one."""
    ids = small_tokenizer().encode(text)
    out = ""
    for count, piece in enumerate(pieces(ids)[:-1], start=1):
        out += piece
        whole = small_tokenizer().decode(ids[:count])
        assert out == (whole[:-1] if whole.endswith(REPLACEMENT) else whole)
        assert text.startswith(out)
    assert "".join(pieces(ids)) == text


def test_a_code_point_comes_out_with_its_last_byte() -> None:
    ids = small_tokenizer().encode("x𝄞y")
    assert len(ids) == 6, "the tokenizer should not know the clef"
    assert pieces(ids) == ["x", "", "", "", "𝄞", "y", ""]


def test_half_a_code_point_at_the_end_is_one_replacement() -> None:
    assert pieces(small_tokenizer().encode("𝄞")[:3]) == ["", "", "", REPLACEMENT]


def first_completed_stop(text: str, stops: list[str]) -> str:
    """Slow twin: read character by character until the text so far ends with a stop string."""
    for end in range(len(text) + 1):
        ending = [stop for stop in stops if stop and text[:end].endswith(stop)]
        if ending:
            return text[: end - max(map(len, ending))]
    return text


STOPS = st.lists(st.text(st.sampled_from("ab\n"), max_size=4), max_size=4)


@given(st.lists(st.text(st.sampled_from("ab\n"), max_size=5), max_size=8), STOPS)
@example(["a", "b", "c"], ["bcd"])
@example(["ab", "ab", "a\n"], ["aba\n"])
def test_stops_are_cut_exactly_and_text_is_held_only_if_it_may_be_one(
    chunks: list[str], stops: list[str]
) -> None:
    cutter = StopCutter(stops)
    text = out = ""
    for chunk in chunks:
        text += chunk
        out += cutter.add(chunk)
        expected = first_completed_stop(text, stops)
        assert cutter.is_stopped == (expected != text)
        if cutter.is_stopped:
            assert out == expected
        else:
            assert text.startswith(out)
            held = text[len(out) :]
            assert not held or any(stop.startswith(held) and stop != held for stop in stops)
    out += cutter.flush()
    assert out == first_completed_stop(text, stops)


@pytest.mark.parametrize(
    ("chunks", "stops", "out"),
    [
        (["return x", "\n", "\nde", "f f"], ["\n\n"], ["return x", "", "", ""]),
        (["return x", "\n", "de", "f f"], ["\ndef"], ["return x", "", "", ""]),
        (["return x", "\n", "di"], ["\ndef"], ["return x", "", "\ndi"]),
        (["one", "two"], [], ["one", "two"]),
        (["one", "two"], [""], ["one", "two"]),
        (["xab"], ["b", "ab"], ["x"]),
    ],
)
def test_stop_examples(chunks: list[str], stops: list[str], out: list[str]) -> None:
    cutter = StopCutter(stops)
    assert [cutter.add(chunk) for chunk in chunks] == out
    assert re.escape(cutter.flush()) == ""
