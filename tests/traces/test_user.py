"""The simulated user does what saves most time, and the labels say what the real edit did."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.core.errors import ConfigError
from paceline.core.types import Document
from paceline.traces.edits import edits_between
from paceline.traces.labels import ModeLabel, label_of
from paceline.traces.moments import Moment, moments
from paceline.traces.retype import RetypeConfig, type_edits
from paceline.traces.types import Trace
from paceline.traces.user import USERS, GhostText, Reaction, UserConfig, num_keys, num_steps, react

EXACT = RetypeConfig(auto_close_share=1.0, mistake_share=0.0, burst_weights=(1.0,))
FREE = UserConfig(min_saved_ms=0.0)


def typed(before: str, after: str, config: RetypeConfig = EXACT) -> Trace:
    document = Document(path="a.py", text=before)
    return type_edits(document, edits_between(before, after), 0, config)


def moment_at(before: str, after: str, prefix: str) -> Moment:
    return next(m for m in moments(typed(before, after)) if m.cursor.prefix.endswith(prefix))


def see(
    moment: Moment,
    text: str,
    num_replaced: int = 0,
    config: UserConfig = FREE,
    pause_ms: float = 1e6,
) -> Reaction:
    at_ms = moment.keystroke.at_ms
    return react(moment, GhostText(text, num_replaced), at_ms, at_ms + pause_ms, config)


TOTAL = moment_at("", "total = price * count\nprint(total)\n", "total")


def test_right_text_is_accepted_whole() -> None:
    reaction = see(TOTAL, " = price * count")
    assert (reaction.kind, reaction.num_accepted_chars, reaction.num_kept_chars) == (
        "accepted",
        16,
        16,
    )
    assert reaction.saved_ms == pytest.approx(15 * 238.7)
    assert reaction.cost_ms == pytest.approx(42.0 * len("= price * count"))
    assert reaction.net_ms == pytest.approx(reaction.saved_ms - reaction.cost_ms)
    assert TOTAL.after(16).prefix == "total = price * count"


def test_white_space_at_the_end_is_never_wrong() -> None:
    assert see(TOTAL, " = price * count  ").kind == "accepted"
    assert see(TOTAL, " = price * count  ").saved_ms == see(TOTAL, " = price * count").saved_ms


def test_who_types_on_has_seen_nothing() -> None:
    reaction = see(TOTAL, " = price", pause_ms=239.0)
    assert reaction == Reaction(kind="typed_through")
    assert see(TOTAL, "wrong", pause_ms=239.0) == Reaction(kind="ignored")
    assert see(TOTAL, "", pause_ms=1e6) == Reaction(kind="ignored")
    never = react(TOTAL, GhostText(" = price"), TOTAL.keystroke.at_ms, None, FREE)
    assert never.kind == "accepted"


def test_wrong_text_is_read_to_the_word_that_is_wrong() -> None:
    reaction = see(TOTAL, "_amount = 3\nmore()\n")
    assert reaction.kind == "rejected"
    assert reaction.cost_ms == pytest.approx(42.0 * len("_amount"))
    assert reaction.num_read_chars == len("_amount")
    again = react(TOTAL, GhostText("_amount = 3\nmore()\n", 0, 7), 0.0, None, FREE)
    assert again.cost_ms == 0


def test_a_right_beginning_is_accepted_in_steps() -> None:
    reaction = see(TOTAL, " = price * quantity_of_all_the_goods_in(a, b, c)")
    assert reaction.kind == "partially_accepted"
    assert TOTAL.after(reaction.num_kept_chars).prefix == "total = price *"
    assert reaction.saved_ms == pytest.approx(10 * 238.7 - 3 * 477.4)
    other = see(
        TOTAL, " = price * quantity_of_all_the_goods_in(a, b, c)", config=USERS["whole only"]
    )
    assert other.kind == "typed_through"


def test_a_wrong_end_is_deleted_if_that_is_quicker() -> None:
    reaction = see(TOTAL, " = price * count + 1", config=USERS["whole only"])
    assert (reaction.kind, reaction.num_accepted_chars, reaction.num_kept_chars) == (
        "accepted",
        20,
        16,
    )
    assert reaction.saved_ms == pytest.approx(15 * 238.7 - 2 * 477.4)


def test_doubled_brackets_cost_a_key() -> None:
    moment = moment_at("", "f(alpha, beta)\n", "f(")
    assert moment.closed
    whole, doubled = see(moment, "alpha, beta)", 1), see(moment, "alpha, beta)", 0)
    assert whole.saved_ms - doubled.saved_ms == pytest.approx(477.4)
    assert see(moment, "alpha, beta").saved_ms == pytest.approx(10 * 238.7)


def test_little_is_not_worth_it() -> None:
    assert see(TOTAL, " =", config=UserConfig()).kind == "typed_through"
    assert see(TOTAL, " = p", config=UserConfig()).kind == "accepted"


def test_keys_and_steps() -> None:
    assert num_keys("ab\n    cd\n\n  e") == 8
    assert num_keys("  a") == 3
    assert num_steps("a = b\n    c.d\n") == 2
    assert num_steps("a = b") == 3
    assert num_steps("") == 0


@settings(max_examples=50)
@given(
    text=st.text(alphabet=" =pricecount*\n()x", max_size=25),
    num_right=st.integers(0, 30),
    name=st.sampled_from(sorted(USERS)),
    pause_ms=st.floats(0, 5000),
    num_replaced=st.integers(0, 2),
)
def test_every_reaction_is_consistent(
    text: str, num_right: int, name: str, pause_ms: float, num_replaced: int
) -> None:
    ghost = TOTAL.truth[:num_right] + text
    reaction = see(TOTAL, ghost, num_replaced, USERS[name], pause_ms)
    assert reaction == see(TOTAL, ghost, num_replaced, USERS[name], pause_ms)
    assert 0 <= reaction.num_kept_chars <= reaction.num_accepted_chars <= len(ghost)
    assert TOTAL.truth.startswith(ghost[: reaction.num_kept_chars])
    assert reaction.cost_ms >= 0
    is_accept = reaction.kind in ("accepted", "partially_accepted")
    assert is_accept == (reaction.num_kept_chars > 0)
    assert (reaction.saved_ms >= USERS[name].min_saved_ms) if is_accept else not reaction.saved_ms


def test_bad_users_are_refused() -> None:
    with pytest.raises(ConfigError, match="negative"):
        UserConfig(key_ms=-1.0)


BODY = "def f(x):\n    a = 1\n    if a:\n        b = 2\n    else:\n        b = 3\n    return b\n\n\nc = 4\n"


@pytest.mark.parametrize(
    ("prefix", "more", "block"),
    [
        ("def f(x):", 6, "return b"),
        ("def f", 6, "return b"),
        ("a = 1", 2, "b = 2"),
        ("if a:", 1, "b = 2"),
        ("if a:\n        b =", 0, " 2"),
        ("else:", 1, "b = 3"),
        ("return", 0, " b"),
        ("c =", 0, " 4"),
    ],
)
def test_labels_follow_the_block(prefix: str, more: int, block: str) -> None:
    moment = moment_at("", BODY, prefix)
    label = label_of(moment)
    assert label.num_more_lines == more
    assert label.wants_more == (more > 0)
    assert moment.truth[: label.end_of_block].endswith(block)
    assert moment.truth[: label.end_of_line] == moment.truth.split("\n")[0]


def test_labels_at_the_top_level_and_of_nothing() -> None:
    moment = moment_at("", "a = 1\nb = 2\n\nc = 3\n", "a =")
    assert label_of(moment).num_more_lines == 1
    last = list(moments(typed("", "a = 1")))[-1]
    assert label_of(last) == ModeLabel(
        wants_more=False, num_more_lines=0, end_of_line=0, end_of_block=0
    )
    names = moment_at("", "def f():\n    x = 1\n    default = 2\n    case = 3\n", "x =")
    assert label_of(names).num_more_lines == 2
