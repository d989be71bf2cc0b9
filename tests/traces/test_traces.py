"""A trace types the real file back, in time, the same way for the same seed."""

from __future__ import annotations

import itertools
import random
import statistics

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.core.errors import ConfigError
from paceline.core.types import Document
from paceline.traces.hand import pieces, slip
from paceline.traces.rhythm import RhythmConfig, Typist, draw_log_normal
from paceline.traces.simulate import TraceConfig, cut_holes, simulate
from paceline.traces.sources import FILES, standard_library
from paceline.traces.types import Trace, final_text, replay

LINES = st.lists(
    st.text(alphabet="ab1_ .(é\t\x0c", min_size=0, max_size=40), min_size=30, max_size=60
)
CONFIG = TraceConfig(num_holes=2, min_hole_chars=3)


def make(text: str, seed: int, config: TraceConfig = CONFIG) -> Trace | None:
    """A trace of `text`, or None if it has no room for the holes."""
    try:
        return simulate(Document(path="a.py", text=text), seed, config)
    except ConfigError:
        return None


@given(lines=LINES, seed=st.integers(0, 1000))
def test_replaying_gives_the_file_back(lines: list[str], seed: int) -> None:
    text = "\n".join(lines)
    trace = make(text, seed)
    if trace is None:
        return
    assert final_text(trace) == text
    assert len(trace.document.text) < len(text)
    assert trace == make(text, seed)
    times = [keystroke.at_ms for keystroke in trace.keystrokes]
    assert times[0] > 0
    assert all(earlier < later for earlier, later in itertools.pairwise(times))
    assert trace.duration_ms == times[-1]


def test_states_follow_from_each_other() -> None:
    for document in standard_library(6, seed=1):
        trace = simulate(document, 7)
        text = trace.document.text
        for keystroke, cursor in replay(trace):
            assert cursor.document.text == keystroke.apply(text)
            assert cursor.prefix.endswith(keystroke.inserted)
            grown = len(keystroke.inserted) - keystroke.num_deleted_chars
            assert len(cursor.document.text) == len(text) + grown
            text = cursor.document.text
        assert text == document.text
        kinds = [keystroke.kind for keystroke in trace.keystrokes]
        assert kinds.count("jump") == TraceConfig().num_holes
        assert kinds.count("mistake") == kinds.count("backspace")


def test_a_mistake_is_taken_back_whole() -> None:
    trace = simulate(standard_library(1)[0], 3, TraceConfig(mistake_share=0.5))
    states = [trace.document.text, *(cursor.document.text for _, cursor in replay(trace))]
    found = [n for n, keystroke in enumerate(trace.keystrokes) if keystroke.kind == "mistake"]
    assert found
    for index in found:
        assert trace.keystrokes[index + 1].kind == "backspace"
        assert states[index + 2] == states[index]


def test_seeds_and_files_make_different_traces() -> None:
    first, second = standard_library(2)
    assert simulate(first, 1) != simulate(first, 2)
    times = [simulate(document, 1).keystrokes[0].at_ms for document in (first, second)]
    assert times[0] != times[1]


def test_a_trace_survives_json() -> None:
    trace = simulate(standard_library(1)[0], 5)
    assert msgspec.json.decode(msgspec.json.encode(trace), type=Trace) == trace


@given(text=st.text(alphabet="ab \n", max_size=60), seed=st.integers(0, 99))
def test_pieces_are_the_text(text: str, seed: int) -> None:
    found = list(pieces(text, (0.5, 0.3, 0.2), random.Random(seed)))
    assert "".join(found) == text
    for piece in found:
        is_newline = piece[0] == "\n"
        assert "\n" not in piece[1:] and (is_newline or len(piece) <= 3)
        assert not is_newline or not piece.strip()


def test_holes_do_not_touch() -> None:
    for document in standard_library(5, seed=2):
        holes = cut_holes(document.text, TraceConfig(num_holes=6), random.Random(0))
        for hole in holes:
            assert document.text.startswith(hole.text, hole.offset)
            assert document.text[hole.offset + len(hole.text)] == "\n"
        for left, right in itertools.pairwise(holes):
            assert left.offset + len(left.text) < right.offset


def test_a_slip_keeps_length_and_case() -> None:
    assert slip("(q ", random.Random(0)) == "(w "
    assert slip("A", random.Random(0)) == "S"
    assert all(slip("g", random.Random(seed)) in "fh" for seed in range(9))


def test_intervals_have_the_published_moments() -> None:
    """Dhakal et al. 2018: mean 238.7 ms, 111.6 ms between people; 4 standard errors are allowed."""
    rng, config = random.Random(0), RhythmConfig()
    means = [Typist(config, rng).mean_interval_ms for _ in range(4000)]
    assert statistics.fmean(means) == pytest.approx(238.7, abs=4 * 111.6 / 4000**0.5)
    assert statistics.stdev(means) == pytest.approx(111.6, rel=0.12)
    typist = Typist(RhythmConfig(spread_of_typists_ms=0), rng)
    within = [typist.interval_ms("a", "b") for _ in range(4000)]
    assert min(within) > 0
    assert statistics.fmean(within) == pytest.approx(238.7, rel=0.04)
    assert statistics.stdev(within) == pytest.approx(0.5 * 238.7, rel=0.12)
    words = [typist.interval_ms(" ", "b") for _ in range(4000)]
    assert statistics.fmean(words) == pytest.approx(1.5 * 238.7, rel=0.04)


@given(mean=st.floats(1, 1e4), variation=st.floats(0, 3), seed=st.integers(0, 99))
def test_log_normal_draws_are_positive(mean: float, variation: float, seed: int) -> None:
    draw = draw_log_normal(random.Random(seed), mean, variation)
    assert draw > 0
    if variation == 0:
        assert draw == pytest.approx(mean)


def test_mistakes_are_as_frequent_as_asked() -> None:
    keystrokes = [
        keystroke
        for document in standard_library(12)
        for keystroke in simulate(document, 1, TraceConfig(num_holes=6)).keystrokes
    ]
    kinds = [keystroke.kind for keystroke in keystrokes]
    share = kinds.count("mistake") / kinds.count("insert")
    assert share == pytest.approx(0.06, abs=0.02)


def test_the_listed_files_are_there() -> None:
    assert len(set(FILES)) == len(FILES)
    documents = standard_library(16, seed=4)
    assert documents == standard_library(16, seed=4)
    assert len({document.path for document in documents}) == 16
    assert all(len(document.text) > 1000 for document in documents)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"num_holes": 0}, "num_holes"),
        ({"burst_weights": ()}, "burst_weights"),
        ({"burst_weights": (0.0, 0.0)}, "burst_weights"),
        ({"mistake_share": 1.0}, "mistake_share"),
    ],
)
def test_bad_configs_are_refused(fields: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        msgspec.convert(fields, TraceConfig)


def test_bad_rhythms_and_counts_are_refused() -> None:
    with pytest.raises(ConfigError, match="mean_interval_ms"):
        RhythmConfig(mean_interval_ms=0)
    with pytest.raises(ConfigError, match="pauses"):
        RhythmConfig(mean_line_pause_ms=-1)
    with pytest.raises(ConfigError, match="num_files"):
        standard_library(1000)
    with pytest.raises(ConfigError, match="num_holes"):
        simulate(Document(path="a.py", text="x = 1\n"), 0)
