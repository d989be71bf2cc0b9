"""Where a candidate stops being worth showing: at borders of words, never before the first, as the costs say."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.complete.confidence import Confidence, ConfidenceConfig
from paceline.complete.generation import Progress
from paceline.core.errors import ConfigError

TOKENS = st.lists(
    st.tuples(st.text("ab_1 .(\n", max_size=4), st.floats(-6, 0, allow_nan=False)), max_size=12
)


def end_of(tokens: list[tuple[str, float]], **config: float) -> int | None:
    confidence = Confidence(ConfidenceConfig(**config))  # type: ignore[arg-type]
    for text, logprob in tokens:
        confidence.add(text, logprob)
    return confidence.finish()


def slow_end(tokens: list[tuple[str, float]], config: ConfidenceConfig) -> int | None:
    """The same from the definition: cut into words first, then look for the first that is not worth it."""
    text = "".join(piece for piece, _ in tokens)
    ends = [len("".join(piece for piece, _ in tokens[: at + 1])) for at in range(len(tokens))]

    def is_border(at: int) -> bool:
        before, after = text[at - 1], text[at]
        return not all(character.isalnum() or character == "_" for character in (before, after))

    borders = sorted({at for at in ends if 0 < at < len(text) and is_border(at)} | {len(text)})
    start, first = 0, True
    while borders:
        end = next((at for at in borders if text[start:at].strip()), None)
        if end is None:
            return None
        logprob = sum(
            value
            for (_, value), at, previous in zip(tokens, ends, [0, *ends], strict=False)
            if start < at <= end or (at == previous == start and at == 0)
        )
        if not first and math.exp(logprob) < config.min_probability(
            len("".join(text[start:end].split()))
        ):
            return start
        start, first = end, False
        borders = [at for at in borders if at > end]
    return None


@given(TOKENS.filter(lambda tokens: all(text for text, _ in tokens)))
def test_it_is_the_definition(tokens: list[tuple[str, float]]) -> None:
    config = ConfidenceConfig()
    assert end_of(tokens) == slow_end(tokens, config)


@given(TOKENS)
def test_the_end_lies_within_the_text_and_after_something(tokens: list[tuple[str, float]]) -> None:
    text = "".join(piece for piece, _ in tokens)
    end = end_of(tokens)
    assert end is None or text[:end].strip()
    assert end is None or text[end:].strip()


@given(TOKENS)
def test_dearer_repairs_never_show_more(tokens: list[tuple[str, float]]) -> None:
    size = len("".join(piece for piece, _ in tokens))
    cheap, dear = end_of(tokens, repair_keys=0.5), end_of(tokens, repair_keys=3.0)
    assert (size if dear is None else dear) <= (size if cheap is None else cheap)


def test_a_generator_without_probabilities_is_never_cut() -> None:
    assert end_of([("all ", 0.0), ("of it", 0.0), ("()", 0.0)]) is None


def test_what_is_free_is_shown() -> None:
    assert end_of([("a", 0.0), (".b", -9.0)], read_keys=0.0, repair_keys=0.0) is None


def test_a_candidate_has_the_figures_of_what_is_left() -> None:
    progress = Progress()
    confidence = Confidence(ConfidenceConfig())
    for text, logprob in (("self", -0.1), (".", -0.1), ("frobnicate", -5.0)):
        confidence.add(text, logprob)
    progress.text = "self.frobnicate"
    progress.end_confidently(confidence)
    candidate = progress.candidate()
    assert (candidate.text, candidate.finish_reason) == ("self.", "unsure")
    assert candidate.num_tokens == 2
    assert candidate.logprob == pytest.approx(-0.2)


@pytest.mark.parametrize("wrong", [{"read_keys": -1.0}, {"repair_keys": -0.1}])
def test_config_checks_itself(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        ConfidenceConfig(**wrong)  # type: ignore[arg-type]
